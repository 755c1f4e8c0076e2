import Glibc
import LockCore
package import Storage
import Exclusion

/// The rows that several ``MemoryEngine`` share.
///
/// `@unchecked Sendable`: the state is behind a mutex; `writing` is a lock of the operating system,
/// which only the thread that took it gives back.
package final class MemoryDatabase: @unchecked Sendable {
  /// What keeps transactions of several servers apart.
  package enum Concurrency: Sendable {
    /// One writes at a time, from what it reads to the end, as with SQLite.
    case locks
    /// Nobody waits for anybody: what was decided on rows that have changed since is not done, as in
    /// databases across a network. Only what is written is looked at once more: that something that was
    /// read has stayed as it was, nobody promises.
    case optimistic
  }

  /// How long a transaction waits for another one.
  private static let lockSecondsMax = 2

  package let concurrency: Concurrency
  private let state = Mutex((state: MemoryState(), commits: Int64(0)))
  private let writing = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  /// Nil where histories have no names.
  private let latestHistory: Mutex<Int64?>
  private let latestConnections = Mutex(0)
  /// Whether commits wait for whatever takes its place.
  package let isReplicated: Bool
  private let interlude = Mutex<(@Sendable () -> Void)?>(nil)

  /// - Parameter namesHistories: Whether it says itself that its history is another one.
  package init(
    _ concurrency: Concurrency = .locks, namesHistories: Bool = true, isReplicated: Bool = false
  ) {
    self.concurrency = concurrency
    self.isReplicated = isReplicated
    latestHistory = Mutex(namesHistories ? 0 : nil)
    pthread_mutex_init(writing, nil)
  }

  deinit {
    pthread_mutex_destroy(writing)
    writing.deallocate()
  }

  /// Everything is as it was when `past` was taken, like on a standby that lacks what came after.
  ///
  /// - Parameter isNoticeable: Whether the database itself says that its history is another one, if it ever does.
  package func goBack(to past: MemoryState, isNoticeable: Bool = true) {
    state.withLock { $0.state = past }
    if isNoticeable { latestHistory.withLock { $0 = $0.map { $0 + 1 } } }
  }

  /// No connection can be used any more that was opened before.
  package func cutConnections() { latestConnections.withLock { $0 += 1 } }

  var history: Int64? { latestHistory.withLock { $0 } }
  /// Whose number is not this is cut.
  var connections: Int { latestConnections.withLock { $0 } }

  package var snapshot: MemoryState { state.withLock { $0.state } }

  /// How often anything was committed.
  var commits: Int64 { state.withLock { $0.commits } }

  /// What others do between what the next transaction reads and what it writes; nil for nothing. Only
  /// where they do not wait for each other.
  package func beforeNextChange(_ action: (@Sendable () -> Void)?) {
    precondition(concurrency == .optimistic || action == nil)
    interlude.withLock { $0 = action }
  }

  /// - Returns: Nil where nothing was changed.
  func change(_ body: (inout MemoryState) -> [Int64]?) -> [Int64]? {
    interlude.withLock { action in
      defer { action = nil }
      return action
    }?()
    return state.withLock { state in
      guard let ids = body(&state.state) else { return nil }
      state.commits += 1
      return ids
    }
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

  /// As a server does that collects it.
  package func collect(_ key: String) {
    edit(isByServer: true) { state in
      guard let row = state.row(forKey: key) else { return }
      state.remove(id: row.s1.id)
      let meta = state.meta(.all)
      state.set(.tokenFloor, to: max(meta.tokenFloor, row.s1.token))
      state.set(.collectedToken, to: max(meta.collectedToken ?? 0, row.s1.token))
    }
  }

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

  /// - Parameter isByServer: Whether a server does it as it comes in, which changes no rows.
  func edit<Failure: Error>(
    isByServer: Bool = false, _ change: (inout MemoryState) throws(Failure) -> Void
  ) throws(Failure) {
    if concurrency == .locks {
      precondition(lockForWriting(), "somebody is in a transaction for ever")
    }
    defer { if concurrency == .locks { unlockForWriting() } }
    let result = state.withLock { state in
      Result { () throws(Failure) in
        var next = state.state
        try change(&next)
        if !isByServer { next.changedPastServers() }
        state = (next, state.commits + 1)
      }
    }
    try result.get()
  }
}

/// A row with the columns of every shape.
struct MemoryRow: Sendable {
  var s1: S1Row
  /// Columns of newer shapes that are not NULL.
  var newer: [String: Cell] = [:]

  var isHeld: Bool { s1.owner != nil || s1.ownerIsDamaged }
  func isWatched(_ shapes: KnownShapes) -> Bool { isHeld || s1.needsShape > shapes.newest }

  /// - Parameter kind: Nil for every one.
  func isOf(_ kind: Kind?, _ shapes: KnownShapes) -> Bool {
    guard let kind else { return true }
    let isOfUnknownKind = s1.needsShape > shapes.newest && Kind(rawValue: s1.kind) == nil
    return isOfUnknownKind ? kind == .lock : s1.kind == kind.rawValue
  }

  func latestGrant(_ shapes: KnownShapes) -> LatestGrant {
    LatestGrant(token: s1.token, isOver: !isHeld && s1.needsShape <= shapes.newest)
  }

  func stored(_ shapes: KnownShapes) -> StoredRow { shapes.row(cells(shapes.newerColumnNames)) }

  func lease(_ shapes: KnownShapes) -> SeenLease {
    var lease = leaseWithoutKey(shapes)
    if let key = s1.key, let owner = s1.owner {
      lease.name = SeenLease.Name(key: key, owner: owner)
    }
    return lease
  }

  private func leaseWithoutKey(_ shapes: KnownShapes) -> SeenLease {
    let columns = SeenLease.newerColumnNames(shapes)
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
package struct MemoryState: Sendable {
  /// A server's time on the database, from its start on.
  struct Run: Hashable, Sendable {
    /// Whoever changes rows past all servers.
    static let nobody = Run(number: 0)

    let number: Int64
  }

  /// Of so many changes of a run it is known which rows they were about: few, so that tests meet what
  /// is not known any more.
  private static let changesKept: Int64 = 20

  private(set) var rows: [Int64: MemoryRow] = [:]
  /// What each run has written. Whatever is not to be done beside what others read only (giving shapes up,
  /// a new epoch) changes all of them, as each transaction changes its own: so they cannot both be
  /// done.
  private var counts: [Run: Int64] = [:]
  private(set) var commits: [Run: Int64] = [:]
  private(set) var settled: [Run: Int64] = [:]
  /// The rows that runs have changed, and which of their changes that was.
  private var log: [(run: Run, change: Int64, ids: [Int64])] = []
  private var idOfKey: [NameBytes: Int64] = [:]
  private var latestID: Int64 = 0
  private var meta: [StoreMeta.Name: Int64] = [
    .newestShape: S1.number, .oldestShape: S1.number, .filledShape: S1.number, .setbacks: 1,
    .opened: 1, .collectedToken: 0, .history: 0,
  ]
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
    rows.values.filter(\.isHeld).sorted { Self.isInOrder($0.s1.key, $1.s1.key) }
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

  // MARK: - Transactions

  func facts(_ wanted: Wanted, _ shapes: KnownShapes) -> Facts {
    var facts = Facts(meta: meta(shapes))
    facts.byKey = wanted.keys.map { row(forKey: $0)?.stored(shapes) }
    facts.byID = wanted.ids.map { rows[$0]?.stored(shapes) }
    facts.grants = wanted.grants.map { row(forKey: $0)?.latestGrant(shapes) }
    facts.counts = wanted.counts.map { count in
      min(keys(withTerms: [count.term]).filter(count.range.contains).count, count.max)
    }
    if wanted.wantsLastID { facts.lastID = rows.keys.max() ?? 0 }
    if wanted.wantsRuns {
      facts.runs = commits.map {
        RunState(id: $0.key.number, commits: $0.value, settled: settled[$0.key]!)
      }
    }
    switch wanted.page {
    case .rows(let id, let limit):
      facts.rows = inOrderOfIDs(after: id).prefix(limit).map { $0.stored(shapes) }
    case .freeRows(let id, let limit):
      let free = inOrderOfIDs(after: id).filter { !$0.isHeld }
      facts.rows = free.prefix(limit).map { $0.stored(shapes) }
    case .leases(let id, let limit):
      let watched = inOrderOfIDs(after: id).filter { $0.isWatched(shapes) }
      facts.leases = watched.prefix(limit).map { $0.lease(shapes) }
    case .held(let kind, let range, let limit):
      let found = heldInOrderOfKeys.filter { row in
        row.isOf(kind, shapes) && row.s1.key.map(range.contains) ?? range.prefix.isEmpty
      }
      facts.rows = found.prefix(limit).map { $0.stored(shapes) }
    case .found(let term, let range, let limit):
      let found = keys(withTerms: [term, Terms.whatever]).filter(range.contains)
        .sorted { Self.isInOrder($0, $1) }.prefix(limit)
      facts.rows = found.compactMap { row(forKey: $0)?.stored(shapes) }
      facts.latestKeyFound = found.count == limit ? found.last : nil
    case .keysWithTerms(let key, let limit):
      let keys = keysWithTerms.filter { key.utf8.lexicographicallyPrecedes($0.utf8) }
        .sorted { Self.isInOrder($0, $1) }
      facts.keysWithTerms = keys.prefix(limit).map { ($0, row(forKey: $0) != nil) }
    case nil: break
    }
    return facts
  }

  mutating func admit(_ run: Run, settled: Int64) {
    (counts[run], commits[run], self.settled[run]) = (0, 0, settled)
  }
  mutating func end(_ run: Run) {
    if run != .nobody { (counts[run], commits[run], settled[run]) = (nil, nil, nil) }
  }

  /// Whether all that is to be written is as it was in `snapshot`.
  func isAsDecided(on snapshot: MemoryState, _ changes: Changes, by run: Run) -> Bool {
    func isSame(_ id: Int64, _ expected: Sighting) -> Bool {
      rows[id].map { Sighting(token: $0.s1.token, revision: $0.s1.revision) == expected } ?? false
    }
    return counts[run] != nil && counts[run] == snapshot.counts[run]
      && changes.rows.allSatisfy { change in
        guard let id = change.id, let expected = change.expected else {
          return row(forKey: change.record.key) == nil
        }
        return isSame(id, expected)
      }
      && changes.refills.allSatisfy { isSame($0.id, $0.record.sighting) }
      && changes.deletions.allSatisfy { isSame($0.id, $0.expected) }
      && changes.orphans.allSatisfy { row(forKey: $0) == nil }
      && changes.meta.allSatisfy { change in
        guard case .set(let name, let from, _) = change else { return true }
        return meta[name] ?? 0 == from
      }
  }

  /// - Parameter run: Nil where nobody else can write.
  mutating func write(
    _ changes: Changes, _ shapes: KnownShapes, by run: Run? = nil
  ) -> [Int64] {
    let ids = changes.rows.map { write($0, shapes, maintaining: changes.oldestShape) }
    for row in changes.refills { refill(row, shapes, maintaining: changes.oldestShape) }
    if shapes.haveTerms {
      for change in changes.terms { setTerms(change) }
      for key in changes.orphans {
        setTerms(TermChange(key: key, before: nil, after: []))
      }
    }
    for deletion in changes.deletions { remove(id: deletion.id) }
    for change in changes.meta {
      switch change {
      case .set(let name, _, let value): set(name, to: value)
      case .giveUpShapes(let shape, let release):
        if meta[.oldestShape] ?? 0 < shape {
          set(.oldestShape, to: shape)
          neededRelease = release
        }
      }
      if change.isForAll { touchAllRuns() }
    }
    if let run {
      note(ids, by: run)
      settled[run] = changes.settled ?? settled[run]
    }
    return ids
  }

  private mutating func note(_ ids: [Int64], by run: Run) {
    counts[run, default: 0] += 1
    commits[run, default: 0] += 1
    let change = counts[run]!
    log.removeAll { $0.run == run && $0.change <= change - Self.changesKept }
    log.append((run, change, ids))
  }

  /// Nobody knows which rows were changed, and nobody goes by what it remembers.
  mutating func changedPastServers() {
    counts[.nobody, default: 0] += Self.changesKept + 1
    touchAllRuns()
  }

  func changes(
    byOthersThan own: [Run], since mark: ChangeMark?, _ shapes: KnownShapes
  ) -> ChangesByOthers {
    let others = counts.filter { !own.contains($0.key) }
    let now = ChangeMark(
      changesOfRun: Dictionary(uniqueKeysWithValues: others.map { ($0.key.number, $0.value) }))
    func known(_ run: Run) -> Int64 { mark?.changesOfRun[run.number] ?? 0 }
    let isKnown =
      mark != nil
      && others.allSatisfy { run, count in
        (0...Self.changesKept).contains(count - known(run))
      }
    guard isKnown else { return ChangesByOthers(mark: now, rows: nil) }
    let changed = log.filter { !own.contains($0.run) && $0.change > known($0.run) }.flatMap(\.ids)
    let ids = Set(changed)
    let found = ids.compactMap { rows[$0] }
    return ChangesByOthers(
      mark: now,
      rows: found.map { row in
        ChangedRow(
          key: row.s1.key ?? "", isOver: !row.isWatched(shapes), lease: row.lease(shapes))
      }, gone: ids.filter { rows[$0] == nil })
  }

  private mutating func touchAllRuns() {
    for run in counts.keys { counts[run]! += 1 }
  }

  private mutating func write(
    _ change: RowChange, _ shapes: KnownShapes, maintaining oldest: Int64
  ) -> Int64 {
    guard let interim = change.interim else {
      return write(change.record, change, shapes, maintaining: oldest)
    }
    var next = change
    next.id = write(interim, change, shapes, maintaining: oldest)
    return write(change.record, next, shapes, maintaining: oldest)
  }

  private mutating func write(
    _ record: LockRecord, _ change: RowChange, _ shapes: KnownShapes, maintaining oldest: Int64
  ) -> Int64 {
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
