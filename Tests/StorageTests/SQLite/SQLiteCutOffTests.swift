import Glibc
import LockContent
import LockCore
import Exclusion
import TestKit
import Testing

@testable import Storage
@testable import StorageSQLite

/// Files that somebody empties, or cuts off, in their place while a server has them open.
@Suite(.timeLimit(.minutes(5))) struct SQLiteCutOffTests {
  /// What is left of a file.
  enum Rest: CaseIterable {
    case nothing
    case header
    /// Ends among the copied pages.
    case quarter
    case half
    case allButTheEnd

    func bytes(of whole: Int) -> Int {
      switch self {
      case .nothing: 0
      case .header: 32
      case .quarter: whole / 4
      case .half: whole / 2
      case .allButTheEnd: whole - 1
      }
    }
  }

  /// By path: closing a descriptor would end the locks that this process has on the file.
  private func cut(_ path: String, to rest: Rest) {
    #expect(truncate(path, rest.bytes(of: size(of: path))) == 0)
  }

  private func size(of path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_size : -1
  }

  private func expectLoss(
    _ results: [StoreResult], of file: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    for result in results {
      guard case .failure(let error) = result else {
        Issue.record("it was answered \(result)", sourceLocation: sourceLocation)
        return
      }
      #expect(error.code == .unavailable, sourceLocation: sourceLocation)
      #expect(
        error.message.hasPrefix("\(file), ")
          && error.message.contains("was emptied or cut off while this server had it open")
          && !error.message.contains("\n"), "\(error)", sourceLocation: sourceLocation)
    }
  }

  /// Grants and renews so much that pages are in the log many times, and has all of it copied;
  /// then, where `goesOn`, grants more behind that.
  private func fill(_ bench: TurnBench, _ database: SQLiteDatabase, goesOn: Bool) throws {
    for round: Int64 in 1...20 {
      for result in bench.turn((0..<20).map { .hold("copied-\($0)", "a") }) {
        #expect(try result.get().claimedRevision == .some(round))
      }
    }
    // While it is read from, the log does not begin anew.
    let shell = try database.connection()
    try shell.execute("BEGIN")
    _ = try shell.integer("SELECT count(*) FROM \(S1.metaTable)")
    #expect(try database.integer("PRAGMA wal_checkpoint(PASSIVE)") == 0)
    guard goesOn else { return }
    for key in 0..<20 { _ = try bench.turn(.hold("late-\(key)", "a"))[0].get() }
  }

  /// What the next server finds is whole, and has all that was copied before.
  private func expectCopied(_ database: SQLiteDatabase) throws {
    #expect(try database.integrity() == "ok")
    let bench = try TurnBench(database)
    for key in 0..<20 {
      #expect(bench.turn(.hold("copied-\(key)", "b")) == [.heldByAnother])
      #expect(try database.row(forKey: "copied-\(key)")?.revision == 20)
    }
  }

  // MARK: - The log

  @Test(arguments: Rest.allCases)
  func aServerWhoseLogWasCutOffServesNothingAndSpoilsNothing(_ rest: Rest) throws {
    let database = try SQLiteDatabase()
    do {
      let bench = try TurnBench(database)
      try fill(bench, database, goesOn: true)
      cut(database.path + "-wal", to: rest)
      for _ in 1...3 {
        expectLoss(bench.turn(.hold("late", "a")), of: database.path + "-wal")
        guard case .failing = bench.health else {
          Issue.record("it takes itself for healthy")
          return
        }
      }
    }
    try expectCopied(database)
  }

  @Test func nothingIsReadFromALogThatWasCutOff() throws {
    let database = try SQLiteDatabase()
    let engine = SQLiteEngine(path: database.path)
    let (writer, reader) = (try engine.openWriter(), try engine.openReader())
    try writer.change { facts, changes in
      changes.meta = [.set(.epoch, from: facts.meta.epoch, to: 7)]
    }
    cut(database.path + "-wal", to: .nothing)
    let log = database.path + "-wal"
    expectLoss([failure { () throws(StoreError) in _ = try reader.read(Wanted()) }], of: log)
    // Nor does a connection that would be opened now.
    expectLoss([failure { () throws(StoreError) in _ = try engine.openReader() }], of: log)
  }

  @Test func itIsNoticedThoughNobodyAsks() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    bench.turn(.hold("key", "a", lease: 3_600))
    bench.pass(seconds: 2)
    #expect(bench.health == .working)
    cut(database.path + "-wal", to: .nothing)
    bench.pass(seconds: 2)
    guard case .failing(let error) = bench.health else {
      Issue.record("nothing was noticed")
      return
    }
    #expect(error.message.contains("was emptied or cut off"))
  }

  /// SQLite writes behind the end that was, and what it writes there is lost with the hole before
  /// it.
  @Test func whatATransactionWouldWriteBehindTheEndIsNotAcknowledged() throws {
    let database = try SQLiteDatabase()
    do {
      let bench = try TurnBench(database)
      try fill(bench, database, goesOn: false)
    }
    do {
      let writer = try SQLiteEngine(path: database.path).openWriter()
      try writer.change { facts, changes in
        changes.meta = [.set(.epoch, from: facts.meta.epoch, to: 7)]
      }
      let failure = failure { () throws(StoreError) in
        try writer.change { _, changes in
          changes.meta = [.set(.epoch, from: 7, to: 8)]
          cut(database.path + "-wal", to: .nothing)
        }
      }
      expectLoss([failure], of: database.path + "-wal")
      writer.forget()
    }
    try expectCopied(database)
  }

  /// What does not fit into memory is written before the commit, and fills the cut.
  @Test(arguments: [Rest.nothing, .header, .quarter, .half])
  func norIsWhatATransactionHasWrittenBehindTheEnd(_ rest: Rest) throws {
    let database = try SQLiteDatabase()
    do {
      let bench = try TurnBench(database)
      try fill(bench, database, goesOn: false)
    }
    do {
      let writer = try SQLiteEngine(path: database.path).openWriter()
      try writer.change { facts, changes in
        changes.meta = [.set(.epoch, from: facts.meta.epoch, to: 7)]
      }
      _ = try writer.changesByOthers()
      cut(database.path + "-wal", to: rest)
      let whole = size(of: database.path + "-wal")
      let value = Content(text: String(repeating: "x", count: 60_000))
      // More than the cache holds, and not so much that the log is copied, and looked at, at once.
      let changes = (0..<80).map { number in
        RowChange(
          id: nil, expected: nil,
          record: LockRecord(
            key: "large-\(number)",
            holder: Holder(
              kind: .lock, owner: "a", content: value, lease: Lease(seconds: 15)!),
            token: 1, revision: 1), epoch: 7)
      }
      let failure = failure { () throws(StoreError) in
        try writer.change { $1.rows = changes }
      }
      #expect(size(of: database.path + "-wal") > whole + 1_000_000)
      expectLoss([failure], of: database.path + "-wal")
      writer.forget()
    }
    try expectCopied(database)
  }

  /// As where an earlier copy is put back with `cp`: as long as the log was, or longer.
  @Test func anotherLogInItsPlaceIsNoticed() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    try fill(bench, database, goesOn: true)
    let earlier = try #require(bytes(of: database.path + "-wal"))
    #expect(try database.integer("PRAGMA wal_checkpoint(RESTART)") == 0)
    for _ in 1...3 { _ = try bench.turn(.hold("key", "a"))[0].get() }
    // Nothing has come since it was looked at last.
    bench.pass(seconds: 2)
    try write(earlier, to: database.path + "-wal")
    expectLoss(bench.turn(.hold("other", "a")), of: database.path + "-wal")
  }

  /// As a server does that does not look, or one that looked a moment too early.
  @Test func aHoleInTheLogIsNoticedAndNotCopied() throws {
    let database = try SQLiteDatabase()
    do {
      let bench = try TurnBench(database)
      try fill(bench, database, goesOn: true)
      let whole = size(of: database.path + "-wal")
      cut(database.path + "-wal", to: .nothing)
      try database.execute("UPDATE \(S1.metaTable) SET value = value + 1 WHERE name = 'epoch'")
      #expect(size(of: database.path + "-wal") > whole)
      expectLoss(bench.turn(.hold("late", "a")), of: database.path + "-wal")
    }
    try expectCopied(database)
  }

  /// The same where the log's header stays: its length is right again, and there is a hole in it.
  @Test(arguments: Rest.allCases, [true, false])
  func aHoleBehindTheHeaderIsNoticedAndNotCopied(_ rest: Rest, looks: Bool) throws {
    let database = try SQLiteDatabase()
    do {
      let bench = try TurnBench(database)
      try fill(bench, database, goesOn: true)
      if looks { bench.pass(seconds: 2) }
      let whole = size(of: database.path + "-wal")
      cut(database.path + "-wal", to: rest)
      try database.execute("UPDATE \(S1.metaTable) SET value = value + 1 WHERE name = 'epoch'")
      #expect(size(of: database.path + "-wal") > whole)
      expectLoss(bench.turn(.hold("late", "a")), of: database.path + "-wal")
    }
    try expectCopied(database)
  }

  /// Frames that no server ever looked at: others wrote them, and what comes behind the hole.
  @Test(arguments: [1, 4_096, 4_120, 3 * 4_120])
  func aHoleInWhatOthersWroteIsNoticed(_ missing: Int) throws {
    let database = try SQLiteDatabase()
    do {
      let bench = try TurnBench(database)
      try database.execute("CREATE TABLE before (a); CREATE TABLE behind (a)")
      try fill(bench, database, goesOn: true)
      bench.pass(seconds: 2)
      for _ in 1...4 { try database.execute("INSERT INTO before VALUES (1)") }
      let whole = size(of: database.path + "-wal")
      #expect(truncate(database.path + "-wal", whole - missing) == 0)
      for _ in 1...4 { try database.execute("INSERT INTO behind VALUES (1)") }
      #expect(size(of: database.path + "-wal") > whole)
      expectLoss(bench.turn(.hold("late", "a")), of: database.path + "-wal")
    }
    try expectCopied(database)
  }

  /// Nobody looked in between, as where the server is told to end.
  @Test(arguments: Rest.allCases)
  func theEndOfAServerCopiesNothingFromALogThatWasCutOff(_ rest: Rest) throws {
    let database = try SQLiteDatabase()
    do {
      let bench = try TurnBench(database)
      try fill(bench, database, goesOn: true)
      cut(database.path + "-wal", to: rest)
    }
    #expect(database.folder.files.contains("store.db-wal"))
    try expectCopied(database)
  }

  // MARK: - The database

  @Test(arguments: Rest.allCases)
  func aServerWhoseDatabaseWasCutOffServesNothing(_ rest: Rest) throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    try fill(bench, database, goesOn: false)
    cut(database.path, to: rest)
    let log = size(of: database.path + "-wal")
    for _ in 1...3 { expectLoss(bench.turn(.hold("key", "a")), of: database.path) }
    #expect(size(of: database.path) < 20 * 4_096 && size(of: database.path + "-wal") == log)
  }

  /// What is missing is in the database alone.
  @Test(arguments: Rest.allCases)
  func norDoesOneWhoseLogHasMore(_ rest: Rest) throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    try fill(bench, database, goesOn: true)
    cut(database.path, to: rest)
    for _ in 1...3 { expectLoss(bench.turn(.hold("new", "a")), of: database.path) }
  }

  /// Though there is more in the log.
  @Test func aDatabaseWithoutItsFirstPageIsNeverServed() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    #expect(bench.turn(.hold("key", "a")) == [.granted(token: 1, revision: 1)])
    // So that it is not known how long the database was.
    #expect(try database.integer("PRAGMA wal_checkpoint(PASSIVE)") == 0)
    #expect(bench.turn(.hold("key", "a")) == [.renewed(token: 1, revision: 2)])
    cut(database.path, to: .nothing)
    expectLoss(bench.turn(.hold("key", "a")), of: database.path)
  }

  // MARK: - What is no loss

  /// All that SQLite and its users do to a log while servers have it open.
  @Test func whatOthersRightlyDoToLogAndDatabaseIsNotTakenForALoss() throws {
    let database = try SQLiteDatabase()
    let benches = [try TurnBench(database), try TurnBench(database)]
    for round in 1...200 {
      for (index, bench) in benches.enumerated() {
        let keys = (0..<(round * 7 % 40)).map { "key-\(index)-\($0)" }
        let results = bench.turn(
          keys.map { round % 3 == 0 ? .release(key: $0, owner: "a") : .hold($0, "a") })
        for result in results { _ = try result.get() }
        let shell = try database.connection()
        switch (round + index) % 8 {
        case 0: try shell.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        case 1: try shell.execute("PRAGMA wal_checkpoint(RESTART)")
        case 2: try shell.execute("PRAGMA wal_checkpoint(PASSIVE)")
        case 3: try shell.execute("VACUUM")
        case 4:
          try shell.execute("BEGIN IMMEDIATE; CREATE TABLE other (a)")
          try shell.execute("INSERT INTO other VALUES (zeroblob(1000000)); ROLLBACK")
        case 5: _ = try TurnBench(database).turn(.hold("passing", "a"))
        default: try shell.execute("PRAGMA journal_size_limit = 0; PRAGMA wal_checkpoint(FULL)")
        }
        bench.pass(seconds: 1)
        #expect(bench.health == .working)
      }
    }
    #expect(try database.integrity() == "ok")
  }

  /// The database is shorter for a while before the log's index tells why.
  @Test func looksAtADatabaseThatIsBeingMadeShorterFindNoLoss() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    let reader = try SQLiteEngine(path: database.path).openReader()
    let isDone = Mutex(false)
    let fault = Mutex<String?>(nil)
    let shell = BlockingThread {
      defer { isDone.withLock { $0 = true } }
      do {
        let shell = try database.connection()
        shell.setBusyTimeout(milliseconds: 60_000)
        for _ in 1...40 {
          try shell.execute("CREATE TABLE large (a)")
          try shell.execute("INSERT INTO large VALUES (zeroblob(2000000))")
          _ = try shell.integer("PRAGMA wal_checkpoint(PASSIVE)")
          try shell.execute("DROP TABLE large; VACUUM")
          _ = try shell.integer("PRAGMA wal_checkpoint(PASSIVE)")
        }
      } catch {
        fault.withLock { $0 = "\(error)" }
      }
    }
    var looks = 0
    while !isDone.withLock({ $0 }) {
      _ = try reader.read(Wanted())
      looks += 1
      // So that there is something in the log of which a part is not copied.
      if looks % 100 == 0 { _ = bench.turn(.hold("key-\(looks % 700)", "a")) }
    }
    shell.join()
    #expect(fault.withLock { $0 } == nil && looks > 100)
    #expect(bench.health == .working)
    #expect(bench.turn(.hold("last", "a")) == [.granted(token: 1, revision: 1)])
    #expect(try database.integrity() == "ok")
  }

  private func failure(_ body: () throws(StoreError) -> Void) -> StoreResult {
    do {
      try body()
      return .released
    } catch {
      return .failure(error)
    }
  }
}

extension Outcome {
  fileprivate var claimedRevision: Int64? {
    if case .claimed(_, let revision, _) = self { return revision }
    return nil
  }
}
