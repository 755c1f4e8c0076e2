import LockCore
package import Storage

/// A store that lives in memory, for tests: the second engine, which shows that nothing in the store
/// protocol rests on SQLite.
///
/// Every engine made of one ``MemoryDatabase`` is another server's way to the same rows.
package struct MemoryEngine: StoreEngine {
  private let database: MemoryDatabase
  package let shapes: KnownShapes
  /// Where a migration is broken off; nil for nowhere.
  private let faults: FaultPlan?

  package var location: String { "memory:" }

  package init(_ database: MemoryDatabase, _ shapes: KnownShapes, faults: FaultPlan? = nil) {
    self.database = database
    self.shapes = shapes
    self.faults = faults
  }

  package func openWriter() throws(StoreError) -> any StoreWriter {
    try migrate()
    return MemoryWriter(database, shapes)
  }

  package func openReader() throws(StoreError) -> any StoreReader {
    MemoryReader(database, shapes)
  }

  /// Statement by statement, each of which stands by itself: as in an engine that has no transactions
  /// around changes of its tables.
  private func migrate() throws(StoreError) {
    try Fence.check(database.snapshot.meta(shapes), self)
    for column in shapes.newerColumnNames where !database.snapshot.columns.contains(column) {
      database.edit { $0.columns.insert(column) }
      if faults?.arrive(at: .migrate) != nil { throw Fault.error }
    }
    database.edit {
      $0.set(.newestShape, to: max($0.meta(shapes).newestShape, shapes.newest))
    }
  }
}

/// The connection that changes rows: works on a copy of the state, which a commit puts in place.
final class MemoryWriter: StoreWriter {
  private let database: MemoryDatabase
  private var working: MemoryState?
  private var ownCommits: Int64 = 0

  private let shapes: KnownShapes

  init(_ database: MemoryDatabase, _ shapes: KnownShapes) {
    self.database = database
    self.shapes = shapes
  }

  deinit { rollback() }

  var isUsable: Bool { working == nil }

  func begin() throws(StoreError) {
    precondition(working == nil, "a transaction within a transaction")
    guard database.lockForWriting() else {
      throw StoreError(.unavailable, "the store memory: is locked by another process")
    }
    working = database.snapshot
  }

  func commit() throws(StoreError) {
    guard let working else { preconditionFailure("a commit without a transaction") }
    ownCommits += 1
    database.replace(with: working)
    end()
  }

  func rollback() {
    if working != nil { end() }
  }

  private func end() {
    working = nil
    database.unlockForWriting()
  }

  func meta() throws(StoreError) -> StoreMeta { working!.meta(shapes) }

  func keysWithTerms(
    after key: String, limit: Int
  ) throws(StoreError) -> [(key: String, hasRow: Bool)] {
    let keys = working!.keysWithTerms.filter { key.utf8.lexicographicallyPrecedes($0.utf8) }
      .sorted { MemoryState.isInOrder($0, $1) }
    return keys.prefix(limit).map { ($0, working!.row(forKey: $0) != nil) }
  }

  func rows(forKeys keys: [String]) throws(StoreError) -> [StoredRow?] {
    keys.map { working!.row(forKey: $0)?.stored(shapes) }
  }

  func rows(withIDs ids: [Int64]) throws(StoreError) -> [StoredRow?] {
    ids.map { working!.rows[$0]?.stored(shapes) }
  }

  func freeRows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
    let free = working!.inOrderOfIDs(after: id).filter {
      $0.s1.owner == nil && !$0.s1.ownerIsDamaged
    }
    return free.prefix(limit).map { $0.stored(shapes) }
  }

  func rows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
    working!.inOrderOfIDs(after: id).prefix(limit).map { $0.stored(shapes) }
  }

  func write(
    _ changes: [RowChange], maintaining oldest: Int64
  ) throws(StoreError) -> [Int64] {
    changes.map { working!.write($0, shapes, maintaining: oldest) }
  }

  func refill(_ rows: [StoredRow], maintaining oldest: Int64) throws(StoreError) {
    for row in rows { working!.refill(row, shapes, maintaining: oldest) }
  }

  func delete(ids: [Int64]) throws(StoreError) {
    for id in ids { working!.remove(id: id) }
  }

  func setTerms(_ changes: [TermChange]) throws(StoreError) {
    guard shapes.haveTerms else { return }
    for change in changes { working!.setTerms(change) }
  }

  func set(_ name: StoreMeta.Name, to value: Int64) throws(StoreError) {
    working!.set(name, to: value)
  }

  func giveUpShapes(before shape: Int64, neededRelease release: String) throws(StoreError) {
    working!.set(.oldestShape, to: shape)
    working!.neededRelease = release
  }

  func changesByOthers() throws(StoreError) -> Int64 { database.commits - ownCommits }
}

/// A connection that reads the state as it was when its snapshot began.
final class MemoryReader: StoreReader {
  private let database: MemoryDatabase
  private var snapshot: MemoryState?

  private let shapes: KnownShapes

  init(_ database: MemoryDatabase, _ shapes: KnownShapes) {
    self.database = database
    self.shapes = shapes
  }

  func begin() throws(StoreError) {
    precondition(snapshot == nil, "a snapshot within a snapshot")
    snapshot = database.snapshot
  }

  func end() { snapshot = nil }

  func meta() throws(StoreError) -> StoreMeta { snapshot!.meta(shapes) }

  func lastID() throws(StoreError) -> Int64 { snapshot!.rows.keys.max() ?? 0 }

  func row(forKey key: String) throws(StoreError) -> StoredRow? {
    snapshot!.row(forKey: key)?.stored(shapes)
  }

  func latestGrants(of keys: some Collection<String>) throws(StoreError) -> [LatestGrant?] {
    keys.map { key in
      snapshot!.row(forKey: key).map { row in
        let isHeld = row.s1.owner != nil || row.s1.ownerIsDamaged
        return LatestGrant(
          token: row.s1.token, isOver: !isHeld && row.s1.needsShape <= shapes.newest)
      }
    }
  }

  func rows(
    of kind: Kind?, in range: KeyRange, limit: Int
  ) throws(StoreError) -> [StoredRow] {
    let found = snapshot!.heldInOrderOfKeys.filter { row in
      let isOfUnknownKind =
        row.s1.needsShape > shapes.newest && Kind(rawValue: row.s1.kind) == nil
      let isOfKind =
        kind.map { isOfUnknownKind ? $0 == .lock : row.s1.kind == $0.rawValue } ?? true
      return isOfKind && row.s1.key.map(range.contains) ?? range.prefix.isEmpty
    }
    return found.prefix(limit).map { $0.stored(shapes) }
  }

  func keys(
    withTerm term: String, in range: KeyRange, limit: Int
  ) throws(StoreError) -> [String] {
    let found = snapshot!.keys(withTerms: [term, Terms.whatever]).filter(range.contains)
    return Array(found.sorted(by: MemoryState.isInOrder).prefix(limit))
  }

  func count(ofTerm term: String, in range: KeyRange, max: Int) throws(StoreError) -> Int {
    min(snapshot!.keys(withTerms: [term]).filter(range.contains).count, max)
  }

  func leases(afterID id: Int64, limit: Int) throws(StoreError) -> [SeenLease] {
    let watched = snapshot!.inOrderOfIDs(after: id).filter {
      $0.s1.owner != nil || $0.s1.ownerIsDamaged || $0.s1.needsShape > shapes.newest
    }
    return watched.prefix(limit).map { $0.lease(shapes) }
  }
}
