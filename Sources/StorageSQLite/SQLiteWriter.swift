import LockCore
import Storage

/// The connection that changes rows.
final class SQLiteWriter: StoreWriter {
  private let connection: SQLiteConnection
  private let shapes: KnownShapes
  private let beginImmediate: SQLiteStatement
  private let commitStatement: SQLiteStatement
  private let metaStatement: SQLiteStatement
  private let setMeta: SQLiteStatement
  private let giveUp: SQLiteStatement
  private let byKey: SQLiteStatement
  private let byID: SQLiteStatement
  private let freeAfterID: SQLiteStatement
  private let afterID: SQLiteStatement
  private let insert: SQLiteStatement
  private let update: SQLiteStatement
  private let free: SQLiteStatement
  private let refillStatement: SQLiteStatement
  private let clear: SQLiteStatement
  private let deleteStatement: SQLiteStatement
  /// Nil where no shape has terms.
  private let termStatements:
    (
      deleteAll: SQLiteStatement, delete: SQLiteStatement, insert: SQLiteStatement,
      keys: SQLiteStatement
    )?
  private let dataVersion: SQLiteStatement

  init(_ connection: SQLiteConnection, _ shapes: KnownShapes) throws(StoreError) {
    self.connection = connection
    self.shapes = shapes
    let statements = StoreStatements(shapes)
    beginImmediate = try connection.prepare("BEGIN IMMEDIATE")
    commitStatement = try connection.prepare("COMMIT")
    metaStatement = try connection.prepare(statements.meta)
    setMeta = try connection.prepare(statements.setMeta)
    giveUp = try connection.prepare(statements.giveUp)
    byKey = try connection.prepare(statements.byKey)
    byID = try connection.prepare(statements.byID)
    freeAfterID = try connection.prepare(statements.freeAfterID)
    afterID = try connection.prepare(statements.afterID)
    insert = try connection.prepare(statements.insert)
    update = try connection.prepare(statements.update)
    free = try connection.prepare(statements.free)
    refillStatement = try connection.prepare(statements.refill)
    clear = try connection.prepare(statements.clear)
    deleteStatement = try connection.prepare(statements.delete)
    termStatements =
      shapes.haveTerms
      ? (
        try connection.prepare(statements.deleteTerms),
        try connection.prepare(statements.deleteTerm),
        try connection.prepare(Terms.insertion(SQLiteEngine.dialect)),
        try connection.prepare(statements.keysWithTerms)
      ) : nil
    dataVersion = try connection.prepare("PRAGMA data_version")
  }

  func begin() throws(StoreError) { try beginImmediate.run() }

  /// Looks at its files first, as no other server writes now: what was read from a store that is
  /// not here any more decides nothing, and what SQLite wrote behind the end of a log that was cut
  /// off is lost. (Between this look and the writing that follows at once somebody may still do
  /// so: then the next look finds the hole, and only what was acknowledged before it is lost.)
  func commit() throws(StoreError) {
    try connection.checkPlace()
    try commitStatement.run()
    // The log may have been looked at once more, to be copied.
    try connection.checkLoss()
  }

  func rollback() {
    if connection.isInTransaction { try? connection.execute("ROLLBACK") }
  }

  /// A transaction that can be neither committed nor rolled back is only got rid of by closing.
  var isUsable: Bool { !connection.isInTransaction }

  var log: StoreLog { connection.log }

  func restartLog() -> Bool {
    connection.setBusyHandler(waitForReaders)
    defer { connection.setBusyHandler(waitForOtherWriter) }
    return connection.restartLog()
  }

  func meta() throws(StoreError) -> StoreMeta { try readMeta(metaStatement, shapes) }

  func rows(forKeys keys: [String]) throws(StoreError) -> [StoredRow?] {
    var rows: [StoredRow?] = []
    rows.reserveCapacity(keys.count)
    for key in keys {
      byKey.bind(1, key)
      rows.append(try byKey.firstRow(shapes))
    }
    return rows
  }

