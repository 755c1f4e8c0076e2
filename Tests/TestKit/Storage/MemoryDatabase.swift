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
  package func engine(_ shapes: KnownShapes) -> any StoreEngine { MemoryEngine(self, shapes) }

  package func put(_ row: S1Row) { edit { $0.put(row) } }

  package func row(forKey key: String) -> S1Row? { snapshot.row(forKey: key)?.s1 }

  package func cells(forKey key: String) -> [String: Cell] {
    snapshot.row(forKey: key)?.newer ?? [:]
  }

  /// The row as a server reads it that knows these shapes.
  package func stored(_ key: String, _ shapes: KnownShapes) -> StoredRow? {
    snapshot.row(forKey: key)?.stored(shapes)
  }

  package func set(_ column: String, to cell: Cell, forKey key: String) {
    edit { $0.set(column, to: cell, forKey: key) }
  }

  package func terms(ofKey key: String) -> [String] { snapshot.terms(ofKey: key) }

  package func meta(_ shapes: KnownShapes) -> StoreMeta { snapshot.meta(shapes) }

  package func set(_ name: StoreMeta.Name, to value: Int64, note: String) {
    edit {
      $0.set(name, to: value)
      if name == .oldestShape { $0.neededRelease = note }
    }
  }

  func edit(_ change: (inout MemoryState) -> Void) {
    precondition(lockForWriting(), "somebody is in a transaction for ever")
    defer { unlockForWriting() }
    var next = snapshot
    change(&next)
    replace(with: next)
  }
}

/// A row with the columns of every shape.
struct MemoryRow: Sendable {
  var s1: S1Row
  /// Columns of newer shapes that are not NULL.
  var newer: [String: Cell] = [:]

  func stored(_ shapes: KnownShapes) -> StoredRow { shapes.row(cells(shapes.newerColumnNames)) }

  func lease(_ shapes: KnownShapes) -> SeenLease {
    let columns = shapes.newer.flatMap { $0.columns.prefix(3).map(\.name) }
    let own: [Cell] = [s1.id, s1.token, s1.revision, s1.leaseSeconds, s1.kind, s1.needsShape]
      .map { .integer($0) }
    return SeenLease(CellRow(cells: own + columns.map { newer[$0] ?? .null }), shapes)
  }

  private func cells(_ columns: [String]) -> CellRow {
    CellRow(
      cells: [
        .integer(s1.id), s1.key.map { .text($0) } ?? .damagedText, .integer(s1.needsShape),
        .integer(s1.token), .integer(s1.revision), .integer(s1.kind),
        s1.owner.map { .text($0) } ?? (s1.ownerIsDamaged ? .damagedText : .null),
        s1.value.map { .text($0) } ?? .damagedText, .integer(s1.leaseSeconds),
        s1.freeEpoch.map { .integer($0) } ?? .null,
      ] + columns.map { newer[$0] ?? .null })
  }

  /// Puts what `shapes` say of a holder in place; columns of other shapes stay.
  mutating func say(
    _ holder: Holder, of record: LockRecord, _ shapes: KnownShapes, maintaining oldest: Int64
  ) {
    var list = CellList()
    shapes.add(record, holder, maintaining: oldest, to: &list)
    guard case .text(let value) = list.cells[0], case .integer(let seconds) = list.cells[1] else {
      preconditionFailure("s1 is a value and a lease")
    }
    (s1.value, s1.leaseSeconds) = (value, seconds)
    for (column, cell) in zip(shapes.newerColumnNames, list.cells.dropFirst(2)) {
      newer[column] = cell == .null ? nil : cell
    }
  }

  mutating func sayNothing(_ shapes: KnownShapes) {
    s1.value = ""
    for column in shapes.newerColumnNames { newer[column] = nil }
  }
}

/// Rows and meta as values, so that a snapshot is a copy.
struct MemoryState: Sendable {
  private(set) var rows: [Int64: MemoryRow] = [:]
  private var idOfKey: [NameBytes: Int64] = [:]
  private var latestID: Int64 = 0
  private var meta: [StoreMeta.Name: Int64] = [.newestShape: S1.number, .oldestShape: S1.number]
  var neededRelease = ""
  /// What each key is found by, as bytes.
  private var terms: [NameBytes: (key: String, terms: [[UInt8]])] = [:]
  /// The columns of newer shapes that there are.
  var columns: Set<String> = []

