import Glibc
package import Storage
import StorageSQL

/// The store in one SQLite file, which several servers on this machine may have open at once.
///
/// The file is in WAL mode and every commit is synced to disk before it counts. It must be on a
/// local disk, under one name: SQLite's locks and its shared memory do not work across a network
/// file system, and the WAL is found by the name of the file (``StoreFiles``).
package struct SQLiteEngine: StoreEngine {
  /// How long a transaction waits, in all, for another process that is writing.
  package static let busyMillisecondsMax = 2_000
  /// How long opening the file waits for another process, such as one that is just creating it.
  package static let openMillisecondsMax: Int32 = 10_000
  /// The WAL is copied into the database after this many pages of 4 KiB.
  package static let checkpointPages = 4_000
  /// A WAL larger than this is cut back when it begins anew.
  package static let walBytesMax = 64 << 20
  /// How long having the WAL begin anew waits for who reads from it. All writing stands still
  /// meanwhile.
  package static let restartMillisecondsMax: Int32 = 200
  /// Page cache of the writing connection; readers have SQLite's default of 2 MB.
  package static let writerCacheKibibytes = 6 << 10
  /// Marks the file as Latchkey's ("LTKY"), for file(1) and against mistaken paths.
  package static let applicationID: Int64 = 0x4C54_4B59

  /// The file.
  package let path: String
  package let shapes: KnownShapes
  package let mustExist: Bool
  package var location: String { "sqlite:\(path)" }
  private let files: StoreFiles

  /// - Parameters:
  ///   - shapes: Those that the server knows; other than all of them in tests.
  ///   - mustExist: Whether no store is made where there is none.
  package init(path: String, shapes: KnownShapes = .all, mustExist: Bool = false) {
    self.path = path
    self.shapes = shapes
    self.mustExist = mustExist
    files = StoreFiles(path: path)
  }

  package func remarks() -> [String] { files.remarks() }

  package func openWriter(for purpose: WritingPurpose) throws(StoreError) -> any StoreWriter {
    if mustExist, FileStatus(at: path) == nil, errno == ENOENT { throw isMissing("there is none") }
    try files.prepare(create: !mustExist)
    let connection = try SQLiteConnection(path: path, create: !mustExist)
    connection.setBusyTimeout(milliseconds: Self.openMillisecondsMax)
    let isNew = try !hasStore(connection)
    if isNew, mustExist { throw isMissing("the file is empty") }
    try turnToWAL(connection)
    try connection.execute("PRAGMA synchronous = FULL")
    connection.copyLog(afterPages: Self.checkpointPages)
    try connection.execute("PRAGMA journal_size_limit = \(Self.walBytesMax)")
    try connection.execute("PRAGMA cache_size = -\(Self.writerCacheKibibytes)")
    let hasMadeStore = try migrate(connection)
    connection.setBusyHandler(waitForOtherWriter)
    let writer = try SQLiteWriter(connection, shapes, hasMadeStore: hasMadeStore)
    try connection.keepWatch(over: files)
    return writer
  }

  package func openReader() throws(StoreError) -> any StoreReader {
    try files.prepare(create: false)
    let connection = try SQLiteConnection(path: path, create: false)
    connection.setBusyTimeout(milliseconds: Int32(Self.busyMillisecondsMax))
    try connection.execute("PRAGMA query_only = ON")
    let reader = try SQLiteReader(connection, shapes)
    try connection.keepWatch(over: files)
    return reader
  }

  private func isMissing(_ what: String) -> StoreError {
    StoreError(
      .missing, "the store \(path) is missing: \(what), and --store-must-exist makes no new one")
  }

  /// Another program's database is not written to because a path was mistyped.
  ///
  /// - Returns: Whether there is a store; false where the file is empty.
  private func hasStore(_ connection: SQLiteConnection) throws(StoreError) -> Bool {
    let tables = try connection.integer(
      "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    let ours = try connection.integer(
      "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '\(S1.metaTable)'")
    guard tables != 0, ours == 0 else { return tables != 0 }
    throw StoreError(
      .unusable, "\(path) is a database of another program: it has tables, but not Latchkey's")
  }

  /// SQLite does not wait by itself here: servers that turn a new file to WAL at once could wait for
  /// each other for ever.
  private func turnToWAL(_ connection: SQLiteConnection) throws(StoreError) {
    var waits: Int32 = 0
    while true {
      do throws(StoreError) {
        guard try connection.text("PRAGMA journal_mode = WAL") == "wal" else {
          throw StoreError(
            .unavailable,
            "the store \(path) must be on a local disk: its file system has no shared memory")
        }
        return
      } catch {
        guard connection.isLockedOut, waits < Self.openMillisecondsMax else { throw error }
        waits += 1
        usleep(UInt32.random(in: 500...1_500))
      }
    }
  }

  /// One transaction, so that servers which do it at once do it one after the other, and one that
  /// is killed in it has done nothing.
  ///
  /// - Returns: Whether there was no store before.
  private func migrate(_ connection: SQLiteConnection) throws(StoreError) -> Bool {
    try connection.execute("BEGIN IMMEDIATE")
    do {
      let exists = try connection.integer(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '\(S1.metaTable)'")
      if exists == 0 {
        try connection.execute("PRAGMA application_id = \(Self.applicationID)")
      } else {
        // A newer server may have dropped this one's shapes: nothing is touched before that is known.
        try Fence.check(
          readMeta(connection.prepare(StoreStatements(shapes, .sqlite).meta), shapes), self)
      }
      let existing = Set(
        try connection.texts("SELECT name FROM pragma_table_info('\(S1.resourceTable)')"))
      for statement in shapes.migration(.sqlite, existingColumns: existing) {
        try connection.execute(statement)
      }
      let birth = StoreBirth.random(isStoreNew: exists == 0)
      try connection.execute(SQLDialect.sqlite.insertIfMissing(birth))
      try connection.execute("COMMIT")
      return exists == 0
    } catch {
      if connection.isInTransaction { try? connection.execute("ROLLBACK") }
      throw error
    }
  }
}

/// Waits a little longer each time another process has the database locked, up to
/// ``SQLiteEngine/busyMillisecondsMax`` in all. The waits are jittered, so that servers of one store
/// do not keep meeting.
func waitForOtherWriter(_: UnsafeMutableRawPointer?, attempt: Int32) -> Int32 {
  // 10 x 0.2 ms, 40 x 1 ms, then 5 ms each.
  let microseconds: UInt32 = attempt < 10 ? 200 : attempt < 50 ? 1_000 : 5_000
  let attemptsMax = 50 + (SQLiteEngine.busyMillisecondsMax - 42) / 5
  guard attempt < attemptsMax else { return 0 }
  usleep(UInt32.random(in: microseconds / 2...microseconds * 3 / 2))
  return 1
}

/// Looks every millisecond, so that writing stands still no longer than it has to, up to
/// ``SQLiteEngine/restartMillisecondsMax``.
func waitForReaders(_: UnsafeMutableRawPointer?, attempt: Int32) -> Int32 {
  guard attempt < SQLiteEngine.restartMillisecondsMax else { return 0 }
  usleep(1_000)
  return 1
}

func readMeta(
  _ statement: SQLiteStatement, _ shapes: KnownShapes
) throws(StoreError) -> StoreMeta {
  try statement.query { () throws(StoreError) in
    var meta = StoreMeta.unread
    while try statement.step() {
      shapes.read(
        statement.text(0) ?? "", statement.integer(1), note: statement.text(2), into: &meta)
    }
    return meta
  }
}
