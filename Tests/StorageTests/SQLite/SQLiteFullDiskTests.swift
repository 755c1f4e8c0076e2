import Glibc
import LockCore
import TestKit
import Testing

@testable import Storage
@testable import StorageSQLite

/// A disk that is full, and then is not.
@Suite(.timeLimit(.minutes(1))) struct SQLiteFullDiskTests {
  /// A small disk of its own where the test may mount one, which takes a privileged user.
  private final class SmallDisk {
    let folder: TemporaryFolder

    init?(kibibytes: Int) throws {
      folder = try TemporaryFolder()
      guard mount("tmpfs", folder.path, "tmpfs", 0, "size=\(kibibytes)k") == 0 else { return nil }
    }

    deinit {
      for file in folder.files { unlink("\(folder.path)/\(file)") }
      umount2(folder.path, Int32(MNT_DETACH))
    }
  }

  private struct Disk: TestDatabase {
    let path: String
    func engine(_ shapes: KnownShapes) -> any StoreEngine {
      SQLiteEngine(path: path, shapes: shapes)
    }
    func put(_ row: S1Row) throws { throw Fault.error }
    func set(_ name: StoreMeta.Name, to value: Int64, note: String) throws { throw Fault.error }
    func terms(ofKey key: String) throws -> [String] { throw Fault.error }
    func cells(forKey key: String) throws -> [String: Cell] { throw Fault.error }
    func set(_ column: String, to cell: Cell, forKey key: String) throws { throw Fault.error }
    func row(forKey key: String) throws -> S1Row? {
      let facts = try engine().openReader().read(Wanted(keys: [key]))
      return facts.byKey[0].map { row in
        .held(
          id: row.id, key: row.record.key, owner: row.record.holder?.owner, token: row.record.token,
          revision: row.record.revision, value: row.record.holder?.content.text)
      }
    }
    func meta(_ shapes: KnownShapes) throws -> StoreMeta {
      try engine(shapes).openReader().read(Wanted()).meta
    }
  }

  @Test func aFullDiskLosesNothingAndNeedsNoRestart() throws {
    guard let disk = try SmallDisk(kibibytes: 512) else { return }
    let database = Disk(path: "\(disk.folder.path)/store.db")
    let ballast = "\(disk.folder.path)/ballast"
    let bench = try TurnBench(database)
    try fill(bench, database) {
      // What else is on the disk grows until there is no room.
      let file = open(ballast, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
      defer { close(file) }
      let page = [UInt8](repeating: 1, count: 4_096)
      while write(file, page, page.count) > 0 {}
    } relief: {
      unlink(ballast)
    }
    let connection = try SQLiteConnection(path: database.path, create: false)
    #expect(try connection.text("PRAGMA integrity_check") == "ok")
  }

  @Test func aDatabaseAtItsLargestLosesNothingAndNeedsNoRestart() throws {
    let database = try SQLiteDatabase()
    let engine = PageLimitEngine(path: database.path)
    let bench = try TurnBench(LimitedDatabase(database, engine))
    try fill(bench, database) {
      try engine.connection!.execute("PRAGMA max_page_count = 1")
    } relief: {
      try engine.connection!.execute("PRAGMA max_page_count = 1000000")
    }
    #expect(try database.integrity() == "ok")
  }

  /// What a server does by itself needs room that commands may do without.
  @Test func rowsAreFilledWhenThereIsRoomAndCommandsGoOnMeanwhile() throws {
    let database = try SQLiteDatabase()
    let older = try TurnBench(
      engine: database.engine(KnownShapes(after: [])), database: database, clock: ManualClock(),
      limits: StoreLimits())
    let value = String(repeating: "v", count: 2_000)
    for number in 1...200 { older.turn(.hold("key-\(number)", "a", lease: 3_600, value: value)) }
    let engine = PageLimitEngine(path: database.path)
    let bench = try TurnBench(LimitedDatabase(database, engine))
    try engine.connection!.execute("PRAGMA max_page_count = 1")
    for number in 1...20 {
      bench.pass(seconds: 1)
      // A row that goes needs no room, and one that is renewed as it is hardly any.
      #expect(bench.turn(.release(key: "key-\(number)", owner: "a")) == [.success(.released)])
    }
    #expect(bench.observer.totals.failedUpkeeps > 1)
    #expect(bench.observer.totals.failures == 0 && bench.health == .working)
    // It was put off longer each time.
    #expect(bench.observer.totals.failedUpkeeps < 10)
    try engine.connection!.execute("PRAGMA max_page_count = 1000000")
    bench.pass(seconds: 60)
    #expect(try database.meta.backfill.row == BackfillState.done)
    for number in 21...200 {
      #expect(try database.cells(forKey: "key-\(number)")["s2_revision"] == .integer(1))
    }
    #expect(try database.integrity() == "ok")
  }

  private func fill(
    _ bench: TurnBench, _ database: any TestDatabase, shortage: () throws -> Void,
    relief: () throws -> Void
  ) throws {
    let value = String(repeating: "v", count: 9_000)
    func claim(_ number: Int) -> StoreResult {
      bench.turn(.hold("key-\(number)", "a", lease: 3_600, value: value))[0]
    }
    var acknowledged: [Int] = []
    for number in 1...5 {
      #expect(claim(number) == .granted(token: 1, revision: 1))
      acknowledged.append(number)
    }
    try shortage()
    var refusals = 0
    for number in 6...400 where refusals < 5 {
      switch claim(number) {
      case .success: acknowledged.append(number)
      case .failure(let error):
        refusals += 1
        #expect(error.code == .unavailable)
        #expect(error.message.contains("the disk of the store"), "\(error)")
        #expect(error.message.contains("is full"), "\(error)")
      }
    }
    #expect(refusals == 5)
    for number in acknowledged {
      #expect(try database.row(forKey: "key-\(number)")?.value == value)
    }
    try relief()
    // Nothing but time has to pass.
    bench.pass(seconds: 1)
    #expect(bench.health == .working)
    #expect(claim(1) == .renewed(token: 1, revision: 2))
    #expect(claim(1_000) == .granted(token: 1, revision: 1))
    for number in acknowledged {
      #expect(try database.row(forKey: "key-\(number)")?.owner == "a")
    }
  }
}

/// SQLite's own engine, with a way to its writing connection: a bound on pages holds only there.
///
/// `@unchecked Sendable`: used by one thread, that of the test.
private final class PageLimitEngine: StoreEngine, @unchecked Sendable {
  private let engine: SQLiteEngine
  private(set) var connection: SQLiteConnection?

  init(path: String) { engine = SQLiteEngine(path: path) }

  var location: String { engine.location }
  var shapes: KnownShapes { engine.shapes }

  func openWriter(for purpose: WritingPurpose) throws(StoreError) -> any StoreWriter {
    _ = try engine.openWriter()
    let connection = try SQLiteConnection(path: engine.path, create: false)
    self.connection = connection
    return try SQLiteWriter(connection, shapes, hasMadeStore: false)
  }

  func openReader() throws(StoreError) -> any StoreReader { try engine.openReader() }
}

private struct LimitedDatabase: TestDatabase {
  private let database: SQLiteDatabase
  private let limited: PageLimitEngine

  init(_ database: SQLiteDatabase, _ limited: PageLimitEngine) {
    self.database = database
    self.limited = limited
  }

  func engine(_ shapes: KnownShapes) -> any StoreEngine { limited }
  func put(_ row: S1Row) throws { try database.put(row) }
  func row(forKey key: String) throws -> S1Row? { try database.row(forKey: key) }
  func terms(ofKey key: String) throws -> [String] { try database.terms(ofKey: key) }
  func cells(forKey key: String) throws -> [String: Cell] { try database.cells(forKey: key) }
  func set(_ column: String, to cell: Cell, forKey key: String) throws {
    try database.set(column, to: cell, forKey: key)
  }
  func meta(_ shapes: KnownShapes) throws -> StoreMeta { try database.meta(shapes) }
  func set(_ name: StoreMeta.Name, to value: Int64, note: String) throws {
    try database.set(name, to: value, note: note)
  }
}
