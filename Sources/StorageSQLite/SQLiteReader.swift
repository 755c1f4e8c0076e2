import Storage

/// A connection that reads from WAL snapshots, beside the writer and without waiting for it.
final class SQLiteReader: StoreReader {
  private let connection: SQLiteConnection
  private let beginDeferred: SQLiteStatement
  private let commit: SQLiteStatement
  private let answers: SQLiteAnswers
  private var isOfOneMoment = false

  init(_ connection: SQLiteConnection, _ shapes: KnownShapes) throws(StoreError) {
    self.connection = connection
    beginDeferred = try connection.prepare("BEGIN")
    commit = try connection.prepare("COMMIT")
    answers = try SQLiteAnswers(connection, shapes)
  }

  func read(_ wanted: Wanted) throws(StoreError) -> Facts {
    if !isOfOneMoment { try begin() }
    defer { if !isOfOneMoment { end() } }
    return try answers.facts(wanted)
  }

  func beginMoment() throws(StoreError) {
    try begin()
    isOfOneMoment = true
    // A snapshot is taken by the first statement after its beginning.
    _ = try answers.facts(Wanted())
  }

  func endMoment() {
    isOfOneMoment = false
    end()
  }

  private func begin() throws(StoreError) {
    try connection.checkPlace()
    try beginDeferred.run()
  }

  private func end() {
    if connection.isInTransaction { try? commit.run() }
  }
}
