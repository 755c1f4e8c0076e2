import CLinux
import Glibc

/// The moment between the supervisor and the command that it runs: a fork of it that becomes the
/// command.
enum CommandLaunch {
  /// Starts a child that becomes the command.
  ///
  /// - Parameters:
  ///   - count: How many of this program's last arguments are the command.
  ///   - cgroup: Where to put it.
  ///   - beforeExec: What to do between the start of the child and that of the command.
  /// - Returns: The process id, or -1 with errno set.
  static func start(
    argumentCount count: Int, _ changes: [EnvironmentChange], in cgroup: CommandCgroup?,
    beforeExec: () -> Void
  ) -> pid_t {
    var gate: [Int32] = [0, 0]
    guard linux_pipe(&gate) == 0 else { return -1 }
    let parent = getpid()
    let process = linux_fork()
    if process == 0 { run(parent: parent, gate: gate, count, changes, cgroup) }
    close(gate[0])
    defer { close(gate[1]) }
    guard process > 0 else { return -1 }
    beforeExec()
    var go: UInt8 = 1
    _ = write(gate[1], &go, 1)
    return process
  }

  private static func run(
    parent: pid_t, gate: [Int32], _ count: Int, _ changes: [EnvironmentChange],
    _ cgroup: CommandCgroup?
  ) -> Never {
    // If the supervisor is killed, nobody watches over the command: the kernel shall kill it at the
    // same moment. Only the process itself can ask for it.
    if linux_set_parent_death_signal(SIGKILL) != 0 {
      fail(.system, "cannot tie the command to latchkey's own life: \(errorText(errno))")
    }
    // The parent may have ended before the kernel knew of the wish.
    if getppid() != parent { _exit(ExitStatus.notToBeHad.rawValue) }
    close(gate[1])
    var go: UInt8 = 0
    guard read(gate[0], &go, 1) == 1 else { _exit(ExitStatus.notToBeHad.rawValue) }
    cgroup?.join()
    for change in changes {
      if let value = change.value {
        setenv(change.name, value, 1)
      } else {
        unsetenv(change.name)
      }
    }
    linux_set_name("latchkey")
    // The command gets the signals as the caller of `latchkey` meant them.
    var mask = OriginalProcess.signalMask
    sigprocmask(SIG_SETMASK, &mask, nil)
    // Arguments pass as they are: file names need not be UTF-8.
    let command = OriginalProcess.arguments + (OriginalProcess.argumentCount - count)
    execvp(command[0]!, command)
    let status: ExitStatus = errno == ENOENT ? .notFound : .notExecutable
    fail(status, "cannot run \"\(String(cString: command[0]!))\": \(errorText(errno))")
  }

  private static func fail(_ status: ExitStatus, _ message: String) -> Never {
    StandardError.lineNow("latchkey: \(message)")
    _exit(status.rawValue)
  }
}
