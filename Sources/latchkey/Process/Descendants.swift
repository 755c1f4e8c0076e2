import CLinux
import Glibc

/// The processes that a command left behind or still has: what a script started dies with the
/// script's lease, not with the script.
///
/// Complete as long as this process adopts orphans (`linux_adopt_orphans`). A process that starts
/// others faster than they can be listed may need several rounds.
enum Descendants {
  struct Process: Equatable {
    var id: pid_t
    var parent: pid_t
    var name: String
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
      name = String(stat[stat.index(after: open)..<close])
      isZombie = state == "Z" || state == "X"
    }
  }

  /// Process ids are below this on every Linux (PID_MAX_LIMIT).
  private static let idsMax: pid_t = 1 << 22

  /// Sends a signal to all descendants of this process that still run, but for one.
  ///
  /// Where /proc is missing or tells of another namespace's processes, whose ids mean others here,
  /// only the children are found, by trying ids. The children of a child that dies become children.
  static func signal(_ number: Int32, except spared: pid_t?) {
    guard isProcOurs else { return signalChildren(number) }
    signal(number, of: getpid(), except: spared)
  }

  /// Sends a signal to all descendants of a process that still run, but for one. Needs /proc.
  ///
  /// - Returns: Whether there are any.
  @discardableResult
  static func signal(_ number: Int32, of root: pid_t, except spared: pid_t?) -> Bool {
    let found = descendants(of: root).filter { $0.id != spared }
    for process in found { signal(process, number) }
    return !found.isEmpty
  }

  /// A process that was found may be gone and its id another's, unless it is a child: its id is not
  /// given to others before it was waited for. So others are looked at once more when they are open.
  private static func signal(_ found: Process, _ number: Int32) {
    guard found.parent != getpid() else {
      kill(found.id, number)
      return
    }
    let descriptor = linux_open_process(found.id)
    guard descriptor >= 0 else {
      // Before Linux 5.3, or behind a filter of system calls, the moment since the look remains.
      if errno != ESRCH { kill(found.id, number) }
      return
    }
    defer { close(descriptor) }
    // It may have been adopted in the meantime.
    guard let now = process(found.id), now.parent == found.parent || now.parent == getpid() else {
      return
    }
    _ = linux_signal_open_process(descriptor, number)
  }

  /// Sends a signal to the children of this process, without /proc. Those that were started since this
  /// process was are tried first: most often their ids are the greater ones.
  private static func signalChildren(_ number: Int32) {
    let own = getpid()
    let newest = linux_newest_process_id()
    if newest > own, linux_signal_children(own + 1, newest, number) > 0 { return }
    _ = linux_signal_children(1, idsMax, number)
  }

  /// Waits for those children that have ended.
  ///
  /// - Returns: Whether there are no more children, and so no descendants: their orphans would be
  ///   children.
  static func reap(_ onEnd: (pid_t, ProcessEnd) -> Void) -> Bool {
    while true {
      var status: Int32 = 0
      let process = waitpid(-1, &status, WNOHANG)
      if process > 0 {
        onEnd(process, ProcessEnd(waitStatus: status))
      } else if process == 0 || errno != EINTR {
        return process < 0
      }
    }
  }

  /// What to say where some are left whatever is sent to them.
  static func stuckText(except spared: pid_t?) -> String {
    let left = isProcOurs ? descendants(of: getpid()).filter { $0.id != spared } : []
    let shownMax = 5
    let names = left.prefix(shownMax).map { "\($0.id) (\($0.name))" }.joined(separator: ", ")
    let more = left.count > shownMax ? " and \(left.count - shownMax) more" : ""
    return "cannot end what the command started: "
      + (left.isEmpty ? "a process" : "process \(names)\(more)")
      + " belongs to another user, or hangs in the kernel"
  }

  /// Whether /proc is there and tells of the processes as this one sees them. In another PID namespace,
  /// as after `unshare --fork --pid`, it may still be the outer one's.
  static var isProcOurs: Bool {
    guard let status = text(of: "/proc/self/status") else { return false }
    let fields = status.split(separator: "\n").first { $0.hasPrefix("NSpid:") }?
      .dropFirst("NSpid:".count).split { $0 == "\t" || $0 == " " }
    // One id for each namespace, from that of /proc inwards. Before Linux 4.1 it is not told.
    guard let fields else { return process(getpid())?.parent == getppid() }
    return fields.count == 1 && pid_t(fields[0]) == getpid()
  }

  // MARK: - By /proc

  /// All descendants of a process that still run.
  ///
  /// Where the kernel lists the children of a process (CONFIG_PROC_CHILDREN), this costs no more
  /// than there are descendants: it runs when a lease is about to end, on a machine that may be busy.
  /// That list may be incomplete while processes end, so nobody is only believed after a look at all.
  private static func descendants(of root: pid_t) -> [Process] {
    let listed = listedDescendants(of: root)
    return listed.isEmpty ? descendants(of: root, among: allProcesses()) : listed
  }

  private static func listedDescendants(of root: pid_t) -> [Process] {
    var found: [Process] = []
    var next = [root]
    while let parent = next.popLast() {
      for child in listedChildren(of: parent) {
        // The last of a list that was too long may be half a number.
        guard let process = process(child), process.parent == parent else { continue }
        if !process.isZombie { found.append(process) }
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

  static func descendants(of root: pid_t, among processes: [Process]) -> [Process] {
    let children = Dictionary(grouping: processes, by: \.parent)
    var found: [Process] = []
    var next = [root]
    while let parent = next.popLast() {
      for child in children[parent] ?? [] {
        if !child.isZombie { found.append(child) }
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
  static func text(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 1) { buffer in
      let count = read(descriptor, buffer.baseAddress!, buffer.count)
      return count >= 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : nil
    }
  }
}
