import Glibc

/// A cgroup of the command's own, below that of this process, where one may be made: by root, or by a
/// user to whom systemd or a container delegated one (cgroup v2, Linux 5.14).
///
/// The kernel kills all of it at once, whose processes it may be, and whoever is left to ask for it.
/// Without one, ``Descendants`` does the same process by process.
///
/// It stays for as long as a daemon that was left behind is in it, or where all who could remove it
/// were killed. Whoever makes the next one removes it then.
struct CommandCgroup {
  private static let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
  /// From one try to remove it to the next: processes take their time to leave.
  private static let removeInterval = Duration.milliseconds(20)
  private static let removeTriesMax = 50
  /// How often it is made anew because another `latchkey` took it for one that was left.
  private static let joinTriesMax = 50
  private static let namePrefix = "latchkey-"

  let path: String

  static func make() -> CommandCgroup? {
    guard let parent, let cgroup = of(getpid()) else { return nil }
    // Also that of a process that had the same id once.
    removeEmpty(in: parent)
    guard mkdir(cgroup.path, 0o755) == 0 else { return nil }
    guard access("\(cgroup.path)/cgroup.kill", W_OK) == 0 else {
      cgroup.remove()
      return nil
    }
    return cgroup
  }

  /// What the supervisor with that id has made, if it has.
  static func of(_ supervisor: pid_t) -> CommandCgroup? {
    parent.map { CommandCgroup(path: "\($0)/\(namePrefix)\(supervisor)") }
  }

  /// The cgroup of this process; nil where there is none, or where it is not known.
  private static var parent: String? {
    guard Descendants.isProcOurs, let cgroups = Descendants.text(of: "/proc/self/cgroup"),
      let own = cgroups.split(separator: "\n").first(where: { $0.hasPrefix("0::/") })?.dropFirst(3),
      !own.split(separator: "/").contains(".."),
      // What only the second version has.
      let mount = mounts.first(where: { access("\($0)/cgroup.controllers", F_OK) == 0 })
    else { return nil }
    return mount + (own == "/" ? "" : own)
  }

  /// Removes those in which there is no process any more: the kernel keeps the others.
  private static func removeEmpty(in parent: String) {
    guard let directory = opendir(parent) else { return }
    let names = entryNames(of: directory)
    closedir(directory)
    for name in names where name.hasPrefix(namePrefix) {
      CommandCgroup(path: "\(parent)/\(name)").remove()
    }
  }

  /// Puts this process there, and so what it will start.
  func join() {
    for _ in 0..<Self.joinTriesMax {
      // Until then it is empty, and another process may remove it.
      if write("0", to: "cgroup.procs") || mkdir(path, 0o755) != 0 && errno != EEXIST { return }
    }
  }

  func kill() { _ = write("1", to: "cgroup.kill") }

  /// Removes it, unless a daemon is left there. A `latchkey` in the command may have left others.
  func remove() {
    guard rmdir(path) != 0, errno == EBUSY else { return }
    Self.removeEmpty(in: path)
    rmdir(path)
  }

  /// Kills all of it, for who has nothing else to do.
  func end() {
    for _ in 0..<Self.removeTriesMax {
      kill()
      remove()
      guard access(path, F_OK) == 0 else { return }
      usleep(UInt32(Self.removeInterval / .microseconds(1)))
    }
  }

  private func write(_ text: String, to file: String) -> Bool {
    let descriptor = open("\(path)/\(file)", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count
  }
}
