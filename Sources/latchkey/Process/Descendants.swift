import Glibc

/// The processes that a command left behind or still has: what a script started dies with the
/// script's lease, not with the script.
///
/// Complete as long as this process adopts orphans (`linux_adopt_orphans`). A
/// process that starts others faster than they can be listed may need several rounds.
enum Descendants {
  struct Process: Equatable {
    var id: pid_t
    var parent: pid_t
    /// It has ended, and only its parent has not noticed yet.
    var isZombie: Bool

    /// Reads /proc/PID/stat: "pid (name) state parent …", where the name may hold anything.
    init?(stat: String) {
      guard let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"),
        let id = pid_t(stat[..<open].dropLast())
      else { return nil }
      let fields = stat[close...].dropFirst(2).split(separator: " ", maxSplits: 2)
      guard fields.count >= 2, let state = fields[0].first, let parent = pid_t(fields[1]) else {
        return nil
      }
      self.id = id
      self.parent = parent
      isZombie = state == "Z" || state == "X"
    }
  }

  /// All descendants of this process that still run.
  static func ofThisProcess() -> [pid_t] {
    descendants(of: getpid(), among: allProcesses())
  }

  static func descendants(of root: pid_t, among processes: [Process]) -> [pid_t] {
    let children = Dictionary(grouping: processes, by: \.parent)
    var found: [pid_t] = []
    var next = [root]
    while let parent = next.popLast() {
      for child in children[parent] ?? [] {
        if !child.isZombie { found.append(child.id) }
        next.append(child.id)
      }
    }
    return found
  }

  private static func allProcesses() -> [Process] {
    guard let directory = opendir("/proc") else { return [] }
    defer { closedir(directory) }
    return entryNames(of: directory).compactMap { name in
      guard pid_t(name) != nil, let stat = firstLine(of: "/proc/\(name)/stat") else { return nil }
      return Process(stat: stat)
    }
  }

  /// Nil where there is no such file (any more).
  private static func firstLine(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    // More than the fields that are read here ever take.
    return withUnsafeTemporaryAllocation(byteCount: 512, alignment: 1) { buffer in
      let count = read(descriptor, buffer.baseAddress!, buffer.count)
      return count > 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : nil
    }
  }
}
