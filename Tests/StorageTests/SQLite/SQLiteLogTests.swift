import Glibc
import LockCore
import Exclusion
import struct Synchronization.Atomic
import TestKit
import Testing

@testable import Storage
@testable import StorageSQLite

/// The log beside the database: how large it gets while somebody reads, and what is said of it.
@Suite(.serialized, .timeLimit(.minutes(3))) struct SQLiteLogTests {
  private static let valueBytes = 60_000
  private static let keys = (1...20).map { "key-\($0)" }

  /// What one transaction writes. Values differ from one to the next: SQLite does not write pages
  /// that stay what they are.
  private static func commands(_ number: Int) -> [Command] {
    let value = String(repeating: number % 2 == 0 ? "v" : "w", count: valueBytes)
    return keys.map { .hold($0, "a", lease: 3_600, value: value) }
  }

  /// The database's log on the disk, in bytes.
  private static func logBytes(of database: SQLiteDatabase) -> Int64 {
    var status = stat()
    return stat(database.path + "-wal", &status) == 0 ? Int64(status.st_size) : 0
  }

  /// Lists that follow each other without a pause, on four connections, while everything is written
  /// anew over and over: three times what the log may have.
  @Test(arguments: [false, true])
  func theLogStaysBoundedWhileListsFollowEachOther(isOfOneMoment: Bool) async throws {
    let database = try SQLiteDatabase()
    let limits = StoreLimits()
    let observer = RecordingObserver()
    let store = try Store(
      engine: database.engine(), limits: limits, clock: { Self.uptime }, observer: observer)
    defer { store.shutdown() }
    for number in 1...60 {
      let rows = (1...100).map { Command.hold("row-\(number)-\($0)", "a", lease: 3_600) }
      for result in await store.perform(rows) { _ = try result.get() }
    }
    let progress = Progress()
    let largest = await withTaskGroup(of: Void.self) { group in
      for _ in 1...4 {
        group.addTask {
          var range = Query.Range(kind: .lock, prefix: "row-")
          range.labels = ["nope": "x"]
          range.isOfOneMoment = isOfOneMoment
          while !progress.isOver.load(ordering: .relaxed) {
            _ = await store.ask(.list(range, into: RecordCollector()))
            progress.lists.add(1, ordering: .relaxed)
          }
        }
      }
      var largest: Int64 = 0
      var written = 0
      var number = 0
      while written < 8 * Int(limits.logBytesMax) {
        number += 1
        for result in await store.perform(Self.commands(number)) {
          if case .failure(let error) = result { Issue.record("\(error)") }
        }
        written += Self.keys.count * Self.valueBytes
        largest = max(largest, Self.logBytes(of: database))
      }
      progress.isOver.store(true, ordering: .relaxed)
      return largest
    }
    #expect(progress.lists.load(ordering: .relaxed) > 4)
    // What is written while the lists that are under way come to their end is not yet in the bound.
    #expect(largest < 5 * limits.logBytesMax, "\(largest >> 20) MiB")
    #expect(observer.totals.longLogs == [])
  }

  private final class Progress: Sendable {
    let isOver = Atomic<Bool>(false)
    let lists = Atomic<Int>(0)
  }

  private static var uptime: MonotonicTime {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return MonotonicTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  /// A shell with an open transaction.
  @Test func aReaderThatNeverEndsIsSaidOnceAndTheLogBeginsAnewAfterIt() throws {
    let database = try SQLiteDatabase()
    var limits = StoreLimits()
    limits.logBytesMax = 2 << 20
    limits.logWarningBytes = 8 << 20
    let bench = try TurnBench(
      engine: database.engine(), database: database, clock: ManualClock(), limits: limits)
    bench.turn(Self.commands(0))
    let shell = try database.connection()
    try shell.execute("BEGIN")
    _ = try shell.integer("SELECT count(*) FROM \(S1.resourceTable)")
    for number in 1...10 {
      for result in bench.turn(Self.commands(number)) { _ = try result.get() }
      bench.pass(seconds: 1)
    }
    #expect(bench.observer.totals.longLogs.map { $0 > limits.logWarningBytes } == [true])
    #expect(bench.observer.totals.logBytes == Self.logBytes(of: database))
    // Every attempt has all writers wait, so they become rare.
    #expect(bench.health == .working)
    try shell.execute("COMMIT")
    bench.pass(seconds: 61)
    let before = Self.logBytes(of: database)
    for number in 1...5 { bench.turn(Self.commands(number)) }
    // It is written from its beginning, though it had more in it than may be.
    #expect(Self.logBytes(of: database) == before)
    #expect(try database.integrity() == "ok")
  }

  /// A list of one moment may take long; all that reads for a short time, scans too, goes on meanwhile.
  @Test func whileAListOfOneMomentIsReadNobodyWaitsForTheLog() {
    let gate = LogGate()
    let hasPassed = Mutex(false)
    gate.wantPause(true)
    let reading = BlockingThread {
      gate.leaveRoom(waitNanosecondsMax: 60_000_000_000)
      hasPassed.withLock { $0 = true }
    }
    // The pause is wanted for as long as the list takes.
    gate.pass(waitNanosecondsMax: 0) {
      let end = Self.uptime + 30_000_000_000
      while !hasPassed.withLock({ $0 }), Self.uptime < end {
        BlockingThread.sleep(nanoseconds: 1_000_000)
      }
      #expect(hasPassed.withLock { $0 })
    }
    gate.wantPause(false)
    reading.join()
  }

  @Test func aListOfOneMomentWaitsUntilTheLogHadItsChance() throws {
    let database = try SQLiteDatabase()
    var limits = StoreLimits()
    limits.logBytesMax = 2 << 20
    let bench = try TurnBench(
      engine: database.engine(), database: database, clock: ManualClock(), limits: limits)
    // While one is being read, nobody is kept from writing for it.
    bench.logGate.pass(waitNanosecondsMax: 0) {
      for number in 1...3 { bench.turn(Self.commands(number)) }
    }
    let gate = bench.logGate
    let isRead = Mutex(false)
    let reading = BlockingThread {
      gate.pass(waitNanosecondsMax: 60_000_000_000) { isRead.withLock { $0 = true } }
    }
    #expect(!isRead.withLock { $0 })
    bench.turn()
    reading.join()
    #expect(isRead.withLock { $0 })
    let before = Self.logBytes(of: database)
    bench.turn(Self.commands(4))
    #expect(Self.logBytes(of: database) == before)
  }
}
