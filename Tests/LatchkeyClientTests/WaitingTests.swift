import Testing
import WireSchema

@testable import LatchkeyClient

/// Waiting for a lock at servers that cannot wait themselves, of wire v1: by polling.
@Suite(.timeLimit(.minutes(2)))
struct WaitingTests {
  @Test func oneTryIsOneTry() async throws {
    let scene = try await Scene(wire: V1.self)
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
    let scene = try await Scene(wire: V1.self) { $0.pollInterval = range }
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
    let scene = try await Scene(wire: V1.self)
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
    let scene = try await Scene(wire: V1.self) { $0.requestTimeout = .milliseconds(400) }
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
    let scene = try await Scene(wire: V1.self)
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
    let scene = try await Scene(wire: V1.self)
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
    let scene = try await Scene(wire: V1.self)
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
    let scene = try await Scene(wire: V1.self)
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
    let scene = try await Scene(wire: V1.self)
    let locks = scene.locks
    // It is granted, but nobody says so.
    scene.server.change { request in
      let answer = locks.answer(request)
      return request.method == "Lock" ? .silence : answer
    }
    let task = Task { await code { try await scene.client.withLock("a") { _ in } } }
    try await until { locks.owner(of: "a") != nil }
    task.cancel()
    #expect(await task.value == .cancelled)
    #expect(locks.owner(of: "a") == nil)
    try await scene.end()
  }

  /// It may be a renewal, and the owner counts on what it had before.
  @Test func anAcquisitionWithoutAnAnswerIsNotGivenBack() async throws {
    let scene = try await Scene(wire: V1.self)
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
    let scene = try await Scene(wire: V1.self)
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
    #expect(Set(scene.claims.map(\.owner)).count == 1)
    #expect(scene.server.requests("Lock").count == 2)
    try await scene.end()
  }
}