  func rows(withIDs ids: [Int64]) throws(StoreError) -> [StoredRow?] {
    var rows: [StoredRow?] = []
    rows.reserveCapacity(ids.count)
    for id in ids {
      byID.bind(1, id)
      rows.append(try byID.firstRow(shapes))
    }
    return rows
  }

  func freeRows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
    freeAfterID.bind(1, id)
    freeAfterID.bind(2, Int64(limit))
    return try freeAfterID.allRows(shapes)
  }

  func rows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
    afterID.bind(1, id)
    afterID.bind(2, Int64(limit))
    return try afterID.allRows(shapes)
  }

  func write(
    _ changes: [RowChange], maintaining oldest: Int64
  ) throws(StoreError) -> [Int64] {
    var ids: [Int64] = []
    ids.reserveCapacity(changes.count)
    for change in changes { ids.append(try write(change, maintaining: oldest)) }
    return ids
  }

  private func write(
    _ change: RowChange, maintaining oldest: Int64
  ) throws(StoreError) -> Int64 {
    let record = change.record
    if let holder = record.holder {
      let statement = change.id == nil ? insert : update
      var parameters = statement.parameters()
      parameters.add(record.token)
      parameters.add(record.revision)
      parameters.add(holder.kind.rawValue)
      parameters.add(holder.owner)
      shapes.add(record, holder, maintaining: oldest, to: &parameters)
      if let id = change.id { parameters.add(id) } else { parameters.add(record.key) }
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

  func refill(_ rows: [StoredRow], maintaining oldest: Int64) throws(StoreError) {
    for row in rows {
      let statement = row.record.holder == nil ? clear : refillStatement
      var parameters = statement.parameters()
      if let holder = row.record.holder {
        shapes.add(row.record, holder, maintaining: oldest, to: &parameters)
      }
      parameters.add(row.id)
      parameters.add(row.record.token)
      parameters.add(row.record.revision)
      try statement.run()
    }
  }

  func delete(ids: [Int64]) throws(StoreError) {
    for id in ids {
      deleteStatement.bind(1, id)
      try deleteStatement.run()
    }
  }

  func setTerms(_ changes: [TermChange]) throws(StoreError) {
    guard let (deleteAll, delete, insert, _) = termStatements else { return }
    for change in changes {
      if let removed = change.removed {
        for term in removed {
          delete.bind(1, change.key)
          delete.bind(2, term)
          try delete.run()
        }
      } else {
        deleteAll.bind(1, change.key)
        try deleteAll.run()
      }
      for term in change.added {
        insert.bind(1, change.key)
        insert.bind(2, term)
        try insert.run()
      }
    }
  }

  func keysWithTerms(
    after key: String, limit: Int
  ) throws(StoreError) -> [(key: String, hasRow: Bool)] {
    guard let statement = termStatements?.keys else { return [] }
    statement.bind(1, key)
    statement.bind(2, Int64(limit))
    return try statement.query { () throws(StoreError) in
      var keys: [(key: String, hasRow: Bool)] = []
      while try statement.step() {
        if let key = statement.text(0) { keys.append((key, statement.integer(1) != 0)) }
      }
      return keys
    }
  }

  func set(_ name: StoreMeta.Name, to value: Int64) throws(StoreError) {
    setMeta.bind(1, value)
    setMeta.bind(2, name.text)
    try setMeta.run()
  }

  func giveUpShapes(before shape: Int64, neededRelease release: String) throws(StoreError) {
    giveUp.bind(1, shape)
    giveUp.bind(2, release)
    giveUp.bind(3, shape)
    try giveUp.run()
  }

  /// Looks at its files as well: a server that has nothing to do must notice what happens to them
  /// too.
  func changesByOthers() throws(StoreError) -> Int64 {
    try connection.checkPlace()
    let statement = dataVersion
    return try statement.query { () throws(StoreError) in
      try statement.step() ? statement.integer(0) : 0
    }
  }
}
