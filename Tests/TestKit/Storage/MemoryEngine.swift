import LockCore
package import Storage

/// A store that lives in memory, for tests: the second engine, which shows that nothing in the store
/// protocol rests on SQLite.
///
/// Every engine made of one ``MemoryDatabase`` is another server's way to the same rows.
package struct MemoryEngine: StoreEngine {
  private let database: MemoryDatabase

  package var location: String { "memory:" }

  package init(_ database: MemoryDatabase) { self.database = database }

  package func openWriter() throws(StoreError) -> any StoreWriter {
    let meta = database.snapshot.meta
    try Fence.check(meta, location: location)
    return MemoryWriter(database)
  }

  package func openReader() throws(StoreError) -> any StoreReader { MemoryReader(database) }
}

/// The connection that changes rows: works on a copy of the state, which a commit puts in place.
final class MemoryWriter: StoreWriter {
  private let database: MemoryDatabase
  private var working: MemoryState?
  private var ownCommits: Int64 = 0

  init(_ database: MemoryDatabase) { self.database = database }

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

  func meta() throws(StoreError) -> StoreMeta { working!.meta }

  func rows(forKeys keys: [String]) throws(StoreError) -> [StoredRow?] {
    keys.map { working!.row(forKey: $0)?.stored }
  }

  func rows(withIDs ids: [Int64]) throws(StoreError) -> [StoredRow?] {
    ids.map { working!.rows[$0]?.stored }
  }

  func freeRows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
    let free = working!.inOrderOfIDs(after: id).filter { $0.owner == nil && !$0.ownerIsDamaged }
    return free.prefix(limit).map(\.stored)
  }

  func write(_ changes: [RowChange]) throws(StoreError) -> [Int64] {
    changes.map { working!.write($0) }
  }

  func delete(ids: [Int64]) throws(StoreError) {
    for id in ids { working!.remove(id: id) }
  }

  func set(_ name: StoreMeta.Name, to value: Int64) throws(StoreError) {
    working!.set(name, to: value)
  }

  func changesByOthers() throws(StoreError) -> Int64 { database.commits - ownCommits }
}

/// A connection that reads the state as it was when its snapshot began.
final class MemoryReader: StoreReader {
  private let database: MemoryDatabase
  private var snapshot: MemoryState?

  init(_ database: MemoryDatabase) { self.database = database }

  func begin() throws(StoreError) {
    precondition(snapshot == nil, "a snapshot within a snapshot")
    snapshot = database.snapshot
  }

  func end() { snapshot = nil }

  func meta() throws(StoreError) -> StoreMeta { snapshot!.meta }

  func row(forKey key: String) throws(StoreError) -> StoredRow? {
    snapshot!.row(forKey: key)?.stored
  }

  func rows(
    of kind: Kind?, prefix: String, afterKey key: String, limit: Int
  ) throws(StoreError) -> [StoredRow] {
    let found = snapshot!.heldInOrderOfKeys.filter { row in
      let isOfUnknownKind = row.needsShape > S1.number && Kind(rawValue: row.kind) == nil
      let isOfKind =
        kind.map { isOfUnknownKind ? $0 == .lock : row.kind == $0.rawValue } ?? true
      return isOfKind && row.key?.utf8.starts(with: prefix.utf8) ?? prefix.isEmpty
        && MemoryState.isInOrder(key, row.key)
    }
    return found.prefix(limit).map(\.stored)
  }

  func leases(afterID id: Int64, limit: Int) throws(StoreError) -> [SeenLease] {
    let watched = snapshot!.inOrderOfIDs(after: id).filter {
      $0.owner != nil || $0.ownerIsDamaged || $0.needsShape > S1.number
    }
    return watched.prefix(limit).map { row in
      SeenLease(
        id: row.id, sighting: Sighting(token: row.token, revision: row.revision),
        lease: Lease(seconds: row.leaseSeconds) ?? .longest,
        kind: row.needsShape > S1.number ? nil : Kind(rawValue: row.kind))
    }
  }
}
