import Glibc
import Testing
import WireSchema

@testable import LatchkeyClient

@Suite(.timeLimit(.minutes(2)))
struct RenewalTests {
  /// Renewing by owner, and by token.
  private static let wires = [0, 2]

  @Test(arguments: wires)
  func theLeaseIsRenewedEveryThirdOfIt(wire: Int) async throws {
    let scene = try await Scene(wire: WireVersions.all[wire])
    let holder = Holder(scene)
    let grant = try await holder.granted()
    for number in 1...10 {
      let due = Duration.seconds(5 * number)
      await scene.time.untilPlanned(at: due)
      try await scene.advance(to: due - .nanoseconds(1))
      #expect(scene.renewalCount == number - 1)
      try await scene.advance(to: due)
      #expect(grant.remaining == .seconds(15))
      #expect(scene.renewalCount == number)
    }
    #expect(!grant.isLost)
    holder.task.cancel()
    #expect(await holder.task.value == nil)
    #expect(scene.locks.owner(of: "a") == nil)
    try await scene.end()
  }

  /// The holder stops in time however late the answer is: the server may have renewed as soon as it
  /// was asked.
  @Test(arguments: wires)
  func aLateAnswerCountsFromWhenItWasAskedFor(wire: Int) async throws {
    let scene = try await Scene(wire: WireVersions.all[wire])
    let holder = Holder(scene)
    let grant = try await holder.granted()
    await scene.time.untilPlanned(at: .seconds(5))
    let (time, locks, isFirst) = (scene.time, scene.locks, Shared(true))
    scene.server.change { request in
      let delay = Duration.seconds(isFirst.now ? 6 : 100)
      isFirst.set(false)
      return .later(delay, time, locks.answer(request))
    }
    try await scene.advance(to: .seconds(11))
    #expect(grant.remaining == .seconds(9))
    try await scene.advance(to: .seconds(20) - .nanoseconds(1))
    #expect(!grant.isLost)
    try await scene.advance(to: .seconds(20))
    try #require(grant.isLost)
    #expect(await holder.task.value == .leaseLost)
    #expect(holder.cancelledAt.now == .seconds(20))
    try await scene.end()
  }

  /// Nothing goes on for a lease that is given back.
  @Test(arguments: wires)
  func whatIsOnItsWayIsTakenBackAtTheEnd(wire: Int) async throws {
    let scene = try await Scene(wire: WireVersions.all[wire])
    let holder = Holder(scene)
    _ = try await holder.granted()
    await scene.time.untilPlanned(at: .seconds(5))
    let locks = scene.locks
    scene.server.change { $0.method == "Release" ? locks.answer($0) : .silence }
    try await scene.advance(to: .seconds(5))
    #expect(scene.renewalCount == 1)
    holder.task.cancel()
    #expect(await holder.task.value == nil)
    #expect(locks.owner(of: "a") == nil)
    #expect(try await scene.server.countAbandoned() == 1)
    try await scene.end()
  }

  /// Its lease may be over already at the server.
  @Test func aGrantAfterAWaitThatCannotBeRenewedIsGivenBack() async throws {
    let scene = try await Scene()
    let (time, locks) = (scene.time, scene.locks)
    locks.give("a", to: "somebody")
    scene.server.change { request in
      if request.method == "Renew" { return .error(RPCError(.internal, "broken")) }
      guard case .acquire(let claim)? = request.call, claim.wait.seconds > 0 else {
        return locks.answer(request)
      }
      locks.give("a", to: nil)
      return .later(.seconds(6), time, locks.answer(request))
    }
    let ran = Shared(false)
    let task = Task {
      await code {
        try await scene.client.withLock("a", lease: .seconds(15)) { _ in ran.set(true) }
      }
    }
    // The server waits, from the time of now on.
    await time.untilPlanned(at: .seconds(6))
    #expect(scene.claims.count == 2)
    try await scene.advance(to: .seconds(6))
    #expect(await task.value != nil)
    #expect(!ran.now && scene.server.requests("Renew").count == 1)
    #expect(locks.owner(of: "a") == nil)
    try await scene.end()
  }

