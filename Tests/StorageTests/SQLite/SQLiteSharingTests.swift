import Glibc
import LockCore
import Exclusion
import TestKit
import Testing

@testable import Storage
@testable import StorageSQLite

/// Several connections on one file: creating it, waiting for each other, being cut off.
@Suite(.serialized, .timeLimit(.minutes(1))) struct SQLiteSharingTests {
  @Test func serversThatCreateAndMigrateAtOnceAllFindTheSameStore() throws {
    for _ in 1...10 {
      let database = try SQLiteDatabase()
      let faults = Mutex<[String]>([])
      let threads = (0..<6).map { number in
        BlockingThread {
          do throws(StoreError) {
            let writer = try database.engine().openWriter()
            let holder = Holder(kind: .lock, owner: "o", content: "", lease: Lease(seconds: 9)!)
            try writer.change { _, changes in
              changes.rows = [
                RowChange(
                  id: nil, expected: nil,
                  record: LockRecord(
                    key: "key-\(number)", holder: holder, token: 1, revision: 1),
                  epoch: 0)
              ]
            }
          } catch {
            faults.withLock { $0.append("\(error)") }
          }
        }
      }
      for thread in threads { thread.join() }
      #expect(faults.withLock { $0 } == [])
      #expect(try database.integer("SELECT count(*) FROM \(S1.resourceTable)") == 6)
      #expect(try database.integer("SELECT count(*) FROM \(S1.metaTable)") == 8)
      #expect(try database.integrity() == "ok")
    }
  }

  /// What `kill -9` leaves after each statement of the migration: the files as they are then.
  @Test func aServerKilledInMidMigrationHasDoneNothing() throws {
    for statements in 0...S1.migration(.sqlite).count {
      let database = try SQLiteDatabase()
      let copy = try SQLiteDatabase()
      do {
        let connection = try SQLiteConnection(path: database.path, create: true)
        try connection.execute("PRAGMA journal_mode = WAL")
        // A cache of next to nothing, so that pages of the open transaction are in the WAL.
        try connection.execute("PRAGMA cache_size = 1")
        try connection.execute("BEGIN IMMEDIATE")
        for sql in S1.migration(.sqlite).prefix(statements) {
          try connection.execute(sql)
        }
        for suffix in ["", "-wal"] {
          guard let content = bytes(of: database.path + suffix) else { continue }
          try write(content, to: copy.path + suffix)
        }
      }
      let bench = try TurnBench(copy)
      #expect(bench.turn(.hold("key", "a")) == [.granted(token: 1, revision: 1)])
      #expect(try copy.integrity() == "ok")
    }
  }

  /// And after a commit, before anything was copied from the WAL into the database.
  @Test func whatWasAcknowledgedIsInTheFilesAtOnce() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    for number in 1...20 {
      #expect(
        bench.turn(.hold("key-\(number)", "a", value: "\(number)"))
          == [.granted(token: 1, revision: 1)])
      let copy = try SQLiteDatabase()
      for suffix in ["", "-wal"] {
        try write(try #require(bytes(of: database.path + suffix)), to: copy.path + suffix)
      }
      let row = try copy.row(forKey: "key-\(number)")
      #expect(row?.value == "\(number)")
    }
  }

  @Test func aFileThatAnotherProcessHasLockedIsUnavailableAndThenWorksAgain() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    #expect(bench.turn(.hold("key", "a")) == [.granted(token: 1, revision: 1)])
    let other = try database.connection()
    try other.execute("BEGIN IMMEDIATE")
    guard case .failure(let error) = bench.turn(.hold("key", "a"))[0] else {
      Issue.record("two wrote at once")
      return
    }
    #expect(error.code == .unavailable)
    #expect(error.message.contains("locked by another process"))
    #expect(bench.health == .failing(error))
    try other.execute("COMMIT")
    #expect(bench.turn(.hold("key", "a")) == [.renewed(token: 1, revision: 2)])
    #expect(bench.health == .working)
  }

  @Test func aShortLockIsWaitedFor() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    let other = try database.connection()
    try other.execute("BEGIN IMMEDIATE")
    let gate = LockKeeper(other)
    let thread = BlockingThread { gate.letGo(afterMicroseconds: 100_000) }
    #expect(bench.turn(.hold("key", "a")) == [.granted(token: 1, revision: 1)])
    thread.join()
  }
}

/// Ends a connection's transaction on another thread.
///
/// `@unchecked Sendable`: the connection is used by one thread at a time; the test keeps off it
/// until it has joined the thread.
private final class LockKeeper: @unchecked Sendable {
  private let connection: SQLiteConnection

  init(_ connection: SQLiteConnection) { self.connection = connection }

  func letGo(afterMicroseconds: UInt32) {
    usleep(afterMicroseconds)
    try? connection.execute("COMMIT")
  }
}
