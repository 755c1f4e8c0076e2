import TestKit
import Testing
import WireSchema

@testable import LatchkeyClient

/// The end of a client that has something in hand.
@Suite(.timeLimit(.minutes(2)))
struct ShutdownTests {
  @Test func bodiesAreToldAndWhatTheyHoldIsGivenBack() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let complaints = Complaints()
    let client = try client(server, complaints)
    let running = Shared(0)
    let keys = (1...5).map { "k\($0)" }
    let holders = keys.enumerated().map { number, key in
      Task {
        let body: @Sendable (LockGrant) async throws -> Bool = { grant in
          running.change { $0 += 1 }
          await untilCancelled()
          // Told, though nobody else has it yet: the body may still clean up.
          return grant.isLost && grant.remaining > .zero
        }
        return number % 2 == 0
          ? try await client.withLock(key, body) : try await client.withPresence(key, body)
      }
    }
    try await until { running.now == keys.count }
    await client.shutdown()
    // When it returns, all is done.
    let observer = try self.client(server, Complaints())
    #expect(try await observer.list(nil).resources.isEmpty)
    for holder in holders { #expect(try await holder.value) }
    #expect(complaints.all.isEmpty)
    await observer.shutdown()
    try await server.stop()
  }

  @Test func whoWaitsAndWhoComesLateHearsOfIt() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server, Complaints())
    _ = try await client.acquire("a", owner: "me", lease: .seconds(600))
    let waiting = (1...3).map { _ in
      Task { await code { try await client.withLock("a") { _ in } } }
    }
    try await until { client.lines.count == 3 }
    await client.shutdown()
    for waiter in waiting { #expect(await waiter.value == .closed) }
    #expect(await code { try await client.withLock("b") { _ in } } == .closed)
    #expect(await code { _ = try await client.fetch("a") } == .closed)
    try await server.stop()
  }

  /// In manual time: a body that goes on is waited for so long, and its lease is kept meanwhile.
  @Test func aBodyThatGoesOnIsNotWaitedForForEver() async throws {
    let scene = try await Scene()
    let (isRunning, mayEnd) = (Shared(false), Shared(false))
    let holder = Task {
      await code {
        try await scene.client.withLock("a", lease: .seconds(6)) { grant in
          isRunning.set(true)
          while !mayEnd.now { await Task.yield() }
        }
      }
    }
    try await until { isRunning.now }
    await scene.time.untilPlanned(at: .seconds(2))
    let end = Task { await scene.client.shutdown() }
    await scene.time.untilPlanned(at: ClientLimits.shutdownTimeout)
    try await scene.advance(to: .seconds(2))
    #expect(scene.renewalCount == 1)
    try await scene.time.advance(to: ClientLimits.shutdownTimeout)
    await end.value
    // It is the owner's until its lease ends, by which the body has heard of it.
    #expect(scene.locks.owner(of: "a") != nil)
    try await scene.time.advance(to: .seconds(12))
    mayEnd.set(true)
    #expect(await holder.value == .leaseLost)
    #expect(scene.server.requests("Release").isEmpty)
    try await scene.server.stop()
  }

  @Test func aClaimWithoutAnAnswerIsGivenBackFirst() async throws {
    let scene = try await Scene()
    let locks = scene.locks
    scene.server.change { request in
      let answer = locks.answer(request)
      return request.method == "Acquire" ? .silence : answer
    }
    let task = Task { await code { try await scene.client.withLock("a") { _ in } } }
    try await scene.server.received(1, "Acquire")
    #expect(locks.owner(of: "a") != nil)
    await scene.client.shutdown()
    #expect(await task.value == .closed)
    #expect(locks.owner(of: "a") == nil)
    try await scene.server.stop()
  }

  private func client(
    _ server: InProcessServer, _ complaints: Complaints
  ) throws -> LatchkeyClient {
    var configuration = LatchkeyClient.Configuration(
      endpoints: [try Endpoint("\(InProcessServer.host):\(server.port)")])
    configuration.requestTimeout = .seconds(60)
    configuration.logger = complaints.logger
    return LatchkeyClient(configuration)
  }
}
