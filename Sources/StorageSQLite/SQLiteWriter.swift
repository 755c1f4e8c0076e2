import LockCore
import Storage

/// The connection that changes rows.
final class SQLiteWriter: StoreWriter {
  private let connection: SQLiteConnection
  private let beginImmediate: SQLiteStatement
  private let commitStatement: SQLiteStatement
  private let metaStatement: SQLiteStatement
  private let setMeta: SQLiteStatement
  private let byKey: SQLiteStatement
  private let byID: SQLiteStatement
  private let freeAfterID: SQLiteStatement
  private let insert: SQLiteStatement
  private let update: SQLiteStatement
  private let free: SQLiteStatement
  private let deleteStatement: SQLiteStatement
  private let dataVersion: SQLiteStatement

  init(_ connection: SQLiteConnection) throws(StoreError) {
    self.connection = connection
    beginImmediate = try connection.prepare("BEGIN IMMEDIATE")
    commitStatement = try connection.prepare("COMMIT")
    metaStatement = try connection.prepare(S1.meta)
    setMeta = try connection.prepare(S1.setMeta)
    byKey = try connection.prepare(S1.byKey)
    byID = try connection.prepare(S1.byID)
    freeAfterID = try connection.prepare(S1.freeAfterID)
    insert = try connection.prepare(S1.insert)
    update = try connection.prepare(S1.update)
    free = try connection.prepare(S1.free)
    deleteStatement = try connection.prepare(S1.delete)
    dataVersion = try connection.prepare("PRAGMA data_version")
  }

  func begin() throws(StoreError) {
    try connection.checkPlace()
    try beginImmediate.run()
  }

  func commit() throws(StoreError) { try commitStatement.run() }

  func rollback() {
    if connection.isInTransaction { try? connection.execute("ROLLBACK") }
  }

  /// A transaction that can be neither committed nor rolled back is only got rid of by closing.
  var isUsable: Bool { !connection.isInTransaction }

  func meta() throws(StoreError) -> StoreMeta { try readMeta(metaStatement) }

  func rows(forKeys keys: [String]) throws(StoreError) -> [StoredRow?] {
    var rows: [StoredRow?] = []
    rows.reserveCapacity(keys.count)
    for key in keys {
      byKey.bind(1, key)
      rows.append(try byKey.firstRow())
    }
    return rows
  }

  func rows(withIDs ids: [Int64]) throws(StoreError) -> [StoredRow?] {
    var rows: [StoredRow?] = []
    rows.reserveCapacity(ids.count)
    for id in ids {
      byID.bind(1, id)
      rows.append(try byID.firstRow())
    }
    return rows
  }

  func freeRows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
    freeAfterID.bind(1, id)
    freeAfterID.bind(2, Int64(limit))
    return try freeAfterID.allRows()
  }

  func write(_ changes: [RowChange]) throws(StoreError) -> [Int64] {
    var ids: [Int64] = []
    ids.reserveCapacity(changes.count)
    for change in changes { ids.append(try write(change)) }
    return ids
  }

  private func write(_ change: RowChange) throws(StoreError) -> Int64 {
    let record = change.record
    if let holder = record.holder {
      let statement = change.id == nil ? insert : update
      statement.bind(1, record.token)
      statement.bind(2, record.revision)
      statement.bind(3, holder.kind.rawValue)
      statement.bind(4, holder.owner)
      statement.bind(5, holder.value)
      statement.bind(6, holder.lease.seconds)
      statement.bindNull(7)
      if let id = change.id { statement.bind(8, id) } else { statement.bind(8, record.key) }
      try statement.run()
    } else {
      guard let id = change.id else {
        preconditionFailure("a free record is written only where a row exists")
      }
      free.bind(1, record.token)
      free.bind(2, record.revision)
      free.bind(3, change.epoch)
      free.bind(4, id)
      try free.run()
    }
    return change.id ?? connection.lastInsertedID
  }

  func delete(ids: [Int64]) throws(StoreError) {
    for id in ids {
      deleteStatement.bind(1, id)
      try deleteStatement.run()
    }
  }

  func set(_ name: StoreMeta.Name, to value: Int64) throws(StoreError) {
    setMeta.bind(1, value)
    setMeta.bind(2, name.rawValue)
    try setMeta.run()
  }

  func changesByOthers() throws(StoreError) -> Int64 {
    let statement = dataVersion
    return try statement.query { () throws(StoreError) in
      try statement.step() ? statement.integer(0) : 0
    }
  }
}
