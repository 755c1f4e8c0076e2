import CSQLite
import Storage

/// A connection to an SQLite file. It belongs to one thread at a time and closes with its owner.
final class SQLiteConnection {
  private let handle: OpaquePointer
  let path: String

  /// - Parameter create: Whether a missing file is made.
  init(path: String, create: Bool) throws(StoreError) {
    var handle: OpaquePointer?
    // No mutex: the store calls each connection from one thread.
    let flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
      | (create ? SQLITE_OPEN_CREATE : 0)
    let code = sqlite3_open_v2(path, &handle, flags, nil)
    guard code == SQLITE_OK, let handle else {
      let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
      sqlite3_close(handle)
      throw StoreError(.unavailable, "cannot open the store \(path): \(message)")
    }
    self.handle = handle
    self.path = path
  }

  deinit { sqlite3_close_v2(handle) }

  func execute(_ sql: String) throws(StoreError) {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw error(code) }
  }

  func prepare(_ sql: String) throws(StoreError) -> SQLiteStatement {
    var statement: OpaquePointer?
    let code = sqlite3_prepare_v3(
      handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
    guard code == SQLITE_OK, let statement else { throw error(code) }
    return SQLiteStatement(statement, of: self)
  }

  /// The first column of the first row of `sql`; nil where there is none.
  func integer(_ sql: String) throws(StoreError) -> Int64? {
    let statement = try prepare(sql)
    return try statement.query { () throws(StoreError) in
      try statement.step() ? statement.integer(0) : nil
    }
  }

  /// The first column of the first row of `sql` as text.
  func text(_ sql: String) throws(StoreError) -> String? {
    let statement = try prepare(sql)
    return try statement.query { () throws(StoreError) in
      try statement.step() ? statement.text(0) : nil
    }
  }

  /// The first column of each row of `sql`, where it is text.
  func texts(_ sql: String) throws(StoreError) -> [String] {
    let statement = try prepare(sql)
    return try statement.query { () throws(StoreError) in
      var texts: [String] = []
      while try statement.step() { texts += statement.text(0).map { [$0] } ?? [] }
      return texts
    }
  }

  /// Whether the latest call failed because another connection has the file locked.
  var isLockedOut: Bool { sqlite3_errcode(handle) & 0xff == SQLITE_BUSY }

  /// - Throws: Where the file is not at its path any more: another server would open another one, and
  ///   both would grant the same locks.
  func checkPlace() throws(StoreError) {
    var hasMoved: Int32 = 0
    let code = sqlite3_file_control(handle, "main", SQLITE_FCNTL_HAS_MOVED, &hasMoved)
    guard code != SQLITE_OK || hasMoved == 0 else { throw self.hasMoved }
  }

  /// What is said where another file than the server's is at its path, or none.
  var hasMoved: StoreError {
    StoreError(
      .unavailable,
      "the store \(path) was moved or replaced while this server had it open: "
        + "put it back, or restart the server")
  }

  /// How long a statement waits for another process that has the file locked.
  func setBusyTimeout(milliseconds: Int32) { sqlite3_busy_timeout(handle, milliseconds) }

  /// Hands waiting for a lock to `handler`: gets how often it was asked, says whether to go on.
  func setBusyHandler(
    _ handler: @escaping @convention(c) (UnsafeMutableRawPointer?, Int32) -> Int32
  ) {
    sqlite3_busy_handler(handle, handler, nil)
  }

  var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }
  var lastInsertedID: Int64 { sqlite3_last_insert_rowid(handle) }

  /// SQLite's result code in words that help.
  func error(_ code: Int32) -> StoreError {
    let detail = String(cString: sqlite3_errmsg(handle))
    let hint: String
    switch code & 0xff {
    case SQLITE_BUSY, SQLITE_LOCKED:
      hint = "the store \(path) is locked by another process"
    case SQLITE_FULL:
      hint = "the disk of the store \(path) is full"
    case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
      hint = "the store \(path) cannot be written"
    case SQLITE_CORRUPT:
      return StoreError(.unavailable, "the store \(path) is corrupt (\(detail))")
    case SQLITE_NOTADB:
      return StoreError(.unusable, "\(path) is not an SQLite database (\(detail))")
    case SQLITE_CANTOPEN:
      hint = "cannot open the store \(path)"
    default:
      hint = "the store \(path) failed"
    }
    return StoreError(.unavailable, "\(hint) (\(detail), SQLite code \(code))")
  }
}
