import Glibc
import LockCore
package import Storage
import Synchronization

/// The rows that several ``MemoryEngine`` share.
///
/// `@unchecked Sendable`: the state is behind a mutex; `writing` is a lock of the operating system,
/// which only the thread that took it gives back.
package final class MemoryDatabase: @unchecked Sendable {
  /// How long a transaction waits for another one.
  private static let lockSecondsMax = 2

  private let state = Mutex((state: MemoryState(), commits: Int64(0)))
  private let writing = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

  package init() { pthread_mutex_init(writing, nil) }

  deinit {
    pthread_mutex_destroy(writing)
    writing.deallocate()
  }

  var snapshot: MemoryState { state.withLock { $0.state } }

  /// How often anything was committed.
  var commits: Int64 { state.withLock { $0.commits } }

  func replace(with new: MemoryState) {
    state.withLock { $0 = (new, $0.commits + 1) }
  }

  /// Waits until nobody else has a transaction under way; false where that took too long.
  func lockForWriting() -> Bool {
    var deadline = timespec()
    clock_gettime(CLOCK_REALTIME, &deadline)
    deadline.tv_sec += Self.lockSecondsMax
    return pthread_mutex_timedlock(writing, &deadline) == 0
  }

  func unlockForWriting() { pthread_mutex_unlock(writing) }
}

extension MemoryDatabase: TestDatabase {
  package func engine() -> any StoreEngine { MemoryEngine(self) }

  package func put(_ row: S1Row) { edit { $0.put(row) } }

  package func row(forKey key: String) -> S1Row? { snapshot.row(forKey: key) }

  package var meta: StoreMeta { snapshot.meta }

  package func set(_ name: StoreMeta.Name, to value: Int64, note: String) {
    edit {
      $0.set(name, to: value)
      if name == .oldestShape { $0.meta.neededRelease = note }
    }
  }

  private func edit(_ change: (inout MemoryState) -> Void) {
    precondition(lockForWriting(), "somebody is in a transaction for ever")
    defer { unlockForWriting() }
    var next = snapshot
    change(&next)
    replace(with: next)
  }
}

/// Rows and meta as values, so that a snapshot is a copy.
struct MemoryState: Sendable {
  private(set) var rows: [Int64: S1Row] = [:]
  private var idOfKey: [NameBytes: Int64] = [:]
  private var latestID: Int64 = 0
  var meta = StoreMeta(
    newestShape: S1.number, oldestShape: S1.number, tokenFloor: 0, epoch: 0)

  func row(forKey key: String) -> S1Row? { idOfKey[NameBytes(key)].flatMap { rows[$0] } }

  func inOrderOfIDs(after id: Int64) -> [S1Row] {
    rows.values.filter { $0.id > id }.sorted { $0.id < $1.id }
  }

  var heldInOrderOfKeys: [S1Row] {
    rows.values.filter { $0.owner != nil || $0.ownerIsDamaged }
      .sorted { Self.isInOrder($0.key, $1.key) }
  }

  /// Whether `a` comes before `b` by the bytes of UTF-8. A key that cannot be read comes last.
  static func isInOrder(_ a: String?, _ b: String?) -> Bool {
    guard let b else { return a != nil }
    guard let a else { return false }
    return a.utf8.lexicographicallyPrecedes(b.utf8)
  }

  mutating func set(_ name: StoreMeta.Name, to value: Int64) {
    switch name {
    case .newestShape: meta.newestShape = value
    case .oldestShape: meta.oldestShape = value
    case .tokenFloor: meta.tokenFloor = value
    case .epoch: meta.epoch = value
    }
  }

  mutating func put(_ row: S1Row) {
    rows[row.id] = row
    if let key = row.key { idOfKey[NameBytes(key)] = row.id }
    latestID = max(latestID, row.id)
  }

  mutating func remove(id: Int64) {
    if let key = rows.removeValue(forKey: id)?.key { idOfKey[NameBytes(key)] = nil }
    // Like SQLite, which gives the number of the last row out again.
    latestID = rows.keys.max() ?? 0
  }

  mutating func write(_ change: RowChange) -> Int64 {
    let record = change.record
    let old = change.id.flatMap { rows[$0] }
    precondition(old != nil || record.holder != nil, "a row comes into being with a holder")
    precondition(old != nil || row(forKey: record.key) == nil, "the key has a row already")
    let id = old?.id ?? latestID + 1
    put(
      S1Row(
        id: id, key: record.key, needsShape: S1.number, token: record.token,
        revision: record.revision, kind: record.holder?.kind.rawValue ?? old!.kind,
        owner: record.holder?.owner, ownerIsDamaged: false, value: record.holder?.value ?? "",
        leaseSeconds: record.holder?.lease.seconds ?? old!.leaseSeconds,
        freeEpoch: record.holder == nil ? change.epoch : nil))
    return id
  }
}
