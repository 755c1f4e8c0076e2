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
  ///
  /// Where the kernel lists the children of a process (CONFIG_PROC_CHILDREN), this costs no more
  /// than there are descendants: it runs when a lease is about to end, on a machine that may be busy.
  /// That list may be incomplete while processes end, so nobody is only believed after a look at all.
  static func ofThisProcess() -> [pid_t] {
    let listed = listedDescendants()
    return listed.isEmpty ? descendants(of: getpid(), among: allProcesses()) : listed
  }

  private static func listedDescendants() -> [pid_t] {
    var found: [pid_t] = []
    var next = [getpid()]
    while let parent = next.popLast() {
      for child in listedChildren(of: parent) {
        // The last of a list that was too long may be half a number.
        guard let process = process(child), process.parent == parent else { continue }
        if !process.isZombie { found.append(child) }
        next.append(child)
      }
    }
    return found
  }

  private static func listedChildren(of parent: pid_t) -> [pid_t] {
    let path = "/proc/\(parent)/task"
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    return entryNames(of: directory).flatMap { thread in
      let list = pid_t(thread).flatMap { text(of: "\(path)/\($0)/children") } ?? ""
      return list.split(separator: " ").compactMap { pid_t($0) }
    }
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
    return entryNames(of: directory).compactMap { pid_t($0).flatMap { process($0) } }
  }

  /// Nil where there is none (any more).
  private static func process(_ id: pid_t) -> Process? {
    text(of: "/proc/\(id)/stat").flatMap { Process(stat: $0) }
  }

  /// The first 4,096 bytes of a file: more than the fields of interest take, and hundreds of
  /// children. Those that do not fit are found when the others are gone.
  private static func text(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 1) { buffer in
      let count = read(descriptor, buffer.baseAddress!, buffer.count)
      return count >= 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : nil
    }
  }
}
