import Testing

@testable import LatchkeyClient

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
    #expect(scene.server.requests.map(\.method) == ["Acquire", "Release"])
    #expect(scene.claims[0].value == "v")
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
