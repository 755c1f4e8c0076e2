import LockCore
import TestKit
import Testing

@testable import Storage

/// How rows that have been free for long go, and their tokens do not.
@Suite struct CollectorTests {
  private static var limits: StoreLimits {
    var limits = StoreLimits()
    limits.epochNanoseconds = 10_000_000_000
    limits.collectRowsMax = 3
    return limits
  }

  @Test(arguments: engines)
  func aFreeRowGoesAfterAWholeEpochAndLeavesItsTokenInTheFloor(
    _ engine: EngineUnderTest
  ) throws {
    let bench = try TurnBench(engine.newDatabase(), limits: Self.limits)
    bench.turn(.hold("held", "a", lease: 3_600), .hold("key", "a"))
    bench.turn(.release(key: "key", owner: "a"))
    bench.turn(.hold("key", "a"), .release(key: "key", owner: "a"))
    bench.pass(seconds: 19.75)
    #expect(try bench.database.row(forKey: "key")?.token == 2)
    #expect(try bench.database.meta.tokenFloor == 0)
    bench.pass(seconds: 1)
    #expect(try bench.database.row(forKey: "key") == nil)
    #expect(try bench.database.meta.tokenFloor == 2)
    if bench.keepsAccount { #expect(try bench.database.meta.collectedToken == 2) }
    #expect(bench.observer.totals.collected == 1)
    #expect(try bench.owner(of: "held") == "a")
    #expect(bench.turn(.hold("key", "a")) == [.granted(token: 3, revision: 1)])
    #expect(bench.turn(.hold("new", "a")) == [.granted(token: 3, revision: 1)])
  }

  @Test func aRowThatIsTakenAgainIsKept() throws {
    let bench = try TurnBench(limits: Self.limits)
    bench.turn(.hold("key", "a"), .release(key: "key", owner: "a"))
    bench.pass(seconds: 19.75)
    bench.clock.advance(nanoseconds: 250_000_000)
    // In the very turn in which the row could be collected.
    #expect(bench.turn(.hold("key", "a", lease: 60)) == [.granted(token: 2, revision: 3)])
    bench.pass(seconds: 5)
    #expect(try bench.owner(of: "key") == "a")
    #expect(try bench.database.row(forKey: "key")?.freeEpoch == nil)
  }

  @Test func aSweepGoesInSmallStepsAndReachesEverything() throws {
    let bench = try TurnBench(limits: Self.limits)
    let keys = (1...20).map { "key-\($0)" }
    bench.turn(keys.map { .hold($0, "a") })
    bench.turn(keys.map { .release(key: $0, owner: "a") })
    bench.pass(seconds: 20)
    var latest = bench.observer.totals.collected
    for _ in 1...10 {
      bench.pass(seconds: 0.25)
      #expect(bench.observer.totals.collected - latest <= 3)
      latest = bench.observer.totals.collected
    }
    #expect(latest == 20)
  }

  @Test func onlyWhatIsFreeForEverybodyGoes() throws {
    let bench = try TurnBench(limits: Self.limits)
    let kept: [S1Row] = [
      .held(id: 1, key: "held", leaseSeconds: 3_600),
      .held(
        id: 2, key: "newer", owner: nil, needsShape: KnownShapes.all.newest + 1,
        leaseSeconds: 3_600, freeEpoch: 0),
      .held(id: 3, key: "damaged", owner: nil, token: 0, freeEpoch: 0),
      .held(id: 4, key: "exhausted", owner: nil, token: .max, freeEpoch: 0),
      .held(id: 5, key: "of an unknown epoch", owner: nil, freeEpoch: nil),
      .held(id: 6, key: "of a later epoch", owner: nil, freeEpoch: 99),
    ]
    for row in kept { try bench.database.put(row) }
    try bench.database.put(.held(id: 7, key: "free", owner: nil, freeEpoch: 0))
    bench.pass(seconds: 45)
    for row in kept { #expect(try bench.database.row(forKey: row.key!) != nil, "\(row)") }
    #expect(try bench.database.row(forKey: "free") == nil)
    #expect(try bench.database.meta.tokenFloor == 7)
  }

  @Test func twoServersCountEpochsNoFasterThanOne() throws {
    let clock = ManualClock()
    let first = try TurnBench(clock: clock, limits: Self.limits)
    first.turn()
    // The second one starts in mid-epoch, and must see it in its whole length all the same.
    first.pass(seconds: 5)
    let second = try TurnBench(first.database, clock: clock, limits: Self.limits)
    second.turn()
    for quarter in 1...400 as ClosedRange<Int64> {
      first.pass(seconds: 0.25)
      second.turn()
      #expect(try first.database.meta.epoch <= (5_000 + quarter * 250) / 10_000)
    }
    #expect(try first.database.meta.epoch >= 9)
  }

  @Test(arguments: engines)
  func theFloorRisesInTheTransactionThatDeletesOrNotAtAll(_ engine: EngineUnderTest) throws {
    for isReading in [true, false] {
      for fault in Fault.allCases {
        let bench = try TurnBench(engine.newDatabase(), limits: Self.limits)
        let points: (FaultPoint, FaultPoint) =
          bench.keepsAccount ? (.upkeepFacts, .upkeepApply) : (.facts, .apply)
        let point = isReading ? points.0 : points.1
        bench.turn(.hold("key", "a"), .release(key: "key", owner: "a"))
        // Up to the turn that begins the second epoch; the next one collects.
        while try bench.database.meta.epoch < 2 { bench.pass(seconds: 0.25) }
        bench.faults.fail(point, fault)
        bench.turn()
        #expect(bench.faults.injected == 1)
        let isGone = try bench.database.row(forKey: "key") == nil
        #expect(try bench.database.meta.tokenFloor == (isGone ? 1 : 0))
        #expect(isGone == (!isReading && fault == .doneAll))
        // The sweep did not lose its place.
        bench.pass(seconds: 2)
        #expect(try bench.database.row(forKey: "key") == nil)
        #expect(bench.turn(.hold("key", "a")) == [.granted(token: 2, revision: 1)])
      }
    }
  }
}
