import LockCore
import TestKit
import Testing

@testable import Storage

/// When a server looks for what others wrote.
@Suite struct ScanTests {
  private static let interval = StoreLimits().scanIntervalNanoseconds

  private func starts(
    _ schedule: inout ScanSchedule, changes: Int64, at now: MonotonicTime
  ) -> Bool {
    schedule.shouldStart(changes: changes, at: now)
  }

  @Test func theScheduleAsksForAScanOnlyWhenThereIsNews() {
    let clock = ManualClock()
    var schedule = ScanSchedule(limits: StoreLimits(), now: clock.now)
    #expect(schedule.isDue(at: clock.now))
    #expect(starts(&schedule, changes: 5, at: clock.now))
    // One at a time, however long it takes.
    clock.advance(seconds: 60)
    #expect(!schedule.isDue(at: clock.now))
    schedule.ended(at: clock.now, nanoseconds: 1_000, isComplete: true)
    #expect(!schedule.isDue(at: clock.now))
    clock.advance(nanoseconds: Self.interval)
    #expect(schedule.isDue(at: clock.now))
    #expect(!starts(&schedule, changes: 5, at: clock.now))
    #expect(!schedule.isDue(at: clock.now))
    clock.advance(nanoseconds: Self.interval)
    #expect(starts(&schedule, changes: 6, at: clock.now))
  }

  @Test func aLongScanIsFollowedByALongPause() {
    let clock = ManualClock()
    var schedule = ScanSchedule(limits: StoreLimits(), now: clock.now)
    #expect(starts(&schedule, changes: 1, at: clock.now))
    schedule.ended(at: clock.now, nanoseconds: Self.interval, isComplete: true)
    clock.advance(nanoseconds: 10 * Self.interval - 1)
    #expect(!schedule.isDue(at: clock.now))
    clock.advance(nanoseconds: 1)
    #expect(schedule.isDue(at: clock.now))
  }

  @Test func aScanThatFailedIsDoneAgain() {
    let clock = ManualClock()
    var schedule = ScanSchedule(limits: StoreLimits(), now: clock.now)
    #expect(starts(&schedule, changes: 1, at: clock.now))
    schedule.ended(at: clock.now, nanoseconds: 1, isComplete: false)
    clock.advance(nanoseconds: Self.interval)
    #expect(starts(&schedule, changes: 1, at: clock.now))
  }

  @Test func aScanDoesNotWaitBehindLists() {
    let turns = ListTurns<String>(capacity: 2, ofSource: 2)
    for list in ["list 1", "list 2"] { #expect(turns.append(list, from: nil) == .admitted) }
    turns.prepend("scan")
    turns.close()
    turns.prepend("too late")
    var taken: [String] = []
    while let (item, turn) = turns.take() {
      taken.append(item)
      turns.ended(turn)
    }
    #expect(taken == ["scan", "list 1", "list 2"])
  }

  @Test(arguments: engines)
  func onlyOthersChangesAreScannedFor(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    let clock = ManualClock()
    let other = try TurnBench(database, clock: clock)
    other.turn(.hold("before", "a"))
    let bench = try TurnBench(database, clock: clock)
    bench.turn()
    bench.turn()
    #expect(bench.scans == 1)
    for _ in 1...5 {
      bench.pass(seconds: 1)
      bench.turn(.hold("own", "a"))
    }
    #expect(bench.scans == 1)
    #expect(bench.observer.totals.locks == 2)
    other.turn(.hold("other", "a"))
    bench.pass(seconds: 1)
    // Where it is told what others have changed, not everything is read for that.
    #expect(bench.scans == (bench.keepsAccount ? 1 : 2))
    #expect(bench.observer.totals.locks == 3)
  }

  @Test func aScanThatCannotReadIsRepeated() throws {
    let bench = try TurnBench()
    try bench.database.put(.held(id: 1, key: "key", leaseSeconds: 5))
    bench.faults.fail(.read, .connectionLost)
    bench.faults.fail(.openReader)
    bench.turn()
    bench.pass(seconds: 3)
    #expect(bench.scans == 3)
    #expect(bench.observer.totals.scanFailures == 2)
    // Nothing that a client asked for failed.
    #expect(bench.observer.totals.failures == 0)
    #expect(bench.health == .working)
    #expect(bench.observer.totals.locks == 1)
    bench.pass(seconds: 5)
    #expect(try bench.owner(of: "key") == nil)
  }

  /// The answer to a commit was lost, and nobody else ever writes: the grant has to end all the same.
  @Test(arguments: engines)
  func whatAFailedCommitGrantedIsFound(_ engine: EngineUnderTest) throws {
    let bench = try TurnBench(engine.newDatabase())
    bench.turn()
    bench.pass(seconds: 1)
    bench.faults.fail(.apply, .doneAll)
    #expect(bench.turn(.hold("key", "a", lease: 5)) == [.failed])
    #expect(try bench.owner(of: "key") == "a")
    bench.pass(seconds: 4.75)
    #expect(try bench.owner(of: "key") == "a")
    bench.pass(seconds: 5)
    #expect(try bench.owner(of: "key") == nil)
  }
}
