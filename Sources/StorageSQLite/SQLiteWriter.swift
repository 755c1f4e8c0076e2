import LockCore
import Storage
import StorageSQL

/// The connection that changes rows.
final class SQLiteWriter: StoreWriter {
  private let connection: SQLiteConnection
  private let shapes: KnownShapes
  private let beginImmediate: SQLiteStatement
  private let commitStatement: SQLiteStatement
  private let answers: SQLiteAnswers
  private let setMeta: SQLiteStatement
  private let giveUp: SQLiteStatement
  private let insert: SQLiteStatement
  private let update: SQLiteStatement
  private let free: SQLiteStatement
  private let refillStatement: SQLiteStatement
  private let clear: SQLiteStatement
  private let deleteStatement: SQLiteStatement
  /// Nil where no shape has terms.
  private let termStatements:
    (deleteAll: SQLiteStatement, delete: SQLiteStatement, insert: SQLiteStatement)?
  private let dataVersion: SQLiteStatement
  let hasMadeStore: Bool

  init(
    _ connection: SQLiteConnection, _ shapes: KnownShapes, hasMadeStore: Bool
  ) throws(StoreError) {
    self.connection = connection
    self.shapes = shapes
    self.hasMadeStore = hasMadeStore
    let statements = StoreStatements(shapes, .sqlite)
    beginImmediate = try connection.prepare("BEGIN IMMEDIATE")
    commitStatement = try connection.prepare("COMMIT")
    answers = try SQLiteAnswers(connection, shapes)
    setMeta = try connection.prepare(statements.setMeta)
    giveUp = try connection.prepare(statements.giveUp)
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
        try connection.prepare(statements.insertTerm)
      ) : nil
    dataVersion = try connection.prepare("PRAGMA data_version")
  }

  /// Keeps all other servers from writing until the transaction ends.
  func read(_ wanted: Wanted) throws(StoreError) -> Facts {
    try beginImmediate.run()
    return try answers.facts(wanted)
  }

  /// Everything is still as it was read, so there is no conflict.
  func apply(_ changes: Changes) throws(StoreError) -> Applied {
    var ids: [Int64] = []
    ids.reserveCapacity(changes.rows.count)
    for change in changes.rows { ids.append(try write(change, changes.oldestShape)) }
    for row in changes.refills { try refill(row, maintaining: changes.oldestShape) }
    for change in changes.terms { try setTerms(change) }
    for key in changes.orphans {
      try setTerms(TermChange(key: key, before: nil, after: []))
    }
    for deletion in changes.deletions {
      deleteStatement.bind(1, deletion.id)
      try deleteStatement.run()
    }
    for change in changes.meta { try set(change) }
    try commit()
    return .done(ids: ids)
  }

  /// Looks at its files first, as no other server writes now: what was read from a store that is
  /// not here any more decides nothing, and what SQLite wrote behind the end of a log that was cut
  /// off is lost. (Between this look and the writing that follows at once somebody may still do
  /// so: then the next look finds the hole, and only what was acknowledged before it is lost.)
  private func commit() throws(StoreError) {
    try connection.checkPlace()
    try commitStatement.run()
    // The log may have been looked at once more, to be copied.
    try connection.checkLoss()
  }

  func forget() {
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

  private func write(_ change: RowChange, _ oldestShape: Int64) throws(StoreError) -> Int64 {
    if change.record.holder != nil { return try hold(change.id, change.record, oldestShape) }
    var id = change.id
    if let interim = change.interim { id = try hold(id, interim, oldestShape) }
    guard let id else {
      preconditionFailure("a free record is written only where a row exists")
    }
    free.bind(1, change.record.token)
    free.bind(2, change.record.revision)
    free.bind(3, change.epoch)
    free.bind(4, id)
    try free.run()
    return id
  }

  private func hold(
    _ id: Int64?, _ record: LockRecord, _ oldestShape: Int64
  ) throws(StoreError) -> Int64 {
    guard let holder = record.holder else { preconditionFailure("nobody holds it") }
    let statement = id == nil ? insert : update
    var parameters = statement.parameters()
    parameters.add(record.token)
    parameters.add(record.revision)
    parameters.add(holder.kind.rawValue)
    parameters.add(holder.owner)
    shapes.add(record, holder, maintaining: oldestShape, to: &parameters)
    if let id { parameters.add(id) } else { parameters.add(record.key) }
    try statement.run()
    return id ?? connection.lastInsertedID
  }

  private func refill(_ row: StoredRow, maintaining oldest: Int64) throws(StoreError) {
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

  private func setTerms(_ change: TermChange) throws(StoreError) {
    guard let (deleteAll, delete, insert) = termStatements else { return }
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

  private func set(_ change: MetaChange) throws(StoreError) {
    switch change {
    case .set(let name, _, let value):
      setMeta.bind(1, value)
      setMeta.bind(2, name.text)
      try setMeta.run()
    case .giveUpShapes(let shape, let release):
      giveUp.bind(1, shape)
      giveUp.bind(2, release)
      giveUp.bind(3, shape)
      try giveUp.run()
    }
  }

  /// Who puts another file in its place is noticed by that (``SQLiteConnection/checkPlace()``).
  func acceptPast() {}

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