  @Test func renewalsByOwnerSayTheSameAsTheClaim() async throws {
    let scene = try await Scene(wire: V1.self)
    let task = Task {
      try await scene.client.withLock("a", owner: "me", value: "v", lease: .seconds(2.5)) { _ in
        await untilCancelled()
      }
    }
    let due = Duration.seconds(2.5) / 3
    await scene.time.untilPlanned(at: due)
    try await scene.time.advance(to: due)
    try await scene.server.received(2, "Lock")
    let claims = scene.server.requests("Lock").map { $0.claim! }
    #expect(claims[0] == claims[1])
    #expect(claims[0].ttlInSeconds == 3)
    task.cancel()
    try await task.value
    try await scene.end()
  }

  @Test(
    arguments: [FakeAnswer.silence, .error(RPCError(.unavailable, "no")), .hangUp],
    wires)
  func withoutRenewalsTheBodyIsCancelledAtTheDeadline(
    answer: FakeAnswer, wire: Int
  ) async throws {
    let scene = try await Scene(wire: WireVersions.all[wire])
    // An odd lease: the server is asked for 8 seconds, and the holder stops after what it asked
    // for.
    let lease = Duration.seconds(7.25)
    let holder = Holder(scene, lease: lease)
    let grant = try await holder.granted()
    scene.server.change { _ in answer }
    try await scene.time.advance(to: lease - .nanoseconds(1))
    #expect(!grant.isLost)
    #expect(grant.remaining == .nanoseconds(1))
    #expect(holder.cancelledAt.now == nil)
    try await scene.time.advance(to: lease)
    #expect(grant.isLost)
    #expect(grant.remaining == .zero)
    await grant.untilLost()
    #expect(await holder.task.value == .leaseLost)
    #expect(holder.cancelledAt.now == lease)
    // Somebody else may have it by now: it is not released.
    #expect(scene.server.requests("Release").isEmpty)
    try await scene.end()
  }

  @Test(arguments: wires)
  func renewalsAreTriedAgainWithoutWastingTheLease(wire: Int) async throws {
    let scene = try await Scene(wire: WireVersions.all[wire])
    let holder = Holder(scene)
    let grant = try await holder.granted()
    let locks = scene.locks
    scene.server.change { _ in .error(RPCError(.resourceExhausted, "queue full")) }
    await scene.time.untilPlanned(at: .seconds(5))
    try await scene.time.advance(to: .seconds(5))
    // After a thirtieth of the lease.
    await scene.time.untilPlanned(at: .seconds(5.5))
    scene.server.change { locks.answer($0) }
    try await scene.time.advance(to: .seconds(5.5))
    try await until { grant.remaining == .seconds(15) }
    #expect(scene.renewalCount == 2)
    holder.task.cancel()
    _ = await holder.task.value
    try await scene.end()
  }

  /// Another call has been failing for long when the renewal is due: in the middle of a pause of 2 s,
  /// or right before one.
  @Test(arguments: [Duration.seconds(1), .seconds(1.9)])
  func noLeaseIsSleptAway(otherAt: Duration) async throws {
    let scene = try await Scene { $0.requestTimeout = .seconds(60) }
    let holder = Holder(scene)
    let grant = try await holder.granted()
    await scene.time.untilPlanned(at: .seconds(5))
    let locks = scene.locks
    scene.server.change { _ in .error(RPCError(.unavailable, "the store is busy")) }
    try await scene.advance(to: otherAt)
    let other = Task { try await scene.client.fetch("b") }
    try await scene.server.received(1, "Get")
    // It is known by now that it failed: from then on the pauses count.
    try await scene.settle()
    try await scene.advance(to: .seconds(5))
    // The renewal has come beside it, and is not to wait longer than a thirtieth of the lease.
    try await until {
      await scene.callCount == 2 && scene.time.nextPlanned ?? .zero <= .seconds(5.5)
    }
    scene.server.change { locks.answer($0) }
    try await scene.advance(to: .seconds(5.5))
    try await until { grant.remaining > .seconds(14) }
    holder.task.cancel()
    _ = await holder.task.value
    _ = try await other.value
    try await scene.end()
  }

