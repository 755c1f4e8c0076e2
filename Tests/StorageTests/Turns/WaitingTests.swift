import LockCore
import Exclusion
import TestKit
import Testing

@testable import Storage

/// How calls wait until a key is free.
@Suite struct WaitingTests {
  private static let second: Int64 = 1_000_000_000

  /// A call of which the peer may go away.
  private final class Waiter: StoreCall {
    private let state = Mutex((result: StoreResult?.none, isWanted: true))

    var result: StoreResult? { state.withLock { $0.result }.map { $0.map(\.withoutState) } }
    var replyTarget: any ReplyTarget { DirectTarget.shared }
    var isWanted: Bool { state.withLock { $0.isWanted } }

    func goAway() { state.withLock { $0.isWanted = false } }

    func complete(_ result: StoreResult) {
      state.withLock {
        precondition($0.result == nil, "a call is answered once")
        $0.result = result
      }
    }
  }

  /// As where what is granted could not be written down: leases are kept and end, and who waits goes on to.
  @Test func whereNothingIsToBeGrantedWhoWaitsWaitsOn() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 5), .hold("mine", "b", lease: 5))
    let waiter = Self.wait(bench, "key", "w")
    let refusal = StoreError(.unavailable, "no")
    bench.observer.refusing.withLock { $0 = refusal }
    #expect(bench.turn(.hold("new", "c")) == [.failure(refusal)])
    #expect(bench.turn(.release(key: "mine", owner: "b")) == [.failure(refusal)])
    #expect(bench.turn(.hold("mine", "b", lease: 60)) == [.renewed(token: 1, revision: 2)])
    bench.pass(seconds: 6)
    #expect(try bench.owner(of: "key") == nil && waiter.result == nil)
    bench.observer.refusing.withLock { $0 = nil }
    bench.pass(seconds: 1)
    #expect(try bench.owner(of: "key") == "w" && waiter.result != nil)
    let events = bench.observer.events.withLock { $0 }
    #expect(events.map(\.what) == [.granted, .granted, .ended, .granted])
  }

  /// One more in the line.
  private static func wait(
    _ bench: TurnBench, _ key: String, _ owner: String, seconds: Int64 = 60, lease: Int64 = 15,
    requestID: String = ""
  ) -> Waiter {
    let (waiter, item) = arrival(
      bench, key, owner, seconds: seconds, lease: lease, requestID: requestID)
    bench.turn(items: [item])
    return waiter
  }

  /// One more who comes, in a turn that is still to be taken.
  private static func arrival(
    _ bench: TurnBench, _ key: String, _ owner: String, seconds: Int64 = 60, lease: Int64 = 15,
    requestID: String = ""
  ) -> (Waiter, CommandWriter.Item) {
    let waiter = Waiter()
    let claim = Claim(kind: .lock, owner: owner, lease: Lease(seconds: lease)!)
    let wait = Wait(end: bench.clock.now + seconds * second, requestID: requestID)
    return (
      waiter,
      .command(.claimWaiting(key: key, claim, wait), deadline: nil, call: waiter)
    )
  }

  private static func item(_ command: Command) -> CommandWriter.Item {
    .command(command, deadline: nil, call: KeptCall())
  }

  @Test(arguments: engines)
  func aReleaseHandsOverInItsOwnTurnInTheOrderOfArrival(_ engine: EngineUnderTest) throws {
    let bench = try TurnBench(engine.newDatabase())
    bench.turn(.hold("key", "a"))
    let waiters = ["b", "c"].map { Self.wait(bench, "key", $0) }
    #expect(waiters.map(\.result) == [nil, nil])
    let transactions = bench.observer.totals.transactions
    #expect(bench.turn(.release(key: "key", owner: "a")) == [.released])
    #expect(waiters.map(\.result) == [.granted(token: 2, revision: 3), nil])
    #expect(bench.observer.totals.transactions == transactions + 1)
    #expect(try bench.owner(of: "key") == "b")
    // Who comes later does not get in between, even in the very transaction of the release.
    #expect(
      bench.turn(.release(key: "key", owner: "b"), .hold("key", "d"))
        == [.released, .heldByAnother])
    #expect(waiters[1].result == .granted(token: 3, revision: 5))
  }

  @Test(arguments: engines) func anEndedLeaseHandsOver(_ engine: EngineUnderTest) throws {
    let bench = try TurnBench(engine.newDatabase())
    bench.turn(.hold("key", "a", lease: 2))
    let waiter = Self.wait(bench, "key", "b", lease: 3)
    bench.pass(seconds: 1.75)
    #expect(waiter.result == nil)
    bench.pass(seconds: 0.5)
    #expect(waiter.result == .granted(token: 2, revision: 3))
    // Its own lease began with the grant.
    bench.pass(seconds: 2.5)
    #expect(try bench.owner(of: "key") == "b")
    bench.pass(seconds: 1)
    #expect(try bench.owner(of: "key") == nil)
  }

  /// Whatever frees the key in the very transaction in which somebody comes to wait for it.
  @Test(arguments: engines)
  func whoComesInTheTransactionOfTheReleaseIsGrantedIt(_ engine: EngineUnderTest) throws {
    let bench = try TurnBench(engine.newDatabase())
    for (turn, free) in [
      Command.release(key: "key", owner: "a"),
      .withdraw(key: "key", Sighting(token: 3, revision: 5)),
    ].enumerated() {
      bench.turn(.hold("key", "a"))
      let (first, item) = Self.arrival(bench, "key", "b")
      let (second, another) = Self.arrival(bench, "key", "c")
      bench.turn(items: [item, another, Self.item(free), Self.item(.hold("key", "d"))])
      let token = Int64(2 * turn + 2)
      #expect(first.result == .granted(token: token, revision: 2 * token - 1), "\(free)")
      #expect(second.result == nil)
      bench.turn(items: [.abandoned(second)])
      #expect(bench.turn(.release(key: "key", owner: "b")) == [.released])
      #expect(try bench.owner(of: "key") == nil)
      #expect(bench.observer.totals.waiting == 0)
    }
  }

  @Test(arguments: engines)
  func whoComesInTheTransactionInWhichTheLeaseEndsIsGrantedIt(_ engine: EngineUnderTest) throws {
    let bench = try TurnBench(engine.newDatabase())
    bench.turn(.hold("key", "a", lease: 2))
    bench.pass(seconds: 1.75)
    bench.clock.advance(nanoseconds: Self.second / 4)
    let (waiter, item) = Self.arrival(bench, "key", "b")
    bench.turn(items: [item])
    #expect(waiter.result == .granted(token: 2, revision: 3))
  }

  @Test func aWaitThatIsOverIsAnsweredWithTheStateOfThen() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a"))
    let waiter = Self.wait(bench, "key", "b", seconds: 1)
    #expect(bench.waitNanoseconds <= Self.second)
    bench.pass(seconds: 0.75)
    #expect(waiter.result == nil)
    bench.pass(seconds: 0.25)
    #expect(waiter.result == .heldByAnother)
    bench.turn(.release(key: "key", owner: "a"))
    #expect(try bench.owner(of: "key") == nil)
  }

  @Test func whoIsGoneIsPassedOver() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a"))
    let waiters = ["b", "c", "d"].map { Self.wait(bench, "key", $0) }
    waiters[0].goAway()
    bench.turn(items: [.abandoned(waiters[1])])
    #expect(bench.observer.totals.waiting == 2)
    bench.turn(.release(key: "key", owner: "a"))
    #expect(waiters.map(\.result) == [nil, nil, .granted(token: 2, revision: 3)])
    #expect(bench.observer.totals.waiting == 0)
  }

  @Test func aRetryTakesThePlaceOfItsRequest() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a"))
    let first = Self.wait(bench, "key", "b", requestID: "r")
    let other = Self.wait(bench, "key", "c")
    let again = Self.wait(bench, "key", "b", requestID: "r")
    #expect(first.result == .success(.refused(.superseded, nil)))
    bench.turn(.release(key: "key", owner: "a"))
    #expect(again.result == .granted(token: 2, revision: 3))
    #expect(other.result == nil)
  }

  @Test func oneOwnersCallsAreServedTogether() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a"))
    let waiters = ["b", "c", "b"].map { Self.wait(bench, "key", $0) }
    bench.turn(.release(key: "key", owner: "a"))
    #expect(
      waiters.map(\.result) == [
        .granted(token: 2, revision: 3), nil, .renewed(token: 2, revision: 4),
      ])
  }

  @Test func whoIsGoneDoesNotRenewForTheOthersOfItsOwner() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a"))
    let waiters = ["b", "b"].map { Self.wait(bench, "key", $0) }
    waiters[1].goAway()
    bench.turn(.release(key: "key", owner: "a"))
    #expect(waiters.map(\.result) == [.granted(token: 2, revision: 3), nil])
    #expect(bench.observer.totals.waiting == 0)
  }

  @Test func boundsAreNamed() throws {
    var limits = StoreLimits()
    limits.waitersOfKeyMax = 1
    let bench = try TurnBench(limits: limits)
    bench.turn(.hold("key", "a"))
    let waiters = ["b", "c"].map { Self.wait(bench, "key", $0) }
    #expect(waiters.map(\.result) == [nil, .success(.refused(.tooManyWaiters, nil))])
  }

  @Test func aServerThatGoesDownSendsThemAway() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a"))
    let before = Self.wait(bench, "key", "b")
    bench.turn(items: [.endWaits])
    #expect(before.result == .failure(.shuttingDown))
    #expect(Self.wait(bench, "key", "c").result == .failure(.shuttingDown))
  }

  @Test(arguments: engines) func whatAnotherServerFreesIsSeen(_ engine: EngineUnderTest) throws {
    let clock = ManualClock()
    let first = try TurnBench(engine.newDatabase(), clock: clock)
    let second = try TurnBench(first.database, clock: clock)
    first.turn(.hold("key", "a"))
    let waiter = Self.wait(second, "key", "b")
    second.pass(seconds: 0.25)
    #expect(waiter.result == nil)
    first.turn(.release(key: "key", owner: "a"))
    // The end of the look before is still to be taken in.
    second.turn()
    #expect(second.waitNanoseconds <= StoreLimits().waitedLookNanoseconds)
    clock.advance(nanoseconds: StoreLimits().waitedLookNanoseconds)
    // One turn asks a reader, the next one has its answer.
    second.turn()
    second.turn()
    #expect(waiter.result == .granted(token: 2, revision: 3))
  }

  @Test func aGrantThatReachedNobodyIsTakenBackUnlessItWasTakenUp() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a"))
    let next = Self.wait(bench, "key", "b")
    bench.turn(.withdraw(key: "key", Sighting(token: 1, revision: 9)))
    #expect(next.result == nil)
    bench.turn(.withdraw(key: "key", Sighting(token: 1, revision: 1)))
    #expect(next.result == .granted(token: 2, revision: 3))
  }

  /// Whoever came in it is told of the failure and does not wait; whose place was taken has it again.
  @Test(arguments: engines) func aFailureUndoesArrivals(_ engine: EngineUnderTest) throws {
    for point in [FaultPoint.facts, .apply] {
      let bench = try TurnBench(engine.newDatabase())
      bench.turn(.hold("key", "a", lease: 60))
      let first = Self.wait(bench, "key", "b", requestID: "r")
      let (again, retry) = Self.arrival(bench, "key", "b", requestID: "r")
      let (new, arrival) = Self.arrival(bench, "key", "c", requestID: "r")
      let (newest, latest) = Self.arrival(bench, "key", "c", requestID: "r")
      bench.faults.fail(point, .notDone)
      bench.turn(items: [retry, arrival, latest, Self.item(.release(key: "key", owner: "a"))])
      for call in [again, new, newest] { #expect(call.result == .failed, "\(point)") }
      #expect(first.result == nil)
      #expect(bench.observer.totals.waiting == 1)
      bench.pass(seconds: 4)
      #expect(bench.turn(.release(key: "key", owner: "a")) == [.released])
      guard case .success(.claimed(token: 2, _, isNewGrant: true))? = first.result else {
        Issue.record("\(point): \(String(describing: first.result))")
        continue
      }
      #expect(bench.observer.totals.waiting == 0)
    }
  }

  /// Whatever fails in the transaction of the release, nobody loses the place, nobody is granted
  /// twice, and a grant that was done after all is found.
  @Test(arguments: engines) func aFailureCostsNobodyThePlace(_ engine: EngineUnderTest) throws {
    for point in [FaultPoint.facts, .apply] {
      for fault in Fault.allCases {
        let bench = try TurnBench(engine.newDatabase())
        bench.turn(.hold("key", "a", lease: 60))
        let waiters = ["b", "c"].map { Self.wait(bench, "key", $0) }
        bench.faults.fail(point, fault)
        #expect(bench.turn(.release(key: "key", owner: "a")) == [.failed], "\(point) \(fault)")
        #expect(waiters.map(\.result) == [nil, nil], "\(point) \(fault)")
        bench.pass(seconds: 4)
        if try bench.owner(of: "key") == "a" {
          #expect(waiters[0].result == nil)
          #expect(bench.turn(.release(key: "key", owner: "a")) == [.released])
        }
        #expect(try bench.owner(of: "key") == "b", "\(point) \(fault)")
        guard case .success(.claimed(token: 2, _, _))? = waiters[0].result else {
          Issue.record("\(point) \(fault): \(String(describing: waiters[0].result))")
          continue
        }
        #expect(waiters[1].result == nil)
      }
    }
  }
}
