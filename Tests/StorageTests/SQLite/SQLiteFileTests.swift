import Glibc
import LockCore
import TestKit
import Testing

@testable import Storage
@testable import StorageSQLite

/// What is refused, and what is left of it.
@Suite struct SQLiteFileTests {
  private func refusal(of path: String) -> StoreError? {
    do {
      _ = try SQLiteEngine(path: path).openWriter()
      return nil
    } catch {
      return error
    }
  }

  @Test(arguments: ["DELETE", "WAL"])
  func anotherProgramsDatabaseIsRefusedAndUntouched(_ journal: String) throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/other.db"
    do {
      let other = try SQLiteConnection(path: path, create: true)
      try other.execute("PRAGMA journal_mode = \(journal)")
      try other.execute("CREATE TABLE accounts (name TEXT); INSERT INTO accounts VALUES ('a')")
    }
    let before = try #require(bytes(of: path))
    let error = try #require(refusal(of: path))
    #expect(error.code == .unusable)
    #expect(error.message.contains("another program"))
    #expect(bytes(of: path) == before)
    #expect(folder.files == ["other.db"])
  }

  @Test func whatIsNoDatabaseIsRefusedAndUntouched() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/letter.txt"
    let letter = Array(String(repeating: "Dear all, ", count: 500).utf8)
    try write(letter, to: path)
    let error = try #require(refusal(of: path))
    #expect(error.code == .unusable)
    #expect(error.message.contains("is not an SQLite database"))
    #expect(bytes(of: path) == letter)
  }

  /// A list that took one for the last key of a page would begin anew for ever.
  @Test func aTermOfWhatIsNoKeyIsPassedOver() throws {
    let database = try SQLiteDatabase()
    _ = try database.engine().openWriter()
    for key in ["'a'", "CAST(x'6280' AS TEXT)", "CAST(x'6380' AS TEXT)", "x'64'", "5", "'e'"] {
      try database.execute("INSERT INTO latchkey_terms (resource_key, term) VALUES (\(key), 't')")
    }
    let reader = try database.engine().openReader()
    func latestKey(after key: String = "", limit: Int) throws -> String? {
      let page = Wanted.Page.found(byTerm: "t", in: KeyRange(after: key), limit: limit)
      return try reader.read(Wanted(page: page)).latestKeyFound
    }
    #expect(try latestKey(limit: 1) == "5")
    #expect(try latestKey(limit: 2) == "a")
    #expect(try latestKey(limit: 3) == "e")
    #expect(try latestKey(limit: 4) == nil)
    #expect(try latestKey(after: "5", limit: 1) == "a")
    #expect(try latestKey(after: "a", limit: 1) == "e")
  }

  /// Another server that is started on the path would grant the same locks once more.
  @Test func aStoreThatIsMovedUnderAServerIsNotServedAnyMore() async throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/store.db"
    let clock = ManualClock()
    let store = try Store(
      engine: SQLiteEngine(path: path), clock: clock.reading, observer: RecordingObserver())
    defer { store.shutdown() }
    #expect(await store.perform(.hold("key", "a")) == .granted(token: 1, revision: 1))
    #expect(rename(path, path + ".old") == 0)
    for result in [await store.perform(.hold("key", "a")), await store.ask(.fetch(key: "key"))] {
      guard case .failure(let error) = result else {
        Issue.record("a store that is gone answered \(result)")
        continue
      }
      #expect(error.code == .unavailable)
      #expect(error.message.contains("was removed, moved or replaced"))
    }
    guard case .failing = store.health else {
      Issue.record("a server whose store is gone takes itself for healthy")
      return
    }
    // Nothing is made in its place.
    #expect(!folder.files.contains("store.db"))
    #expect(rename(path + ".old", path) == 0)
    #expect(await store.perform(.hold("key", "a")) == .renewed(token: 1, revision: 2))
  }

  /// Connections that are opened anew after the first refusal would find the other file.
  @Test func aStoreThatIsPutInTheOnesPlaceIsNeverServed() async throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/store.db"
    let other = "\(folder.path)/other.db"
    _ = try SQLiteEngine(path: other).openWriter()
    let store = try Store(
      engine: SQLiteEngine(path: path), clock: ManualClock().reading,
      observer: RecordingObserver())
    defer { store.shutdown() }
    #expect(await store.perform(.hold("key", "a")) == .granted(token: 1, revision: 1))
    #expect(rename(other, path) == 0)
    for _ in 1...3 {
      for result in [await store.ask(.fetch(key: "key")), await store.perform(.hold("key", "a"))] {
        guard case .failure(let error) = result else {
          Issue.record("another store answered \(result)")
          continue
        }
        #expect(error.message.contains("was removed, moved or replaced"))
      }
    }
  }

  @Test func anEmptyFileIsTaken() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/store.db"
    try write([], to: path)
    #expect(refusal(of: path) == nil)
  }

  @Test func aMissingFolderAndAFolderAreNamed() throws {
    let folder = try TemporaryFolder()
    for path in ["\(folder.path)/missing/store.db", folder.path] {
      let error = try #require(refusal(of: path))
      #expect(error.code == .unavailable)
      #expect(error.message.contains("cannot open the store \(path)"))
    }
    #expect(folder.files.isEmpty)
  }

  @Test func aFileThatMayNotBeWrittenIsNamed() throws {
    let database = try SQLiteDatabase()
    _ = try database.engine().openWriter()
    chmod(database.path, 0o444)
    let error = try #require(asOrdinaryUser { refusal(of: database.path) } ?? nil)
    #expect(error.code == .unavailable)
    #expect(
      error.message.contains("cannot be written") || error.message.contains("cannot open"))
    chmod(database.path, 0o644)
    #expect(refusal(of: database.path) == nil)
  }

  @Test func theFileIsMarkedAsLatchkeysAndIsInWALMode() throws {
    let database = try SQLiteDatabase()
    _ = try database.engine().openWriter()
    #expect(try database.integer("PRAGMA application_id") == SQLiteEngine.applicationID)
    // Bytes 18 and 19 of the header: 2 means WAL.
    #expect(bytes(of: database.path)?[18...19] == [2, 2])
  }

  @Test func columnsAndTablesOfLaterVersionsAreLeftAlone() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    bench.turn(.hold("key", "a", lease: 5), .hold("other", "a", lease: 5))
    try database.execute(
      """
      ALTER TABLE \(S1.resourceTable) ADD COLUMN later TEXT NOT NULL DEFAULT 'unset';
      CREATE TABLE latchkey_readers (resource_id INTEGER, owner TEXT);
      INSERT INTO latchkey_readers VALUES (1, 'r');
      INSERT INTO \(S1.metaTable) VALUES ('backfill_cursor', 17, 'later');
      UPDATE \(S1.resourceTable) SET later = 'kept-' || resource_key;
      """)
    func kept() throws -> Int64? {
      try database.integer(
        """
        SELECT (SELECT count(*) FROM \(S1.resourceTable) WHERE later = 'kept-' || resource_key)
          + (SELECT count(*) FROM latchkey_readers WHERE owner = 'r')
          + (SELECT count(*) FROM \(S1.metaTable) WHERE value = 17 AND note = 'later')
        """)
    }
    #expect(try kept() == 4)
    #expect(bench.turn(.hold("key", "a", lease: 5)) == [.renewed(token: 1, revision: 2)])
    #expect(try kept() == 4)
    #expect(bench.turn(.release(key: "key", owner: "a")) == [.released])
    #expect(try kept() == 4)
    #expect(bench.turn(.hold("key", "b", lease: 5)) == [.granted(token: 2, revision: 4)])
    #expect(try kept() == 4)
    bench.pass(seconds: 5)
    #expect(try bench.owner(of: "other") == nil)
    #expect(try bench.owner(of: "key") == nil)
    #expect(try kept() == 4)
    // A new row takes the column's default, and a server that starts now finds all in order.
    #expect(bench.turn(.hold("new", "a")) == [.granted(token: 1, revision: 1)])
    #expect(
      try database.integer("SELECT count(*) FROM \(S1.resourceTable) WHERE later = 'unset'") == 1)
    #expect(try TurnBench(database).turn(.hold("key", "c")) == [.granted(token: 3, revision: 6)])
    #expect(try kept() == 4)
  }

  @Test(arguments: [
    ("token = 'x'", "token is"), ("token = 1.5", "token is"), ("revision = x'00'", "revision is"),
    ("needs_shape = 'x'", "needs_shape is"), ("kind = 'lock'", "kind is"),
    ("lease_seconds = 2.5", "lease_seconds is"), ("free_epoch = 'x'", "free_epoch is"),
    ("owner = 5.5, resource_key = resource_key", nil), ("value = x'ff'", "value is not"),
    ("owner = x'61'", "owner is not"),
  ])
  func aColumnMayHoldWhateverSQLiteLetsIn(_ damage: String, _ fault: String?) throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    bench.turn(.hold("key", "a"))
    try database.execute("UPDATE \(S1.resourceTable) SET \(damage)")
    let result = bench.turn(.hold("key", "a"))
    guard let fault else {
      // SQLite turned the number into text, as the column's type asks.
      #expect(result == [.heldByAnother])
      return
    }
    guard case .failure(let error) = result[0] else {
      Issue.record("a damaged row was taken for sound: \(damage)")
      return
    }
    #expect(error.code == .damaged)
    #expect(error.message.contains(fault))
  }

  @Test func aMetaValueThatIsNoNumberIsNotTakenForZero() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    try database.execute(
      "UPDATE \(S1.metaTable) SET value = 'x' WHERE name = 'token_floor'")
    guard case .failure(let error) = bench.turn(.hold("key", "a"))[0] else {
      Issue.record("a store without a token floor granted")
      return
    }
    #expect(error.code == .unusable)
    #expect(refusal(of: database.path)?.code == .unusable)
  }
}
