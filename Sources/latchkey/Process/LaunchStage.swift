import CLinux
import Glibc

/// The moment between this program and the command that it runs under a lock: a fresh process of
/// this same executable that ties its life to its parent's and then becomes the command.
///
/// If `latchkey` is killed with SIGKILL, nobody renews the lease, and soon another may hold the lock.
/// So the kernel shall kill the command at the same moment. Only the process itself can ask for it.
enum LaunchStage {
  /// argv[1] of the stage, followed by the parent's process id, the file descriptors to keep, and
  /// the command.
  static let verb = "_launch"
  private static let commandIndex = 4

  /// The arguments in front of the command, from argv[0] on.
  static func arguments(parent: pid_t, descriptors: [Int32]) -> [String] {
    ["latchkey", verb, String(parent), descriptors.map { String($0) }.joined(separator: ",")]
  }

  /// Becomes the command if this process was started as the stage.
  static func runIfRequested() {
    guard CommandLine.argc > commandIndex, let first = CommandLine.unsafeArgv[1],
      String(cString: first) == verb
    else { return }
    run()
  }

  private static func run() -> Never {
    let parent = pid_t(text(2))
    if linux_set_parent_death_signal(SIGKILL) != 0 {
      fail(.system, "cannot tie the command to latchkey's own life: \(errorText(errno))")
    }
    // The parent may have ended before the kernel knew of the wish.
    if getppid() != parent { fail(.notToBeHad, "latchkey ended before its command started") }
    let kept = Set(text(3).split(separator: ",").compactMap { Int32($0) })
    for descriptor in OriginalProcess.openDescriptors() where !kept.contains(descriptor) {
      close(descriptor)
    }
    // Arguments pass as they are: file names need not be UTF-8.
    let command = CommandLine.unsafeArgv + commandIndex
    execvp(command[0]!, command)
    let status: ExitStatus = errno == ENOENT ? .notFound : .notExecutable
    fail(status, "cannot run \"\(text(commandIndex))\": \(errorText(errno))")
  }

  private static func text(_ index: Int) -> String {
    CommandLine.unsafeArgv[index].map { String(cString: $0) } ?? ""
  }

  private static func fail(_ status: ExitStatus, _ message: String) -> Never {
    StandardError.line("latchkey: \(message)")
    _exit(status.rawValue)
  }
}
