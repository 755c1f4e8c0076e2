import LockCore
import TestKit
import Testing

@testable import Storage

/// How a server notices that others have freed what is waited for at it.
@Suite struct WaitedKeyTests {
  private static let look = StoreLimits().waitedLookNanoseconds

  /// Two servers on one store: many wait at the second one for keys that the first one granted.
  private struct Fleet {
    let clock = ManualClock()
    let first: TurnBench
    let second: TurnBench
    let counts = CallCounts()
    var waiters: [KeptCall] = []

    init(_ engine: EngineUnderTest, keys: Int, limits: StoreLimits = StoreLimits()) throws {
      let database = try engine.newDatabase()
      first = try TurnBench(database, clock: clock)
      second = try TurnBench(
        engine: CountingEngine(database.engine(), counts), database: database, clock: clock,
        limits: limits)
      first.turn((0..<keys).map { .hold("key-\($0)", "a", lease: 3_600) })
      for key in 0..<keys {
        let claim = Claim(kind: .lock, owner: "b", lease: Lease(seconds: 3_600)!)
        let wait = Wait(end: clock.now + 3_600_000_000_000)
        let call = KeptCall()
        waiters.append(call)
        second.turn(items: [
          .command(.claimWaiting(key: "key-\(key)", claim, wait), deadline: nil, call: call)
        ])
      }
      // What it found at the start is looked at.
      pass()
      pass()
    }

    /// Lets the time of a look pass.
    func pass() {
      clock.advance(nanoseconds: WaitedKeyTests.look)
      second.turn()
      second.turn()
    }
  }

  @Test(arguments: engines)
  func whatOthersDoElsewhereTakesNoTransaction(_ engine: EngineUnderTest) throws {
    let fleet = try Fleet(engine, keys: 700)
    let before = fleet.counts.now
    let looked = fleet.second.keysLookedAt
    for turn in 0..<10 {
      fleet.first.turn(.hold("other", "o\(turn)"), .release(key: "other", owner: "o\(turn)"))
      fleet.pass()
    }
    #expect(fleet.counts.now.rows == before.rows)
    // A reader looked, page by page, unless it was told what others have changed.
    let looks = fleet.second.keepsAccount ? 0 : 10
    #expect(fleet.second.keysLookedAt == looked + looks * 700)
    #expect(fleet.counts.now.grantPages == before.grantPages + looks * 2)
  }

  @Test(arguments: engines)
  func whatOthersFreeIsGrantedAndNothingElseIsRead(_ engine: EngineUnderTest) throws {
    let fleet = try Fleet(engine, keys: 700)
    let before = fleet.counts.now
    for key in [3, 699] { fleet.first.turn(.release(key: "key-\(key)", owner: "a")) }
    fleet.pass()
    #expect(fleet.counts.now.rows == before.rows + 2)
    for (key, waiter) in fleet.waiters.enumerated() {
      #expect((waiter.result != nil) == [3, 699].contains(key), "\(key)")
    }
    // Nothing is looked at where nobody wrote.
    let looked = fleet.second.keysLookedAt
    for _ in 0..<5 { fleet.pass() }
    #expect(fleet.second.keysLookedAt == looked)
  }

  @Test(arguments: engines)
  func whatAnotherServerGrantsToOneWhoWaitsHereIsItsGrantHereToo(_ engine: EngineUnderTest) throws {
    let fleet = try Fleet(engine, keys: 2)
    fleet.first.turn(.release(key: "key-1", owner: "a"), .hold("key-1", "b", lease: 3_600))
    fleet.pass()
    #expect(fleet.waiters[0].result == nil)
    #expect(fleet.waiters[1].result?.map(\.withoutState) == .renewed(token: 2, revision: 4))
  }

  /// A commit that failed may have been done, so that what looks as before is looked at as well.
  @Test(arguments: engines)
  func afterAFailureEverythingIsLookedAt(_ engine: EngineUnderTest) throws {
    let fleet = try Fleet(engine, keys: 3)
    fleet.second.faults.fail(.apply)
    fleet.second.turn(.hold("other", "x"))
    let before = fleet.counts.now
    fleet.second.pass(seconds: 0.5)
    #expect(fleet.counts.now.rows >= before.rows + 3)
  }

  @Test func aLookThatFailsIsRepeated() throws {
    let fleet = try Fleet(engines[0], keys: 2)
    fleet.first.turn(.release(key: "key-0", owner: "a"))
    fleet.second.faults.fail(.read)
    fleet.pass()
    #expect(fleet.waiters[0].result == nil)
    #expect(fleet.second.observer.totals.scanFailures == 1)
    fleet.pass()
    #expect(fleet.waiters[0].result != nil)
  }

  @Test func lookingTakesATenthOfTheTimeAtMost() throws {
    let clock = ManualClock()
    var keys = WaitedKeys(limits: StoreLimits(), now: clock.now)
    var changes: Int64 = 0
    func isDue() throws -> Bool {
      changes += 1
      return try keys.shouldLook(at: clock.now) { changes }
    }
    #expect(try isDue())
    // One at a time, however long it takes.
    clock.advance(seconds: 1)
    #expect(try !isDue() && keys.due(at: clock.now) == nil)
    keys.lookEnded(at: clock.now, nanoseconds: 1_000_000_000, isComplete: true)
    clock.advance(nanoseconds: 9_000_000_000 - 1)
    #expect(try !isDue())
    clock.advance(nanoseconds: 1)
    #expect(try isDue())
    // A short one does not put off the next.
    clock.advance(nanoseconds: 1_000)
    keys.lookEnded(at: clock.now, nanoseconds: 1_000, isComplete: true)
    #expect(keys.due(at: clock.now) == clock.now + (Self.look - 1_000))
  }
}
