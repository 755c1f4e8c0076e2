import Glibc
import HTTP2
import RPC
import Synchronization
import Testing
import WireSchema

@testable import LatchkeyClient

/// A fake server, a client of it and manual time. With the random bits of the tests, renewals are due
/// after exactly a third of the lease, and pauses are what their range says.
private struct Scene {
  let time = ManualTime()
  let locks = FakeLocks()
  let server: FakeServer
  let client: LatchkeyClient

  init(_ configure: (inout LatchkeyClient.Configuration) -> Void = { _ in }) async throws {
    let locks = locks
    server = try await FakeServer { locks.answer($0) }
    client = .testing([server], time: time, configure)
  }

  func end() async throws {
    await client.shutdown()
    try await server.stop()
  }
}

@Suite(.timeLimit(.minutes(2)))
struct LockTests {
  @Test func theBodyRunsWhileTheLockIsHeld() async throws {
    let scene = try await Scene()
    let result = try await scene.client.withLock("a", value: "v") { grant in
      #expect(grant.key == "a")
      #expect(scene.locks.owner(of: "a") == grant.owner)
      #expect(scene.locks.kind(of: "a") == .lock)
      #expect(grant.lease == .seconds(15))
      #expect(grant.remaining == .seconds(15))
      #expect(!grant.isLost)
      return 7
    }
    #expect(result == 7)
    #expect(scene.locks.owner(of: "a") == nil)
    #expect(scene.server.requests.map(\.method) == ["Lock", "Release"])
    #expect(scene.server.requests[0].claim!.resource.value == "v")
    try await scene.end()
  }

