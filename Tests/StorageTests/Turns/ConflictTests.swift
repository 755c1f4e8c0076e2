import LockCore
import TestKit
import Testing

@testable import Storage

/// Servers that do not wait for each other: what one writes between what another reads and what it writes.
@Suite(.timeLimit(.minutes(1))) struct ConflictTests {
  private let database = MemoryDatabase(.optimistic)
  private let clock = ManualClock()

  private func bench(_ shapes: KnownShapes = .all) throws -> TurnBench {
    try TurnBench(
      engine: database.engine(shapes), database: database, clock: clock, limits: StoreLimits())
  }

  @Test func whoComesSecondIsDecidedOnWhatTheFirstLeft() throws {
    let (first, second) = (try bench(), try bench())
    database.beforeNextChange {
      #expect(second.turn(.hold("key", "b")) == [.granted(token: 1, revision: 1)])
    }
    #expect(
      first.turn(.hold("key", "a"), .hold("other", "a")) == [
        .heldByAnother, .granted(token: 1, revision: 1),
      ])
    #expect(first.observer.totals.conflicts == 1 && second.observer.totals.conflicts == 0)
    // It is no outage, for nobody.
    #expect(first.health == .working && first.observer.totals.failures == 0)
    #expect(try first.owner(of: "key") == "b")
  }

  @Test func aRenewalInTimeKeepsALeaseThatAnotherServerIsAboutToEnd() throws {
    let (first, second) = (try bench(), try bench())
    #expect(first.turn(.hold("key", "a", lease: 1)) == [.granted(token: 1, revision: 1)])
    second.pass(seconds: 0.75)
    database.beforeNextChange {
      #expect(first.turn(.hold("key", "a", lease: 1)) == [.renewed(token: 1, revision: 2)])
    }
    // Its turn has come, for the command and for the lease that it has seen.
    clock.advance(nanoseconds: 1_000_000_000)
    second.turn(.hold("other", "b"))
    #expect(try second.owner(of: "key") == "a")
  }

  @Test func whoWaitsKeepsThePlaceThoughTheGrantIsNotDone() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("key", "a"))
    let waiter = KeptCall()
    let claim = Claim(kind: .lock, owner: "b", lease: Lease(seconds: 15)!)
    let wait = Wait(end: clock.now + 60_000_000_000, requestID: "")
    first.turn(items: [
      .command(.claimWaiting(key: "key", claim, wait), deadline: nil, call: waiter)
    ])
    // The other server is told of the release as well, and grants it to somebody at once.
    database.beforeNextChange {
      second.turn(.release(key: "key", owner: "a"))
      second.turn(.hold("key", "c"))
    }
    #expect(first.turn(.release(key: "key", owner: "a")) == [.notTheHolder])
    #expect(waiter.result == nil && first.observer.totals.waiting == 1)
    #expect(second.turn(.release(key: "key", owner: "c")) == [.released])
    for _ in 1...3 {
      clock.advance(nanoseconds: StoreLimits().waitedLookNanoseconds)
      first.turn()
    }
    #expect(waiter.result == .granted(token: 3, revision: 5))
  }

  @Test func whoMeetsOthersEachTimeGivesUpAfterAWhileAndNothingIsDone() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("key", "a"))
    let (database, renewals) = (database, Counter())
    @Sendable func renew() {
      renewals.count += 1
      second.turn(.hold("key", "a"))
      database.beforeNextChange(renew)
    }
    database.beforeNextChange(renew)
    #expect(first.turn(.hold("key", "a")) == [.failure(.conflict)])
    database.beforeNextChange(nil)
    #expect(renewals.count == StoreLimits().conflictsMax + 1)
    #expect(first.health == .working && first.observer.totals.failures == 0)
    #expect(
      first.turn(.hold("key", "a")) == [.renewed(token: 1, revision: Int64(renewals.count) + 2)])
  }

  /// Who was answered may have gone on elsewhere.
  @Test func whatNobodyWaitsForIsNotDecidedAnew() throws {
    let (first, second) = (try bench(), try bench())
    let (answered, waited) = (KeptCall(), KeptCall())
    database.beforeNextChange {
      second.turn(.hold("key", "a"))
      answered.isWanted = false
    }
    first.turn(items: [
      .command(.hold("key", "a"), deadline: nil, call: answered),
      .command(.hold("other", "a"), deadline: nil, call: waited),
    ])
    #expect(answered.result == .failure(.unwanted))
    #expect(waited.result == .granted(token: 1, revision: 1))
    #expect(database.row(forKey: "key")?.revision == 1)
  }

  /// Whoever asked waits for no longer.
  @Test func whoMeetsOthersForLongGivesUp() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("key", "a"))
    let (database, clock, renewals) = (database, clock, Counter())
    @Sendable func renew() {
      renewals.count += 1
      clock.advance(nanoseconds: 500_000_000)
      second.turn(.hold("key", "a"))
      database.beforeNextChange(renew)
    }
    database.beforeNextChange(renew)
    #expect(first.turn(.hold("key", "a")) == [.failure(.conflict)])
    database.beforeNextChange(nil)
    #expect(renewals.count == 4)
  }

  /// `@unchecked Sendable`: all is done on one thread.
  private final class Counter: @unchecked Sendable { var count = 0 }

  /// *stale-fenced*: it has read what it may act on, and acts only when that is over.
  @Test func aServerWhoseShapesAreGivenUpMeanwhileWritesNothing() throws {
    let (older, newer) = (try bench(KnownShapes(after: [])), try bench())
    database.beforeNextChange {
      newer.turn(items: [
        .giveUpShapes(
          Upkeep.GivingUp(
            shape: S2.number, neededRelease: "0.2.0",
            deadline: newer.clock.now + 1_000_000_000))
      ])
    }
    guard case .failure(let error) = older.turn(.hold("key", "a"))[0] else {
      Issue.record("a server wrote in a shape that was given up")
      return
    }
    #expect(error.code == .tooOldServer)
    #expect(database.row(forKey: "key") == nil)
    #expect(older.observer.totals.conflicts == 1)
  }

  /// *fence*: between the look at a key without a row and its grant, the key was granted, freed and its row
  /// collected.
  @Test func noTokenComesTwiceThoughRowsAreCollectedMeanwhile() throws {
    var limits = StoreLimits()
    limits.epochNanoseconds = 1_000_000_000
    limits.collectPauseNanoseconds = 0
    limits.patienceNanoseconds = 60_000_000_000
    func bench() throws -> TurnBench {
      try TurnBench(engine: database.engine(), database: database, clock: clock, limits: limits)
    }
    let (first, second) = (try bench(), try bench())
    database.beforeNextChange {
      #expect(second.turn(.hold("key", "b")) == [.granted(token: 1, revision: 1)])
      second.turn(.release(key: "key", owner: "b"))
      second.pass(seconds: 5)
      #expect(second.observer.totals.collected == 1)
    }
    #expect(first.turn(.hold("key", "a")) == [.granted(token: 2, revision: 1)])
  }
}