  /// The one that hangs answers PINGs, so it counts as slow until it has been silent twice as long.
  @Test(arguments: wires)
  func oneHungServerDoesNotCostTheLease(wire: Int) async throws {
    let version = WireVersions.all[wire]
    let time = ManualTime()
    let locks = FakeLocks()
    let offer = FakeServer.offer(of: version)
    let first = try await FakeServer(offer: offer) { locks.answer($0) }
    let second = try await FakeServer(offer: offer) { locks.answer($0) }
    let client = LatchkeyClient.testing(
      [first, second], time: time, versions: WireVersions.all)
    let grant = Shared<LockGrant?>(nil)
    let task = Task {
      await code {
        try await client.withLock("a", lease: .seconds(3)) {
          grant.set($0)
          await untilCancelled()
        }
      }
    }
    try await until { grant.now != nil }
    first.change { _ in .silence }
    await time.untilPlanned(at: .seconds(1))
    try await time.advance(to: .seconds(1))
    try await until { first.requests.count >= 2 }
    // Another attempt follows after a sixth of the lease, and yet another, elsewhere.
    // In small steps: what is planned next depends on when the answer to a PING has come.
    try await until {
      if time.elapsed < .milliseconds(2_400) {
        try await time.advance(to: time.elapsed + .milliseconds(50))
      }
      return !second.requests.isEmpty
    }
    try await until { grant.now!.remaining > .seconds(2) }
    task.cancel()
    #expect(await task.value == nil)
    #expect(locks.owner(of: "a") == nil)
    await client.shutdown()
    try await first.stop()
    try await second.stop()
  }

  @Test(arguments: wires)
  func whoeverElseHoldsTheKeyEndsTheLeaseAtOnce(wire: Int) async throws {
    let scene = try await Scene(wire: WireVersions.all[wire])
    let holder = Holder(scene)
    _ = try await holder.granted()
    scene.locks.give("a", to: "thief")
    await scene.time.untilPlanned(at: .seconds(5))
    try await scene.advance(to: .seconds(5))
    #expect(await holder.task.value == .leaseLost)
    #expect(holder.cancelledAt.now == .seconds(5))
    #expect(scene.locks.owner(of: "a") == "thief")
    #expect(scene.server.requests("Release").isEmpty)
    try await scene.end()
  }

  /// An older renewal was refused, and its answer comes after that of a newer one that was
  /// accepted: somebody else held the key in between, or the grant is over.
  @Test(arguments: wires)
  func aLateRefusalEndsTheLease(wire: Int) async throws {
    let scene = try await Scene(wire: WireVersions.all[wire])
    let holder = Holder(scene)
    let grant = try await holder.granted()
    await scene.time.untilPlanned(at: .seconds(5))
    let (time, locks) = (scene.time, scene.locks)
    locks.give("a", to: "thief")
    scene.server.change { .later(.seconds(4), time, locks.answer($0)) }
    try await scene.advance(to: .seconds(5))
    if wire == 0 { locks.give("a", to: nil) }
    scene.server.change {
      wire == 0 || $0.method == "Release" ? locks.answer($0) : .reply(body: [])
    }
    try await scene.advance(to: .seconds(7.5))
    #expect(grant.remaining == .seconds(15))
    try await scene.advance(to: .seconds(9))
    #expect(await holder.task.value == .leaseLost)
    #expect(holder.cancelledAt.now == .seconds(9))
    // By owner, the newer one was a new grant, which is given back.
    #expect(locks.owner(of: "a") == (wire == 0 ? nil : "thief"))
    try await scene.end()
  }

  /// What the holder reads, who may not know of servers and tokens.
  @Test(arguments: [
    (0, nil, "the lease of lock \"a\" could not be renewed within 15.0 seconds"),
    (0, "thief", "lock \"a\" is held by another owner"),
    (2, "thief", "lock \"a\" is held by \"thief\" now"),
    (2, nil, "lock \"a\" was released by somebody else, and nobody holds it now"),
  ])
  func theLossSaysWhatIs(wire: Int, owner: String?, text: String) async throws {
    let scene = try await Scene(wire: WireVersions.all[wire])
    let isHeld = Shared(false)
    let task = Task {
      try await scene.client.withLock("a") { _ in
        isHeld.set(true)
        await untilCancelled()
      }
    }
    try await until { isHeld.now }
    scene.locks.give("a", to: owner)
    // By owner, a renewal of what nobody holds is a new grant.
    if wire == 0, owner == nil { scene.server.change { _ in .silence } }
    await scene.time.untilPlanned(at: .seconds(5))
    try await scene.advance(to: .seconds(wire == 0 && owner == nil ? 15 : 5))
    let error = await #expect(throws: LatchkeyError.self) { try await task.value }
    #expect(error?.code == .leaseLost)
    #expect(error?.message == text)
    try await scene.end()
  }

