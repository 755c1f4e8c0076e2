import CSQLite
import Storage

/// A connection to an SQLite file. It belongs to one thread at a time and closes with its owner.
final class SQLiteConnection {
  private let handle: OpaquePointer
  let path: String
  /// The database with symbolic links resolved: what SQLite makes the names of its other files
  /// from.
  let filePath: String
  /// What it has open, and who keeps count of that.
  private var files: (open: OpenFiles, owner: StoreFiles)?
  /// The log as far as this connection knows it, in bytes: what it takes on the disk, and how much
  /// of it was written since it last began anew.
  private(set) var log = StoreLog()

  /// - Parameter create: Whether a missing file is made.
  init(path: String, create: Bool) throws(StoreError) {
    var handle: OpaquePointer?
    // No mutex: the store calls each connection from one thread.
    let flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
      | (create ? SQLITE_OPEN_CREATE : 0)
    let code = sqlite3_open_v2(path, &handle, flags, nil)
    guard code == SQLITE_OK, let handle else {
      let fault = SQLiteFault(
        path: path, filePath: path, code: code,
        detail: handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory",
        systemError: handle.map { sqlite3_system_errno($0) } ?? 0)
      sqlite3_close(handle)
      throw fault.error
    }
    self.handle = handle
    self.path = path
    filePath = sqlite3_db_filename(handle, "main").map { String(cString: $0) } ?? path
    // SQLite is content with reading where a file may not be written.
    if sqlite3_db_readonly(handle, "main") == 1 {
      throw SQLiteFault(
        path: path, filePath: filePath, code: SQLITE_READONLY,
        detail: String(cString: sqlite3_errstr(SQLITE_READONLY)), systemError: 0
      ).error
    }
  }

  deinit {
    // What is left of a log that somebody cut off would be copied over sound pages.
    if hasLoss() { csqlite_leave_log(handle) }
    sqlite3_close_v2(handle)
    files?.owner.release()
  }

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

  // MARK: - Its files

  /// Whether another file than the one it has open is at its path, or none.
  var hasMoved: Bool {
    var hasMoved: Int32 = 0
    let code = sqlite3_file_control(handle, "main", SQLITE_FCNTL_HAS_MOVED, &hasMoved)
    return code == SQLITE_OK && hasMoved != 0
  }

  /// From now on ``checkPlace()`` looks whether the files that it has open now stay in their
  /// places.
  func keepWatch(over files: StoreFiles) throws(StoreError) {
    self.files = (try files.adopt(self), files)
    logIndex = LogIndex(of: handle)
  }

  /// - Throws: As ``OpenFiles/check()`` and ``checkContents(_:)``.
  func checkPlace() throws(StoreError) {
    do {
      try look()
    } catch {
      // Whoever starts without the log misses what is in it alone, but for what can still be saved;
      // SQLite does not do that within a transaction.
      if let (open, _) = files, open.onlyLogIsMissing {
        if isInTransaction { try? execute("ROLLBACK") }
        _ = checkpoint(SQLITE_CHECKPOINT_PASSIVE)
      }
      throw error
    }
  }

  private func look() throws(StoreError) {
    guard let files = files?.open else { return }
    let sizes = try files.check()
    log.fileBytes = sizes.log
    try checkContents(sizes)
  }

  /// Nil before ``keepWatch(over:)``.
  private var logIndex: LogIndex?
  /// How many pages were written within transactions, as of the last look.
  private var spillsSeen: Int32 = 0

  /// - Throws: Where a file was emptied in its place, from then on for as long as the server runs.
  private func checkContents(_ sizes: LogIndex.Sizes? = nil) throws(StoreError) {
    guard logIndex != nil, let (open, owner) = files else { return }
    try checkLoss()
    let spills = csqlite_spills(handle)
    let hasWritten = isInTransaction && spills != spillsSeen
    spillsSeen = spills
    guard let loss = logIndex?.loss(sizes, hasWritten: hasWritten) else { return }
    if loss == .log { logIndex?.settle() }
    throw owner.note(.hasEmptied(loss == .log ? open.logPath : open.path, of: open.path))
  }

  /// - Throws: Where a look has found that something is lost, of whichever connection.
  func checkLoss() throws(StoreError) {
    if let loss = files?.owner.loss { throw loss }
  }

  private func hasLoss() -> Bool {
    do {
      try checkContents()
      return false
    } catch {
      return true
    }
  }

  // MARK: - Its log

  /// Has everything be copied from the log into the database that readers allow, after each commit
  /// that leaves more than `pages` in it.
  func copyLog(afterPages pages: Int) {
    logPagesMax = pages
    sqlite3_wal_hook(
      handle,
      { (connection, _, _, pages) in
        Unmanaged<SQLiteConnection>.fromOpaque(connection!).takeUnretainedValue()
          .committed(logPages: Int(pages))
        return SQLITE_OK
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  private var logPagesMax = Int.max
  /// A page of 4 KiB and what stands before it in the log.
  private static let logPageBytes: Int64 = 4_096 + 24

  private func committed(logPages: Int) {
    log.usedBytes = Int64(logPages) * Self.logPageBytes
    if logPages >= logPagesMax { _ = checkpoint(SQLITE_CHECKPOINT_PASSIVE) }
  }

  /// Copies everything from the log into the database, so that it begins anew with the next write.
  /// Waits for whoever still reads from it, and keeps others from writing meanwhile.
  ///
  /// - Returns: False where somebody reads for longer than the connection waits.
  func restartLog() -> Bool {
    guard checkpoint(SQLITE_CHECKPOINT_RESTART) == SQLITE_OK else { return false }
    log.usedBytes = 0
    return true
  }

  private func checkpoint(_ mode: Int32) -> Int32 {
    guard !hasLoss() else { return SQLITE_IOERR }
    return sqlite3_wal_checkpoint_v2(handle, "main", mode, nil, nil)
  }

  // MARK: - Waiting and failing

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

  /// SQLite's result code in words that help. Where something is wrong with the files, that is why.
  func error(_ code: Int32) -> StoreError {
    let fault = SQLiteFault(
      path: path, filePath: filePath, code: code, detail: String(cString: sqlite3_errmsg(handle)),
      systemError: sqlite3_system_errno(handle))
    do {
      try look()
      return fault.error
    } catch {
      return error
    }
  }
}