  @Test func aPresenceIsHeldTheSameWay() async throws {
    let scene = try await Scene()
    try await scene.client.withPresence("a", owner: "me", lease: .seconds(3)) { _ in
      #expect(scene.locks.kind(of: "a") == .presence)
    }
    scene.locks.give("a", to: "you")
    #expect(
      await code { try await scene.client.withPresence("a", wait: .zero) { _ in } } == .waitEnded)
    try await scene.end()
  }

  @Test func theBodysErrorIsThrownAndTheLockReleased() async throws {
    struct BodyError: Error {}
    let scene = try await Scene()
    await #expect(throws: BodyError.self) {
      try await scene.client.withLock("a") { _ in throw BodyError() }
    }
    #expect(scene.locks.owner(of: "a") == nil)
    #expect(scene.server.requests("Release").count == 1)
    try await scene.end()
  }

  @Test func aGrantThatWasKeptIsLostAfterTheBody() async throws {
    let scene = try await Scene()
    let grant = try await scene.client.withLock("a") { $0 }
    #expect(grant.isLost)
    #expect(grant.remaining == .zero)
    await grant.untilLost()
    try await scene.end()
  }

  @Test func theBodyRunsOnTheCallersActor() async throws {
    final class Box { var value = 0 }
    actor Counter {
      private let box = Box()
      var count: Int { box.value }

      func run(_ client: LatchkeyClient) async throws {
        try await client.withLock("a") { _ in
          self.assertIsolated()
          box.value += 1
        }
      }
    }
    let scene = try await Scene()
    let counter = Counter()
    try await counter.run(scene.client)
    #expect(await counter.count == 1)
    let main = Task { @MainActor in
      try await scene.client.withLock("b") { _ in MainActor.assertIsolated() }
    }
    try await main.value
    try await scene.end()
  }

  // MARK: - Waiting

  @Test func oneTryIsOneTry() async throws {
    let scene = try await Scene()
    scene.locks.give("a", to: "somebody")
    do {
      try await scene.client.withLock("a", wait: .zero) { _ in
        _ = Issue.record("the body ran")
      }
      Issue.record("no error")
    } catch let error as LatchkeyError {
      #expect(error.code == .waitEnded)
      #expect(error.holder == "somebody")
      #expect(error.message.contains("\"somebody\""))
    }
    #expect(scene.server.requests("Lock").count == 1)
    #expect(scene.server.requests("Release").isEmpty)
    try await scene.end()
  }

  @Test func waitingPollsWithPausesThatGrow() async throws {
    let range = LatchkeyClient.DelayRange(min: .milliseconds(60), max: .milliseconds(900))
    let scene = try await Scene { $0.pollInterval = range }
    scene.locks.give("a", to: "somebody")
    let task = Task { try await scene.client.withLock("a") { _ in scene.time.elapsed } }
    var elapsed = Duration.zero
    for (number, pause) in [60, 120, 240, 480, 900, 900, 900].enumerated() {
      elapsed += .milliseconds(pause)
      await scene.time.untilPlanned(at: elapsed)
      #expect(scene.server.requests("Lock").count == number + 1)
      if number == 6 { scene.locks.give("a", to: nil) }
      try await scene.time.advance(to: elapsed)
    }
    #expect(try await task.value == elapsed)
    #expect(scene.locks.owner(of: "a") == nil)
    try await scene.end()
  }

  @Test func waitingEndsWithOneLastTry() async throws {
    let scene = try await Scene()
    scene.locks.give("a", to: "somebody")
    let task = Task {
      await code { try await scene.client.withLock("a", wait: .milliseconds(120)) { _ in } }
    }
    for elapsed in [50, 120] {
      await scene.time.untilPlanned(at: .milliseconds(elapsed))
      try await scene.time.advance(to: .milliseconds(elapsed))
    }
    #expect(await task.value == .waitEnded)
    #expect(scene.server.requests("Lock").count == 3)
    try await scene.end()
  }

  @Test func waitingOutlastsServersThatAreAway() async throws {
    let scene = try await Scene { $0.requestTimeout = .milliseconds(400) }
    scene.server.change { _ in .error(RPCError(.resourceExhausted, "queue full")) }
    let task = Task { try await scene.client.withLock("a") { _ in } }
    await scene.time.untilPlanned(at: .milliseconds(50))
    scene.server.change { _ in .silence }
    try await scene.time.advance(to: .milliseconds(50))
    try await scene.server.received(2, "Lock")
    let locks = scene.locks
    scene.server.change { locks.answer($0) }
    try await scene.time.advance(to: .milliseconds(450))
    // The second pause, after the request that timed out.
    await scene.time.untilPlanned(at: .milliseconds(550))
    try await scene.time.advance(to: .milliseconds(550))
    // A pause of the link may come on top.
    let end = Task {
      for step in 1... where !Task.isCancelled {
        try await scene.time.advance(to: .milliseconds(550 + step))
        try await Task.sleep(for: .milliseconds(1))
      }
    }
    try await task.value
    end.cancel()
    try await scene.end()
  }

  @Test func whatWaitingCannotMendIsThrown() async throws {
    let scene = try await Scene()
    let cases: [(RPCError, LatchkeyError.Code)] = [
      (RPCError(.invalidArgument, "invalid-key"), .invalidRequest),
      (RPCError(.internal, "broken"), .unknown),
    ]
    for (error, expected) in cases {
      scene.server.change { _ in .error(error) }
      #expect(await code { try await scene.client.withLock("a") { _ in } } == expected)
    }
    // Who has lost sight of the claim may have granted it, so it is given back.
    #expect(scene.server.requests.map(\.method) == ["Lock", "Lock", "Release"])
    try await scene.end()
  }

  /// It is held by somebody, and may be free later.
  @Test func whatNeedsANewerServerIsWaitedFor() async throws {
    let scene = try await Scene()
    scene.server.change { _ in .error(RPCError(.failedPrecondition, "needs-newer-server")) }
    let task = Task { await code { try await scene.client.withLock("a") { _ in } } }
    await scene.time.untilPlanned(at: .milliseconds(50))
    let locks = scene.locks
    scene.server.change { locks.answer($0) }
    try await scene.time.advance(to: .milliseconds(50))
    #expect(await task.value == nil)
    #expect(
      await code {
        scene.server.change { _ in .error(RPCError(.failedPrecondition, "needs-newer-server")) }
        try await scene.client.withLock("a", wait: .zero) { _ in }
      } == .requiresNewerServer)
    try await scene.end()
  }

  @Test(arguments: [
    RPCError(.deadlineExceeded, "the change may or may not be made"), RPCError(.internal, "?"),
    RPCError(.unknown, "?"), RPCError(.canceled, "?"),
  ])
  func aClaimWithAnUncertainAnswerIsGivenBack(_ error: RPCError) async throws {
    let scene = try await Scene()
    let locks = scene.locks
    scene.server.change { request in
      let answer = locks.answer(request)
      return request.method == "Lock" ? .error(error) : answer
    }
    #expect(await code { try await scene.client.withLock("a", wait: .zero) { _ in } } != nil)
    #expect(scene.server.requests.map(\.method) == ["Lock", "Release"])
    #expect(locks.owner(of: "a") == nil)
    try await scene.end()
  }

  @Test func cancelledWhileWaiting() async throws {
    let scene = try await Scene()
    scene.locks.give("a", to: "somebody")
    let task = Task { await code { try await scene.client.withLock("a") { _ in } } }
    await scene.time.untilPlanned(at: .milliseconds(50))
    task.cancel()
    #expect(await task.value == .cancelled)
    // Every try was answered with a no, so there is nothing to give back.
    #expect(scene.server.requests.map(\.method) == ["Lock"])
    try await scene.end()
  }

  @Test func aClaimWithoutAnAnswerIsGivenBack() async throws {
    let scene = try await Scene()
    let locks = scene.locks
    // It is granted, but nobody says so.
    scene.server.change { request in
      let answer = locks.answer(request)
      return request.method == "Lock" ? .silence : answer
    }
    let task = Task { await code { try await scene.client.withLock("a") { _ in } } }
    try await scene.server.received(1, "Lock")
    #expect(locks.owner(of: "a") != nil)
    task.cancel()
    #expect(await task.value == .cancelled)
    #expect(locks.owner(of: "a") == nil)
    try await scene.end()
  }

  /// It may be a renewal, and the owner counts on what it had before.
  @Test func anAcquisitionWithoutAnAnswerIsNotGivenBack() async throws {
    let scene = try await Scene()
    let locks = scene.locks
    locks.give("a", to: "me")
    scene.server.change { _ in .silence }
    let task = Task {
      await code { _ = try await scene.client.acquire("a", owner: "me", lease: .seconds(15)) }
    }
    try await scene.server.received(1, "Lock")
    scene.server.change { locks.answer($0) }
    task.cancel()
    #expect(await task.value == .cancelled)
    #expect(locks.owner(of: "a") == "me")
    #expect(scene.server.requests.map(\.method) == ["Lock"])
    try await scene.end()
  }

  @Test func aClaimThatBrokeIsRepeatedByTheSameOwner() async throws {
    let scene = try await Scene()
    let locks = scene.locks
    scene.server.change { request in
      let answer = locks.answer(request)
      return request.number == 1 ? .hangUp : answer
    }
    let task = Task { try await scene.client.withLock("a") { $0.remaining } }
    // The pause of the link: its only server failed.
    await scene.time.untilPlanned(at: .milliseconds(50))
    try await scene.time.advance(to: .milliseconds(50))
    // The lease counts from the request that was accepted, not from the one that broke.
    #expect(try await task.value == .seconds(15))
    let owners = Set(scene.server.requests("Lock").map { $0.claim!.resource.owner })
    #expect(owners.count == 1)
    #expect(scene.server.requests("Lock").count == 2)
    try await scene.end()
  }

  @Test func aCancelledBodyStillReleases() async throws {
    let scene = try await Scene()
    let isRunning = Shared(false)
    let task = Task {
      try await scene.client.withLock("a") { _ in
        isRunning.set(true)
        await untilCancelled()
        // What a body returns is returned, cancelled or not.
        return scene.locks.owner(of: "a") != nil
      }
    }
    try await until { isRunning.now }
    task.cancel()
    #expect(try await task.value)
    #expect(scene.locks.owner(of: "a") == nil)
    try await scene.end()
  }

  @Test func aReleaseThatHangsEnds() async throws {
    let scene = try await Scene()
    let locks = scene.locks
    scene.server.change { $0.method == "Release" ? .silence : locks.answer($0) }
    let task = Task { try await scene.client.withLock("a") { _ in 7 } }
    try await scene.server.received(1, "Release")
    try await scene.time.advance(to: ClientLimits.releaseTimeout)
    #expect(try await task.value == 7)
    try await scene.end()
  }
}