  @Test func theLossIsThrownWhateverTheBodyReturns() async throws {
    let scene = try await Scene()
    let isHeld = Shared(false)
    let task = Task {
      try await scene.client.withLock("a", lease: .seconds(1)) { grant in
        isHeld.set(true)
        await grant.untilLost()
        return "done"
      }
    }
    try await until { isHeld.now }
    scene.server.change { _ in .silence }
    try await scene.time.advance(to: .seconds(1))
    #expect(await code { _ = try await task.value } == .leaseLost)
    try await scene.end()
  }

  @Test func aCancelledBodyIsProtectedWhileItCleansUp() async throws {
    let scene = try await Scene()
    let mayEnd = Shared(false)
    let isHeld = Shared(false)
    let isCleaningUp = Shared(false)
    let task = Task {
      try await scene.client.withLock("a") { grant in
        isHeld.set(true)
        await untilCancelled()
        isCleaningUp.set(true)
        while !mayEnd.now { await Task.yield() }
        return grant.remaining
      }
    }
    try await until { isHeld.now }
    await scene.time.untilPlanned(at: .seconds(5))
    task.cancel()
    try await until { isCleaningUp.now }
    try await scene.advance(to: .seconds(5))
    #expect(scene.renewalCount == 1)
    mayEnd.set(true)
    #expect(try await task.value == .seconds(15))
    #expect(scene.locks.owner(of: "a") == nil)
    try await scene.end()
  }

  @Test func aGrantThatComesTooLateIsNotUsed() async throws {
    let scene = try await Scene(wire: V1.self)
    let locks = scene.locks
    let ran = Shared(0)
    scene.server.change { _ in .silence }
    let task = Task {
      try await scene.client.withLock("a", lease: .seconds(1)) { _ in ran.set(1) }
    }
    try await scene.server.received(1, "Lock")
    // A claim is not waited for beyond the end of its lease.
    try await scene.time.advance(to: .seconds(1) - .nanoseconds(1))
    #expect(scene.server.requests("Lock").count == 1)
    scene.server.change { locks.answer($0) }
    try await scene.time.advance(to: .seconds(1))
    try await until {
      try await scene.time.advance(to: scene.time.elapsed + .milliseconds(1))
      return ran.now == 1
    }
    try await task.value
    try await scene.end()
  }

  /// Behind a proxy that goes from server to server, the next may be older than the one that
  /// granted. In real time: the server lets more than a third of the lease pass before it grants.
  @Test func aGrantAfterAWaitIsRenewedAlsoWhereTheNextServerIsOlder() async throws {
    let granted = try NewestWire.Response.acquire(
      .with {
        $0.grant = .with {
          $0.key = "a"
          $0.token = 7
        }
      }
    ).encoded(.proto)
    let server = try await FakeServer(offer: FakeServer.proxied) { request in
      switch (request.number, request.method) {
      case (1, "Acquire"): return .error(RPCError(.alreadyExists, "held-by-another"))
      case (2, "Acquire"):
        usleep(2_100_000)
        return .reply(body: granted)
      default: return WireRange(1, 1).answer(request)
      }
    }
    let client = LatchkeyClient.testing([server], versions: WireVersions.all)
    let token = try await client.withLock("a", lease: .seconds(6)) { $0.token }
    #expect(token == 7)
    #expect(
      server.requests.map(\.path) == [
        "/latchkey.v3.Locks/Acquire", "/latchkey.v3.Locks/Acquire", "/latchkey.v3.Locks/Renew",
        "/latchkey.v1.Locks/Lock", "/latchkey.v1.Locks/Release",
      ])
    await client.shutdown()
    try await server.stop()
  }

  /// In real time: how late the body hears of the end of its lease.
  @Test func theBodyHearsOfTheLossInTime() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer { $0.number == 1 ? locks.answer($0) : .silence }
    let client = LatchkeyClient.testing([server])
    let lateness = Shared<Duration?>(nil)
    let result = await code {
      try await client.withLock("a", lease: .seconds(1)) { grant in
        let end = ContinuousClock.now + grant.remaining
        await untilCancelled()
        lateness.set(ContinuousClock.now - end)
        #expect(grant.isLost)
      }
    }
    #expect(result == .leaseLost)
    let late = try #require(lateness.now)
    // A matter of microseconds, but the machine may be busy.
    #expect((.milliseconds(-1) ... .seconds(1)).contains(late), "late by \(late)")
    await client.shutdown()
    try await server.stop()
  }
}
