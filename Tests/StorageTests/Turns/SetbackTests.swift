import LockCore
import TestKit
import Testing

@testable import Storage

/// A database that has gone back in time, and servers that still know what it lacks.
@Suite(.timeLimit(.minutes(1))) struct SetbackTests {
  /// What the floor is raised by at least.
  private static let jump = Setback.tokensOfHistoryMax
  /// What it is raised to in the history with the number 1.
  private static let floor = 2 * jump

  private let database = MemoryDatabase(.optimistic)
  private let clock = ManualClock()

  private func bench(
    on database: MemoryDatabase? = nil, shapes: KnownShapes = .all,
    limits: StoreLimits = StoreLimits(), arrives: Bool = true
  ) throws -> TurnBench {
    let database = database ?? self.database
    let bench = try TurnBench(
      engine: database.engine(shapes), database: database, clock: clock, limits: limits,
      setbackGraceNanoseconds: limits.setbackGraceNanoseconds)
    if arrives { pass(bench) }
    return bench
  }

  /// Loses what `change` does.
  private func lose(isNoticeable: Bool = true, _ change: () throws -> Void) rethrows {
    let before = database.snapshot
    try change()
    database.goBack(to: before, isNoticeable: isNoticeable)
  }

  /// Lets the time pass in which all servers look.
  private func pass(_ servers: TurnBench..., ticks: Int = 16) {
    for _ in 1...ticks {
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

  // MARK: - What was lost

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
    #expect(server.health == .failing(Setback.error))
    pass(server)
    #expect(server.health == .working)
    #expect(server.observer.totals.histories == 1 && server.observer.totals.setbacks == [1])
    #expect(server.turn(.hold("key", "b")) == [.heldByAnother])
    let renewal = server.turn(.renew(Renewal(key: "key", token: 1)))[0]
    #expect(renewed(renewal) == Sighting(token: 1, revision: 3))
    server.pass(seconds: 9.5)
    #expect(server.turn(.hold("key", "b")) == [.heldByAnother])
    server.pass(seconds: 3)
    let floor = isNoticeable ? Self.floor : Self.jump + 1
    #expect(server.turn(.hold("key", "b")) == [.granted(token: floor + 1, revision: 5)])
    #expect(server.observer.totals.setbacks == [1])
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

  /// Who names its token goes on. Who only claims the key may have been granted it again since, under a token
  /// that nobody knows any more.
  @Test func anOwnerThatDoesNotNameItsTokenHasANewGrant() throws {
    let server = try bench()
    server.turn(.hold("key", "a", lease: 5), .hold("named", "a", lease: 5))
    lose { server.turn(.renew(Renewal(key: "key", token: 1))) }
    server.turn()
    pass(server)
    #expect(server.observer.totals.setbacks == [0])
    #expect(server.turn(.hold("key", "b")) == [.heldByAnother])
    #expect(
      server.turn(.hold("key", "a")) == [.granted(token: Self.floor + 1, revision: 2)])
    #expect(
      server.turn(.hold("key", "a")) == [.renewed(token: Self.floor + 1, revision: 3)])
    let renewal = server.turn(.renew(Renewal(key: "named", token: 1)))[0]
    #expect(renewed(renewal) == Sighting(token: 1, revision: 2))
  }

  /// Nothing was lost: whoever holds something holds it as before. Only a server that knows nothing of before would
  /// say otherwise, and leaves it to the others.
  @Test func whereCommitsWaitForStandbysClaimsAreRenewedAsBefore() throws {
    let database = MemoryDatabase(.optimistic, isReplicated: true)
    let server = try bench(on: database)
    server.turn(.hold("key", "a", lease: 60))
    database.goBack(to: database.snapshot)
    let new = try bench(on: database, arrives: false)
    #expect(new.turn(.hold("key", "b")) == [Self.underWay])
    pass(new, server)
    #expect(server.turn(.hold("key", "a")) == [.renewed(token: 1, revision: 2)])
    #expect(new.turn(.hold("other", "b")) == [.granted(token: Self.floor + 1, revision: 1)])
    #expect(database.meta(.all).setbackFloor == 0)
  }

  @Test func whoIsAloneSaysItInTheEnd() throws {
    database.goBack(to: database.snapshot)
    let new = try bench()
    pass(new)
    #expect(new.turn(.hold("key", "b")) == [.granted(token: Self.floor + 1, revision: 1)])
  }

  /// The row comes to the same revision again, later.
  @Test func whatWasSeenOfALeaseBeforeDoesNotCount() throws {
    let server = try bench()
    server.turn(.hold("key", "a", lease: 10))
    server.pass(seconds: 8)
    lose { server.turn(.renew(Renewal(key: "key", token: 1))) }
    server.pass(seconds: 6)
    let renewal = server.turn(.renew(Renewal(key: "key", token: 1)))[0]
    #expect(renewed(renewal) == Sighting(token: 1, revision: 2))
    server.pass(seconds: 9.75)
    #expect(try server.owner(of: "key") == "a")
    server.pass(seconds: 1)
    #expect(try server.owner(of: "key") == nil)
  }

  /// The other one has lost nothing, and would grant it.
  @Test func noServerGrantsWhatAnotherOneHasToPutBack() throws {
    let (first, second) = (try bench(), try bench())
    second.turn(.hold("other", "o"))
    lose { first.turn(.hold("key", "a", lease: 60)) }
    #expect(second.turn(.hold("key", "b")) == [Self.underWay])
    pass(second, first)
    for server in [first, second] { #expect(server.observer.totals.histories == 1) }
    #expect(first.observer.totals.setbacks == [1] && second.observer.totals.setbacks == [])
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
  }

  /// Also by who has only seen it.
  @Test(arguments: [true, false]) func whatIsPutBackStaysWhoseItWas(isBySeer: Bool) throws {
    var (granting, seeing): (TurnBench?, TurnBench) = (try bench(), try bench())
    var claim = Claim(kind: .lock, owner: "a", lease: Lease(seconds: 60)!)
    claim.caller = Caller(identity: "mine", mayBreak: false)
    lose {
      granting?.turn(.claim(key: "key", claim))
      if isBySeer {
        pass(seeing)
        granting = nil
      }
      seeing.turn(.hold("noticed by", "s"))
    }
    pass(isBySeer ? seeing : granting!, seeing)
    claim.caller.identity = "other"
    #expect(seeing.turn(.claim(key: "key", claim)) == [.heldByAnother])
    #expect(database.stored("key", .all)?.record.holder?.identity == "mine")
  }

  /// It has put it back before, and could not say whose it is.
  @Test func whatAServerHasPutBackThatKnowsNoIdentitiesIsWhoseItWas() throws {
    let (older, newer) = (try bench(shapes: .upTo(2)), try bench())
    var claim = Claim(kind: .lock, owner: "a", lease: Lease(seconds: 60)!)
    claim.caller = Caller(identity: "mine", mayBreak: false)
    lose {
      newer.turn(.claim(key: "key", claim))
      pass(older)
      older.turn(.hold("noticed by", "o"))
    }
    pass(older)
    #expect(try older.owner(of: "key") == "a")
    #expect(database.stored("key", .all)?.record.holder?.identity == "")
    pass(newer, older)
    #expect(database.stored("key", .all)?.record.holder?.identity == "mine")
  }

  /// It comes with what was read before.
  @Test func whatWasReadLongAgoDoesNotHideWhatIsHeldNow() throws {
    let server = try bench()
    server.turn(.hold("key", "a"))
    let row = try #require(database.row(forKey: "key"))
    lose {
      server.turn(.release(key: "key", owner: "a"))
      #expect(server.turn(.hold("key", "b", lease: 60)) == [.granted(token: 2, revision: 3)])
      server.comes(.news(news(of: row, setbacks: 1), nanoseconds: 0))
      server.turn()
    }
    pass(server)
    #expect(try server.owner(of: "key") == "b")
    #expect(database.row(forKey: "key")?.token == 2)
  }

  private func news(of row: S1Row, setbacks: Int64) -> ChangesByOthers {
    var lease = SeenLease(
      id: row.id, sighting: Sighting(token: row.token, revision: row.revision),
      lease: Lease(seconds: 15)!, kind: .lock)
    lease.name = SeenLease.Name(key: row.key!, owner: row.owner!)
    var news = ChangesByOthers(
      mark: ChangeMark(changesOfRun: [:]),
      rows: [ChangedRow(key: row.key!, isOver: false, lease: lease)])
    news.setbacks = setbacks
    return news
  }

  /// It comes late, and would have the lease end too early, and be put back another time.
  @Test func whatWasReadInAnotherPastIsNotSeen() throws {
    let server = try bench()
    server.turn(.hold("key", "a", lease: 60))
    let row = try #require(database.row(forKey: "key"))
    lose { server.turn(.renew(Renewal(key: "key", token: 1))) }
    pass(server)
    var lost = row
    (lost.id, lost.key, lost.token) = (row.id + 7, "lost", 5)
    server.comes(.news(news(of: lost, setbacks: 1), nanoseconds: 0))
    server.comes(.seen(news(of: lost, setbacks: 1).rows!.map(\.lease), setbacks: 1))
    server.turn()
    let before = database.snapshot
    server.turn(.hold("other", "o"))
    database.goBack(to: before)
    pass(server)
    #expect(try server.owner(of: "other") == "o" && server.owner(of: "lost") == nil)
  }

  @Test func aServerThatNobodyAsksNoticesIt() throws {
    let server = try bench()
    lose(isNoticeable: false) { server.turn(.hold("key", "a", lease: 10)) }
    pass(server)
    #expect(server.observer.totals.setbacks == [1])
    #expect(database.meta(.all).tokenFloor == Self.jump + 1)
    #expect(try server.owner(of: "key") == "a")
  }

  @Test func whereNothingIsMissingAllGoesOn() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("key", "a"))
    second.turn()
    lose {}
    pass(first, second)
    for server in [first, second] {
      #expect(server.observer.totals.histories == 1 && server.observer.totals.setbacks == [])
    }
    #expect(
      first.turn(.hold("new", "a")) == [.granted(token: Self.floor + 1, revision: 1)])
    // Who starts later has nothing to wait for.
    #expect(
      try bench().turn(.hold("newer", "a")) == [.granted(token: Self.floor + 1, revision: 1)])
  }

  // MARK: - Again

  /// The number of setbacks itself goes back.
  @Test func itIsNoticedASecondTime() throws {
    let server = try bench()
    server.turn(.hold("other", "o", lease: 60))
    let before = database.snapshot
    server.turn(.hold("key", "a", lease: 60))
    database.goBack(to: before, isNoticeable: false)
    pass(server)
    let first = database.meta(.all).setbacks
    database.goBack(to: before, isNoticeable: false)
    pass(server)
    #expect(server.observer.totals.setbacks == [1, 1])
    let second = database.meta(.all)
    #expect(second.setbacks > first && second.opened == second.setbacks)
    #expect(second.tokenFloor == 2 * Self.jump + 1)
    #expect(try server.owner(of: "key") == "a")
  }

  /// What was looked through is known as before, also before all go on.
  @Test(arguments: [1, 16]) func whatWasPutBackIsPutBackAgain(ticks: Int) throws {
    let server = try bench()
    let before = database.snapshot
    server.turn(.hold("key", "a", lease: 60), .hold("key 2", "a", lease: 60))
    for _ in 1...3 {
      database.goBack(to: before)
      #expect(server.turn(.hold("new", "b")) == [Self.underWay])
      pass(server, ticks: ticks)
      #expect(try server.owner(of: "key") == "a" && server.owner(of: "key 2") == "a")
    }
    #expect(server.observer.totals.setbacks == [2, 2, 2])
  }

  // MARK: - Who is waited for

  /// A new server finds a store of which others have not put back yet what they know.
  @Test func aServerThatStartsInBetweenGrantsNothing() throws {
    let (first, second) = (try bench(), try bench())
    lose { first.turn(.hold("key", "a", lease: 60)) }
    second.turn()
    let new = try bench(arrives: false)
    #expect(new.turn(.hold("key", "b")) == [Self.underWay])
    #expect(new.health == .failing(Setback.error))
    pass(first, second, new)
    #expect(new.turn(.hold("key", "b")) == [.heldByAnother])
    #expect(new.health == .working)
  }

  /// Who has a lot to put back takes longer than who says nothing is waited for.
  @Test func whoIsPuttingBackIsWaitedFor() throws {
    var limits = StoreLimits()
    limits.batchMax = 1
    let (first, second) = (try bench(limits: limits), try bench())
    let keys = (1...20).map { "key \($0)" }
    lose { for key in keys { first.turn(.hold(key, "a", lease: 60)) } }
    #expect(first.turn(.hold("new", "b")) == [Self.underWay])
    for _ in 1...10 {
      pass(second, ticks: 4)
      first.turn()
      #expect(second.turn(.hold("key 1", "b")) == [Self.underWay])
    }
    pass(first, second, ticks: 20)
    for key in keys { #expect(second.turn(.hold(key, "b")) == [.heldByAnother]) }
  }

  /// Nothing of the first parts is missing.
  @Test func whoIsLookingThroughWhatIsThereIsWaitedFor() throws {
    var limits = StoreLimits()
    limits.batchMax = 1
    let (first, second) = (try bench(limits: limits), try bench())
    let keys = (1...20).map { "key \($0)" }
    for key in keys { first.turn(.hold(key, "a", lease: 60)) }
    lose { second.turn(.hold("other", "b")) }
    #expect(first.turn(.hold("new", "b")) == [Self.underWay])
    for _ in 1...10 {
      pass(second, ticks: 4)
      first.turn()
      #expect(second.turn(.hold("new", "b")) == [Self.underWay])
    }
    pass(first, second, ticks: 20)
    #expect(second.turn(.hold("key 1", "b")) == [.heldByAnother])
  }

  /// Others have waited for it already.
  @Test func whoSeesItLaterGoesOnAtOnce() throws {
    let (first, second) = (try bench(), try bench())
    lose { first.turn(.hold("key", "a", lease: 60)) }
    pass(first)
    #expect(first.turn(.hold("key", "b")) == [.heldByAnother])
    second.turn(.hold("key", "b"))
    #expect(second.turn(.hold("key", "b")) == [.heldByAnother])
  }

  @Test func whoSaysNothingIsWaitedForOnlyForAWhile() throws {
    let (first, second) = (try bench(), try bench())
    second.turn()
    lose { first.turn(.hold("key", "a", lease: 60)) }
    pass(second, ticks: 4)
    #expect(second.turn(.hold("key", "b")) == [Self.underWay])
    pass(second, ticks: 5)
    #expect(second.turn(.hold("key", "b")) == [.granted(token: Self.floor + 1, revision: 1)])
    // It is too late: the later grant stands, and tokens are in order.
    pass(first, second)
    #expect(first.turn(.renew(Renewal(key: "key", token: 1))) == [.notTheHolder])
    #expect(try first.owner(of: "key") == "b")
  }

  /// Whose run is not there any more comes back unsettled, and looks.
  @Test func whoseRunTheDatabaseLacksComesBack() throws {
    let first = try bench()
    first.turn()
    let before = database.snapshot
    let second = try bench()
    second.turn(.hold("key", "a", lease: 60))
    database.goBack(to: before)
    pass(first, second)
    #expect(second.observer.totals.setbacks == [1])
    #expect(first.turn(.hold("key", "b")) == [.heldByAnother])
  }

  // MARK: - Whoever reads

  @Test func nobodyReadsMeanwhile() throws {
    let server = try bench()
    server.turn(.hold("other", "o"))
    #expect(server.read("other") == .success("o"))
    lose { server.turn(.hold("key", "a", lease: 60)) }
    #expect(server.read("key") == .failure(Setback.error))
    server.turn(.hold("new", "b"))
    #expect(server.read("key") == .failure(Setback.error))
    pass(server)
    #expect(server.read("key") == .success("a"))
  }

  /// What is free in one history may be held in the other.
  @Test func nothingIsCollectedMeanwhile() throws {
    var limits = StoreLimits()
    limits.epochNanoseconds = 10_000_000_000
    let server = try bench(limits: limits)
    server.turn(.hold("key", "a"), .release(key: "key", owner: "a"))
    server.pass(seconds: 15.75)
    lose {}
    server.pass(seconds: 1)
    #expect(database.row(forKey: "key") != nil && server.health != .working)
    server.pass(seconds: 3)
    #expect(database.row(forKey: "key") == nil && server.health == .working)
  }

  // MARK: - Copies that were put back, whose histories have the same name or none

  private static func databases() -> [MemoryDatabase] {
    [true, false].map { MemoryDatabase(.optimistic, namesHistories: $0) }
  }

  /// Another server may have lost something, and nobody else would say so.
  @Test(arguments: databases())
  func aLostConnectionIsAReasonToWait(_ database: MemoryDatabase) throws {
    let (first, second) = (try bench(on: database), try bench(on: database))
    second.turn(.hold("other", "o", lease: 10))
    let before = database.snapshot
    first.turn(.hold("key", "a", lease: 60))
    database.goBack(to: before, isNoticeable: false)
    database.cutConnections()
    pass(second, ticks: 4)
    #expect(second.turn(.hold("key", "b")) == [Self.underWay])
    pass(first, second)
    #expect(second.turn(.hold("key", "b")) == [.heldByAnother])
    #expect(second.observer.totals.histories == 1)
  }

  @Test(arguments: databases()) func whoComesInWaits(_ database: MemoryDatabase) throws {
    let first = try bench(on: database)
    first.turn(.hold("other", "o", lease: 10))
    let before = database.snapshot
    #expect(first.turn(.hold("key", "a", lease: 60)) == [.granted(token: 1, revision: 1)])
    database.goBack(to: before, isNoticeable: false)
    let second = try bench(on: database, arrives: false)
    #expect(second.turn(.hold("key", "b")) == [.failure(Setback.arrivalError)])
    pass(first, second)
    #expect(second.health == .working)
    #expect(second.turn(.hold("key", "b")) == [.heldByAnother])
  }

  /// It can be seen, and is no failure of the store.
  @Test(arguments: databases())
  func whoComesInAloneIsReadyAfterAWhile(_ database: MemoryDatabase) throws {
    let server = try bench(on: database, arrives: false)
    server.turn()
    #expect(server.health == .failing(Setback.arrivalError))
    pass(server)
    #expect(server.health == .working)
    #expect(server.observer.totals.failures == 0 && server.observer.totals.histories == 0)
    #expect(server.turn(.hold("key", "a")) == [.granted(token: 1, revision: 1)])
  }

  // MARK: - What others have freed

  /// Nothing of it is put back.
  @Test func whatOthersHaveFreedIsNotHeldAnyMore() throws {
    let (first, second) = (try bench(), try bench())
    let before = database.snapshot
    first.turn(.hold("key", "a", lease: 3_600))
    pass(first, second)
    #expect(second.observer.totals.locks == 1)
    first.turn(.release(key: "key", owner: "a"))
    pass(first, second)
    #expect(second.observer.totals.locks == 0)
    database.goBack(to: before)
    pass(first, second, ticks: 40)
    #expect(try second.owner(of: "key") == nil)
    #expect(second.observer.totals.setbacks.allSatisfy { $0 == 0 })
  }

  /// Neither is what is not even there any more.
  @Test func whatOthersHaveFreedAndCollectedIsNotHeldAnyMore() throws {
    let (first, second) = (try bench(), try bench())
    let before = database.snapshot
    first.turn(.hold("key", "a", lease: 3_600))
    pass(first, second)
    first.turn(.release(key: "key", owner: "a"))
    database.collect("key")
    pass(first, second)
    #expect(second.observer.totals.locks == 0)
    database.goBack(to: before)
    pass(second, ticks: 40)
    #expect(try second.owner(of: "key") == nil)
  }

  /// Nor where it has lost its connection before and comes back after it.
  @Test func whatWasCollectedWhileAServerWasAwayIsNotPutBack() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("freed", "a", lease: 3_600), .hold("held", "a", lease: 3_600))
    first.turn(.release(key: "freed", owner: "a"), .hold("freed", "b", lease: 3_600))
    pass(first, second)
    #expect(second.observer.totals.locks == 2)
    first.turn(.release(key: "freed", owner: "b"))
    database.collect("freed")
    // Who was away for long is not told what has changed.
    database.set(.epoch, to: 9, note: "")
    second.faults.fail(.apply, .connectionLost)
    second.turn(.hold("mine", "c"))
    pass(second, ticks: 40)
    #expect(second.health == .working)
    #expect(try second.owner(of: "freed") == nil)
    #expect(second.observer.totals.setbacks == [])
    #expect(second.turn(.hold("freed", "c")) == [.granted(token: 3, revision: 1)])
    #expect(try second.owner(of: "held") == "a")
  }

  /// Where it is found out over another connection that something was not done, that may lead to another database.
  @Test func nothingIsDoneOverAConnectionThatNobodyHasLookedAt() throws {
    let server = try bench()
    server.faults.loseNextTransaction()
    guard case .failure(let error) = server.turn(.hold("key", "a"))[0] else {
      Issue.record("done over another connection")
      return
    }
    #expect(error.message.contains("the connection to the database was lost"))
    clock.advance(nanoseconds: server.limits.reopenNanoseconds)
    #expect(server.turn(.hold("key", "a")) == [.failure(Setback.error)])
    pass(server)
    #expect(server.turn(.hold("key", "a")) == [.granted(token: 1, revision: 1)])
  }

  /// It is waited for, and what it puts back is said.
  @Test func whoHasLostItsConnectionIsNotSettled() throws {
    let engine = database.engine()
    let first = try engine.openWriter().read(Wanted())
    #expect(first.settled == first.meta.setbacks)
    #expect(try engine.openWriter().read(Wanted()).settled == RunState.never)

    let server = try bench()
    lose(isNoticeable: false) { server.turn(.hold("key", "a", lease: 60)) }
    server.faults.fail(.apply, .connectionLost)
    server.turn(.hold("other", "a"))
    pass(server)
    #expect(server.observer.totals.setbacks == [1])
    #expect(try server.owner(of: "key") == "a")
  }

  // MARK: - What somebody has written by hand

  @Test func aNumberThatNobodyHasSaidIsPutRight() throws {
    let server = try bench()
    database.set(.opened, to: 4_711, note: "")
    #expect(server.read("key") == .failure(Setback.error))
    #expect(server.turn(.hold("other", "a")) == [Self.underWay])
    pass(server)
    #expect(server.read("key") == .success(nil))
    #expect(database.meta(.all).opened == database.meta(.all).setbacks)
  }

  /// Whatever stands there: once it was accepted, nothing is missing.
  @Test(arguments: [0, -1, -1_000_000, .min]) func aCountIsAcceptedOnce(_ commits: Int64) {
    var runs = OwnRuns()
    runs.began(7, for: .commands, formerCommits: nil)
    runs.committed(5, for: .commands)
    let wasBehind = runs.saw(commits, for: .commands)
    runs.accept()
    let isBehind = runs.saw(commits, for: .commands)
    #expect(wasBehind && !isBehind && !runs.isMissingAny(in: [7: commits]))
    #expect(!runs.isMissingAny(in: [:]))
  }

  // MARK: - Failures

  /// Each step of it.
  private static let tries = [FaultPoint.facts, .apply].flatMap { point in
    (0...4).map { (point, $0) }
  }

  @Test(arguments: tries, Fault.allCases)
  func itIsDoneThoughATryFails(_ at: (point: FaultPoint, skip: Int), _ fault: Fault) throws {
    let server = try bench()
    lose { server.turn(.hold("key", "a", lease: 60)) }
    server.faults.fail(at.point, fault, skip: at.skip)
    for _ in 1...3 { pass(server) }
    #expect(server.faults.injected == 1)
    #expect(try server.owner(of: "key") == "a")
    #expect(database.meta(.all).tokenFloor >= Self.floor)
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
      waiter.result?.map(\.withoutState) == .granted(token: Self.floor + 1, revision: 6))
  }
}
