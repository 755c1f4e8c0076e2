import Glibc

/// A cgroup of the command's own, below that of this process, where one may be made: by root, or by a
/// user to whom systemd or a container delegated one (cgroup v2, Linux 5.14).
///
/// The kernel kills all of it at once, whose processes it may be, and whoever is left to ask for it.
/// Without one, ``Descendants`` does the same process by process.
struct CommandCgroup {
  private static let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
  /// From one try to remove it to the next: processes take their time to leave.
  private static let removeInterval = Duration.milliseconds(20)
  private static let removeTriesMax = 50

  private let path: String

  static func make() -> CommandCgroup? {
    guard Descendants.isProcOurs, let cgroups = Descendants.text(of: "/proc/self/cgroup"),
      let own = cgroups.split(separator: "\n").first(where: { $0.hasPrefix("0::/") })?.dropFirst(3),
      !own.split(separator: "/").contains(".."),
      // What only the second version has.
      let mount = mounts.first(where: { access("\($0)/cgroup.controllers", F_OK) == 0 })
    else { return nil }
    let path = mount + (own == "/" ? "" : own) + "/latchkey-\(getpid())"
    // Of a process that had the same id once.
    rmdir(path)
    guard mkdir(path, 0o755) == 0 else { return nil }
    guard access("\(path)/cgroup.kill", W_OK) == 0 else {
      rmdir(path)
      return nil
    }
    return CommandCgroup(path: path)
  }

  /// Puts this process there, and so what it will start.
  func join() { write("0", to: "cgroup.procs") }

  func kill() { write("1", to: "cgroup.kill") }

  /// Removes it, unless a daemon is left there.
  func remove() { rmdir(path) }

  /// Kills all of it, for who has nothing else to do.
  func end() {
    for _ in 0..<Self.removeTriesMax {
      kill()
      guard rmdir(path) != 0, errno == EBUSY else { return }
      usleep(UInt32(Self.removeInterval / .microseconds(1)))
    }
  }

  private func write(_ text: String, to file: String) {
    let descriptor = open("\(path)/\(file)", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = Glibc.write(descriptor, text, text.utf8.count)
    close(descriptor)
  }
}