@Suite(.timeLimit(.minutes(2)))
struct RenewalTests {
  /// Runs a body until it is cancelled, and notes when that was.
  private final class Holder: Sendable {
    let task: Task<LatchkeyError.Code?, Never>
    let grant: Shared<LockGrant?>
    let cancelledAt: Shared<Duration?>

    init(_ scene: Scene, lease: Duration = .seconds(15)) {
      let grant = Shared<LockGrant?>(nil)
      let cancelledAt = Shared<Duration?>(nil)
      self.grant = grant
      self.cancelledAt = cancelledAt
      task = Task {
        await code {
          try await scene.client.withLock("a", lease: lease) {
            grant.set($0)
            await untilCancelled()
            cancelledAt.set(scene.time.elapsed)
          }
        }
      }
    }

    func granted() async throws { try await until { self.grant.now != nil } }
  }

  @Test func theLeaseIsRenewedEveryThirdOfIt() async throws {
    let scene = try await Scene()
    let holder = Holder(scene)
    try await holder.granted()
    for number in 1...10 {
      let due = Duration.seconds(5 * number)
      await scene.time.untilPlanned(at: due)
      try await scene.time.advance(to: due - .nanoseconds(1))
      #expect(scene.server.requests("Lock").count == number)
      try await scene.time.advance(to: due)
      try await until { holder.grant.now!.remaining == .seconds(15) }
      #expect(scene.server.requests("Lock").count == number + 1)
    }
    #expect(!holder.grant.now!.isLost)
    holder.task.cancel()
    #expect(await holder.task.value == nil)
    #expect(scene.locks.owner(of: "a") == nil)
    try await scene.end()
  }

