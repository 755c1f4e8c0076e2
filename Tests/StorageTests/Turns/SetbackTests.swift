import LockCore
import TestKit
import Testing

@testable import Storage

/// A database that has gone back in time, and servers that still know what it lacks.
@Suite(.timeLimit(.minutes(1))) struct SetbackTests {
  /// What the floor is raised by.
  private static let jump: Int64 = 1 << 32

  private let database = MemoryDatabase(.optimistic)
  private let clock = ManualClock()

  private func bench() throws -> TurnBench {
    try TurnBench(
      engine: database.engine(), database: database, clock: clock, limits: StoreLimits())
  }

  /// Loses what `change` does.
  private func lose(isNoticeable: Bool = true, _ change: () -> Void) {
    let before = database.snapshot
    change()
    database.goBack(to: before, isNoticeable: isNoticeable)
  }

  /// Lets the time pass in which all servers look.
  private func pass(_ servers: TurnBench...) {
    for _ in 1...16 {
      clock.advance(nanoseconds: StoreLimits().tickNanoseconds)
      for server in servers {
        server.turn()
        server.turn()
      }
    }
  }

  private func renewed(_ result: StoreResult) -> Sighting? {
    if case .success(.renewed(let record)) = result { record.sighting } else { nil }
  }

  private static let underWay = StoreResult.failure(Setback.error)

  @Test(arguments: [true, false])
  func aLostGrantIsHeldAgainUnderItsToken(isNoticeable: Bool) throws {
    let server = try bench()
    server.turn(.hold("other", "o"))
    lose(isNoticeable: isNoticeable) {
      #expect(server.turn(.hold("key", "a", lease: 10)) == [.granted(token: 1, revision: 1)])
    }
    #expect(
      server.turn(.hold("key", "b"), .hold("new", "b"), .hold("other", "o"))
        == Array(repeating: Self.underWay, count: 3))
    #expect(server.observer.totals.setbacks == [2] && server.health == .failing(Setback.error))
    pass(server)
    #expect(server.health == .working)
    #expect(
      server.turn(.hold("key", "b"), .hold("other", "o")) == [
        .heldByAnother, .renewed(token: 1, revision: 2),
      ])
    let renewal = server.turn(.renew(Renewal(key: "key", token: 1)))[0]
    #expect(renewed(renewal) == Sighting(token: 1, revision: 3))
    server.pass(seconds: 9.5)
    #expect(server.turn(.hold("key", "b")) == [.heldByAnother])
    server.pass(seconds: 3)
    #expect(
      server.turn(.hold("key", "b")) == [.granted(token: Self.jump + 2, revision: 5)])
    #expect(server.observer.totals.setbacks == [2])
  }

  /// The database shows who had it before.
  @Test func whoHadAKeyBeforeTheLostGrantDoesNotComeBack() throws {
    let server = try bench()
    server.turn(.hold("key", "before", lease: 5))
    lose {
      server.turn(.release(key: "key", owner: "before"))
      #expect(server.turn(.hold("key", "a", lease: 20)) == [.granted(token: 2, revision: 3)])
    }
    let late = Command.renew(Renewal(key: "key", token: 1))
    #expect(server.turn(late, .hold("key", "before")) == [Self.underWay, Self.underWay])
    pass(server)
    #expect(
      server.turn(late, .hold("key", "before")) == [.notTheHolder, .heldByAnother])
    let renewal = server.turn(.renew(Renewal(key: "key", token: 2)))[0]
    #expect(renewed(renewal) == Sighting(token: 2, revision: 5))
  }

  @Test func aGrantOfWhichOnlyRenewalsAreLostGoesOn() throws {
    let server = try bench()
    server.turn(.hold("key", "a", lease: 5))
    lose { server.turn(.renew(Renewal(key: "key", token: 1))) }
    server.turn()
    pass(server)
    #expect(server.observer.totals.setbacks == [1])
    #expect(server.turn(.hold("key", "a", lease: 5)) == [.renewed(token: 1, revision: 2)])
    #expect(server.turn(.hold("key", "b")) == [.heldByAnother])
  }

  /// The other one has lost nothing, and would grant it.
  @Test func noServerGrantsWhatAnotherOneHasToPutBack() throws {
    let (first, second) = (try bench(), try bench())
    second.turn(.hold("other", "o"))
    lose { first.turn(.hold("key", "a", lease: 60)) }
    #expect(second.turn(.hold("key", "b")) == [Self.underWay])
    #expect(second.observer.totals.histories == 1)
    pass(second, first)
    for server in [first, second] { #expect(server.observer.totals.setbacks.count == 1) }
    #expect(second.turn(.hold("key", "b")) == [.heldByAnother])
    let renewal = first.turn(.renew(Renewal(key: "key", token: 1)))[0]
    #expect(renewed(renewal) == Sighting(token: 1, revision: 3))
  }

  /// It is gone together with what it has granted, and another one has seen that.
  @Test func whatAServerHasSeenOfOthersIsPutBackToo() throws {
    let (first, second, third) = (try bench(), try bench(), try bench())
    lose {
      first.turn(.hold("key", "a", lease: 60))
      pass(second)
      // By this it is noticed.
      third.turn(.hold("of third", "t"))
    }
    pass(second, third)
    #expect(second.observer.totals.setbacks == [1])
    #expect(try second.owner(of: "key") == "a" && second.owner(of: "of third") == "t")
    #expect(database.meta(.all).setbacks == 1)
  }

  /// It comes with what was read before.
  @Test func whatWasReadLongAgoDoesNotHideWhatIsHeldNow() throws {
    let server = try bench()
    server.turn(.hold("key", "a"))
    let row = try #require(database.row(forKey: "key"))
    lose {
      server.turn(.release(key: "key", owner: "a"))
      #expect(server.turn(.hold("key", "b", lease: 60)) == [.granted(token: 2, revision: 3)])
      var lease = SeenLease(
        id: row.id, sighting: Sighting(token: 1, revision: 1), lease: Lease(seconds: 15)!,
        kind: .lock)
      lease.name = SeenLease.Name(key: "key", owner: "a")
      let late = ChangedRow(key: "key", isOver: false, lease: lease)
      server.comes(
        .news(ChangesByOthers(mark: ChangeMark(changesOfRun: [:]), rows: [late]), nanoseconds: 0))
      server.turn()
    }
    pass(server)
    #expect(try server.owner(of: "key") == "b")
    #expect(database.row(forKey: "key")?.token == 2)
  }

  @Test func aServerThatNobodyAsksNoticesIt() throws {
    let server = try bench()
    lose(isNoticeable: false) { server.turn(.hold("key", "a", lease: 10)) }
    pass(server)
    #expect(server.observer.totals.setbacks == [1])
    #expect(database.meta(.all).tokenFloor == Self.jump + 1)
    #expect(try server.owner(of: "key") == "a")
  }

  @Test func whereNothingIsMissingAllGoesOnAsBefore() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("key", "a"))
    lose {}
    pass(first, second)
    for server in [first, second] {
      #expect(server.observer.totals.histories == 1 && server.observer.totals.setbacks == [])
    }
    #expect(first.turn(.hold("new", "a")) == [.granted(token: 1, revision: 1)])
    // Who starts later has nothing to wait for.
    #expect(try bench().turn(.hold("newer", "a")) == [.granted(token: 1, revision: 1)])
  }

  @Test(arguments: [FaultPoint.facts, .apply], Fault.allCases)
  func itIsDoneThoughTheFirstTryFails(_ point: FaultPoint, _ fault: Fault) throws {
    let server = try bench()
    lose { server.turn(.hold("key", "a", lease: 60)) }
    server.turn()
    server.faults.fail(point, fault, skip: 1)
    for _ in 1...3 { pass(server) }
    #expect(try server.owner(of: "key") == "a")
    #expect(database.meta(.all).tokenFloor >= Self.jump + 1)
    #expect(
      server.turn(.hold("new", "a")).allSatisfy { if case .success = $0 { true } else { false } })
  }

  @Test func whoWaitsIsGrantedTheKeyWhenItIsFree() throws {
    let server = try bench()
    server.turn(.hold("key", "before"))
    let before = database.snapshot
    server.turn(.release(key: "key", owner: "before"), .hold("key", "a", lease: 60))
    let waiter = KeptCall()
    let claim = Claim(kind: .lock, owner: "b", lease: Lease(seconds: 15)!)
    let wait = Wait(end: clock.now + 60_000_000_000, requestID: "")
    server.turn(items: [
      .command(.claimWaiting(key: "key", claim, wait), deadline: nil, call: waiter)
    ])
    database.goBack(to: before)
    pass(server)
    #expect(waiter.result == nil)
    server.turn(.release(key: "key", owner: "a"))
    #expect(
      waiter.result?.map(\.withoutState) == .granted(token: Self.jump + 3, revision: 6))
  }
}