  mutating func setTerms(_ change: TermChange) {
    let name = NameBytes(change.key)
    var present = terms[name]?.terms ?? []
    let removed = change.removed?.map { Array($0.utf8) }
    present = removed.map { removed in present.filter { !removed.contains($0) } } ?? []
    for term in change.added where !present.contains(Array(term.utf8)) {
      present.append(Array(term.utf8))
    }
    terms[name] = present.isEmpty ? nil : (change.key, present)
  }

  func keys(withTerms wanted: [String]) -> [String] {
    let wanted = wanted.map { Array($0.utf8) }
    return terms.values.filter { $0.terms.contains(where: wanted.contains) }.map(\.key)
  }

  func terms(ofKey key: String) -> [String] {
    terms[NameBytes(key)]?.terms.map { String(decoding: $0, as: UTF8.self) } ?? []
  }

  var keysWithTerms: [String] { terms.values.map(\.key) }

  func row(forKey key: String) -> MemoryRow? { idOfKey[NameBytes(key)].flatMap { rows[$0] } }

  func inOrderOfIDs(after id: Int64) -> [MemoryRow] {
    rows.values.filter { $0.s1.id > id }.sorted { $0.s1.id < $1.s1.id }
  }

  var heldInOrderOfKeys: [MemoryRow] {
    rows.values.filter { $0.s1.owner != nil || $0.s1.ownerIsDamaged }
      .sorted { Self.isInOrder($0.s1.key, $1.s1.key) }
  }

  /// Whether `a` comes before `b` by the bytes of UTF-8. A key that cannot be read comes last.
  static func isInOrder(_ a: String?, _ b: String?) -> Bool {
    guard let b else { return a != nil }
    guard let a else { return false }
    return a.utf8.lexicographicallyPrecedes(b.utf8)
  }

  mutating func set(_ name: StoreMeta.Name, to value: Int64) { meta[name] = value }

  func meta(_ shapes: KnownShapes) -> StoreMeta {
    var read = StoreMeta(newestShape: 0, oldestShape: 0, tokenFloor: 0, epoch: 0)
    for (name, value) in meta {
      shapes.read(name.text, value, note: neededRelease, into: &read)
    }
    return read
  }

  /// Newer shapes' columns stay as they are, as where an older server writes.
  mutating func put(_ row: S1Row) {
    var next = rows[row.id] ?? MemoryRow(s1: row)
    next.s1 = row
    put(next)
  }

  private mutating func put(_ row: MemoryRow) {
    rows[row.s1.id] = row
    if let key = row.s1.key { idOfKey[NameBytes(key)] = row.s1.id }
    latestID = max(latestID, row.s1.id)
  }

  mutating func set(_ column: String, to cell: Cell, forKey key: String) {
    let id = idOfKey[NameBytes(key)]!
    rows[id]!.newer[column] = cell == .null ? nil : cell
  }

  mutating func remove(id: Int64) {
    if let key = rows.removeValue(forKey: id)?.s1.key { idOfKey[NameBytes(key)] = nil }
    // Like SQLite, which gives the number of the last row out again.
    latestID = rows.keys.max() ?? 0
  }

  mutating func write(
    _ change: RowChange, _ shapes: KnownShapes, maintaining oldest: Int64
  ) -> Int64 {
    let record = change.record
    let old = change.id.flatMap { rows[$0] }
    precondition(old != nil || record.holder != nil, "a row comes into being with a holder")
    precondition(old != nil || row(forKey: record.key) == nil, "the key has a row already")
    let id = old?.s1.id ?? latestID + 1
    var row =
      old
      ?? MemoryRow(
        s1: S1Row(
          id: id, key: record.key, needsShape: 1, token: 0, revision: 0, kind: 0, owner: nil,
          ownerIsDamaged: false, value: "", leaseSeconds: 0, freeEpoch: nil))
    row.s1.needsShape = S1.number
    row.s1.token = record.token
    row.s1.revision = record.revision
    row.s1.owner = record.holder?.owner
    row.s1.ownerIsDamaged = false
    row.s1.freeEpoch = record.holder == nil ? change.epoch : nil
    if let holder = record.holder {
      row.s1.kind = holder.kind.rawValue
      row.say(holder, of: record, shapes, maintaining: oldest)
    } else {
      row.sayNothing(shapes)
    }
    put(row)
    return id
  }

  mutating func refill(_ filled: StoredRow, _ shapes: KnownShapes, maintaining oldest: Int64) {
    guard var row = rows[filled.id], row.s1.token == filled.record.token,
      row.s1.revision == filled.record.revision
    else { return }
    if let holder = filled.record.holder {
      row.say(holder, of: filled.record, shapes, maintaining: oldest)
    } else {
      row.sayNothing(shapes)
    }
    put(row)
  }
}