  @Test func renewalsSayTheSameAsTheClaim() async throws {
    let scene = try await Scene()
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

  @Test(arguments: [FakeAnswer.silence, .error(RPCError(.unavailable, "no")), .hangUp])
  func withoutRenewalsTheBodyIsCancelledAtTheDeadline(answer: FakeAnswer) async throws {
    let scene = try await Scene()
    // An odd lease: the server is asked for 8 seconds, and the holder stops after what it asked for.
    let lease = Duration.seconds(7.25)
    let holder = Holder(scene, lease: lease)
    try await holder.granted()
    scene.server.change { _ in answer }
    let grant = holder.grant.now!
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

  @Test func renewalsAreTriedAgainWithoutWastingTheLease() async throws {
    let scene = try await Scene()
    let holder = Holder(scene)
    try await holder.granted()
    let locks = scene.locks
    scene.server.change { _ in .error(RPCError(.resourceExhausted, "queue full")) }
    await scene.time.untilPlanned(at: .seconds(5))
    try await scene.time.advance(to: .seconds(5))
    // After a thirtieth of the lease.
    await scene.time.untilPlanned(at: .seconds(5.5))
    scene.server.change { locks.answer($0) }
    try await scene.time.advance(to: .seconds(5.5))
    try await until { holder.grant.now!.remaining == .seconds(15) }
    #expect(scene.server.requests("Lock").count == 3)
    holder.task.cancel()
    _ = await holder.task.value
    try await scene.end()
  }

  @Test func oneHungServerDoesNotCostTheLease() async throws {
    let time = ManualTime()
    let locks = FakeLocks()
    let first = try await FakeServer { locks.answer($0) }
    let second = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([first, second], time: time)
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
    try await first.received(2, "Lock")
    // The attempt is given up after a sixth of the lease, and the next one goes elsewhere.
    try await time.advance(to: .milliseconds(1_500))
    await time.untilPlanned(at: .milliseconds(1_600))
    try await time.advance(to: .milliseconds(1_600))
    try await second.received(1, "Lock")
    try await until { grant.now!.remaining == .seconds(3) }
    task.cancel()
    #expect(await task.value == nil)
    #expect(locks.owner(of: "a") == nil)
    await client.shutdown()
    try await first.stop()
    try await second.stop()
  }

  @Test func whoeverElseHoldsTheKeyEndsTheLeaseAtOnce() async throws {
    let scene = try await Scene()
    let holder = Holder(scene)
    try await holder.granted()
    scene.locks.give("a", to: "thief")
    await scene.time.untilPlanned(at: .seconds(5))
    try await scene.time.advance(to: .seconds(5))
    #expect(await holder.task.value == .leaseLost)
    #expect(holder.cancelledAt.now == .seconds(5))
    #expect(scene.locks.owner(of: "a") == "thief")
    #expect(scene.server.requests("Release").isEmpty)
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
    try await scene.time.advance(to: .seconds(5))
    try await scene.server.received(2, "Lock")
    await scene.time.untilPlanned(at: .seconds(10))
    mayEnd.set(true)
    #expect(try await task.value == .seconds(15))
    #expect(scene.locks.owner(of: "a") == nil)
    try await scene.end()
  }

  @Test func aGrantThatComesTooLateIsNone() async throws {
    let scene = try await Scene()
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

  /// Behind a proxy that goes from server to server, the next may be older than the one that granted. In
  /// real time: the server lets more than a third of the lease pass before it grants.
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

  @Test func placesAreTakenAndGivenBack() {
    let places = Places(2)
    #expect((1...3).map { _ in places.take() } == [true, true, false])
    places.giveBack()
    #expect((1...2).map { _ in places.take() } == [true, false])
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
