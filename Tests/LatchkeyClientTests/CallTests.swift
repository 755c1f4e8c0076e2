import Testing
import WireSchema

@testable import LatchkeyClient

@Suite(.timeLimit(.minutes(2)))
struct CallTests {
  @Test func theFourCallsWork() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([server])
    #expect(try await client.fetch("a") == nil)
    try await client.claim("b", owner: "me", value: "v", kind: .presence, lease: .seconds(1.5))
    try await client.claim("a", owner: "me", lease: .seconds(9))
    #expect(
      try await client.fetch("b")
        == Resource(key: "b", kind: .presence, owner: "me", value: "v"))
    #expect(try await client.fetchAll(.lock).map(\.key) == ["a", "b"])
    #expect(
      await code { try await client.claim("a", owner: "you", lease: .seconds(9)) }
        == .heldByAnother)
    #expect(await code { try await client.release("a", owner: "you") } == .heldByAnother)
    try await client.release("a", owner: "me")
    try await client.release("a", owner: "me")
    #expect(server.connectionCount == 1)
    #expect(server.requests("Lock").map { $0.claim!.ttlInSeconds } == [2, 9, 9])
    await client.shutdown()
    try await server.stop()
  }

  @Test func requestsAreWhatConnectAsksFor() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([server]) { $0.requestTimeout = .seconds(30) }
    _ = try await client.fetch("a")
    let fields = server.requests[0].fields
    #expect(fields[":method"] == "POST")
    #expect(fields[":path"] == "/latchkey.v1.Locks/Fetch")
    #expect(fields[":authority"] == server.endpoint.description)
    #expect(fields["content-type"] == "application/proto")
    #expect(fields["connect-protocol-version"] == "1")
    let timeout = try #require(fields["connect-timeout-ms"].flatMap { Int($0) })
    #expect((1...30_000).contains(timeout))
    await client.shutdown()
    try await server.stop()
  }

  @Test func aBrokenConnectionIsNoErrorWhileAnotherServerServes() async throws {
    let locks = FakeLocks()
    let bad = try await FakeServer { _ in .hangUp }
    let good = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([bad, good])
    try await client.claim("a", owner: "me", lease: .seconds(9))
    #expect(locks.owner(of: "a") == "me")
    #expect(bad.requests.count == 1)
    // It stays with the server that serves.
    try await client.release("a", owner: "me")
    #expect(bad.requests.count == 1)
    await client.shutdown()
    try await bad.stop()
    try await good.stop()
  }

  /// The first release was done, its answer was lost, and another owner was quick.
  @Test func aReleaseThatWasDoneIsNoCollision() async throws {
    let server = try await FakeServer {
      $0.number == 1 ? .hangUp : .error(RPCError(.alreadyExists, "lock-collision"))
    }
    let client = LatchkeyClient.testing([server])
    try await client.release("a", owner: "me")
    #expect(await code { try await client.release("a", owner: "me") } == .heldByAnother)
    await client.shutdown()
    try await server.stop()
  }

  @Test func aServerThatIsNotThereIsPassedOver() async throws {
    let locks = FakeLocks()
    let good = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing { $0.endpoints = [.nobody, good.endpoint] }
    #expect(try await client.fetch("a") == nil)
    #expect(good.requests.count == 1)
    await client.shutdown()
    try await good.stop()
  }

  @Test func theOnlyServerIsTriedAgainOnANewConnection() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer { $0.number < 3 ? .hangUp : locks.answer($0) }
    let client = LatchkeyClient.testing([server])
    #expect(try await client.fetch("a") == nil)
    #expect(server.requests.map(\.connection) == [1, 2, 3])
    await client.shutdown()
    try await server.stop()
  }

  @Test func theServerThatCannotServeIsAskedAgainOnTheSameConnection() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer {
      $0.number < 3 ? .error(RPCError(.unavailable, "the store is busy")) : locks.answer($0)
    }
    let client = LatchkeyClient.testing([server])
    #expect(try await client.fetch("a") == nil)
    #expect(server.requests.map(\.connection) == [1, 1, 1])
    await client.shutdown()
    try await server.stop()
  }

  @Test func theServerThatCannotServeIsLeftForAnother() async throws {
    let locks = FakeLocks()
    let bad = try await FakeServer { _ in .reply(status: 503, body: Array("no".utf8)) }
    let good = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([bad, good])
    #expect(try await client.fetch("a") == nil)
    #expect(try await client.fetch("b") == nil)
    #expect(bad.requests.count == 1)
    #expect(good.requests.count == 2)
    await client.shutdown()
    try await bad.stop()
    try await good.stop()
  }

  @Test func aDrainingServerAnswersAndANewConnectionTakesOver() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer { $0.number == 1 ? .drain() : locks.answer($0) }
    let client = LatchkeyClient.testing([server])
    // An empty answer to the release, with GOAWAY around it.
    try await client.release("a", owner: "me")
    // Some of these may meet the connection that drains, and none of them fails.
    try await until {
      _ = try await client.fetch("a")
      return server.requests.last!.connection == 2
    }
    #expect(server.connectionCount == 2)
    await client.shutdown()
    try await server.stop()
  }

  @Test func nothingIsTriedAfterTheDeadline() async throws {
    let time = ManualTime()
    let server = try await FakeServer { _ in .silence }
    let client = LatchkeyClient.testing([server], time: time) {
      $0.requestTimeout = .milliseconds(900)
    }
    async let result = code { _ = try await client.fetch("a") }
    try await server.received(1, "Fetch")
    try await time.advance(to: .milliseconds(899))
    #expect(try await server.countAbandoned() == 0)
    try await time.advance(to: .milliseconds(900))
    #expect(await result == .deadlineExceeded)
    // The server hears of it.
    try await until { try await server.countAbandoned() == 1 }
    #expect(server.requests.count == 1)
    await client.shutdown()
    try await server.stop()
  }

  @Test func whoCannotBeReachedIsUnavailable() async throws {
    let client = LatchkeyClient.testing {
      $0.endpoints = [.nobody]
      $0.requestTimeout = .milliseconds(200)
    }
    do {
      _ = try await client.fetch("a")
      Issue.record("no error")
    } catch {
      #expect(error.code == .unavailable)
      #expect(error.description.contains(Endpoint.nobody.description))
    }
    await client.shutdown()
  }

  @Test func retriesStopAtTheDeadline() async throws {
    let time = ManualTime()
    let server = try await FakeServer { _ in .error(RPCError(.unavailable, "never")) }
    let client = LatchkeyClient.testing([server], time: time) {
      $0.requestTimeout = .milliseconds(300)
    }
    async let result = code { _ = try await client.fetch("a") }
    // Pauses of 50, 100 and 200 ms.
    for (number, pauseEnd) in [50, 150, 350].enumerated() {
      await time.untilPlanned(at: .milliseconds(pauseEnd))
      #expect(server.requests.count == number + 1)
      try await time.advance(to: .milliseconds(min(pauseEnd, 300)))
    }
    #expect(await result == .unavailable)
    try await time.advance(to: .milliseconds(400))
    #expect(server.requests.count == 3)
    await client.shutdown()
    try await server.stop()
  }

  @Test func cancellationResetsTheRequestAndReturns() async throws {
    let server = try await FakeServer { _ in .silence }
    let client = LatchkeyClient.testing([server], time: ManualTime())
    let task = Task { await code { _ = try await client.fetch("a") } }
    try await server.received(1, "Fetch")
    task.cancel()
    #expect(await task.value == .cancelled)
    try await until { try await server.countAbandoned() == 1 }
    // The connection goes on.
    server.change { _ in .error(RPCError(.notFound, "resource-not-found")) }
    #expect(try await client.fetch("a") == nil)
    #expect(server.connectionCount == 1)
    await client.shutdown()
    try await server.stop()
  }

  @Test func aCancelledTaskAsksNothing() async throws {
    let server = try await FakeServer { _ in .silence }
    let client = LatchkeyClient.testing([server])
    let gate = Wakeup()
    let task = Task {
      await gate.wait()
      return await code { _ = try await client.fetch("a") }
    }
    task.cancel()
    #expect(await task.value == .cancelled)
    #expect(server.requests.isEmpty)
    await client.shutdown()
    try await server.stop()
  }

  @Test func aSilentServerIsLeftAfterADeadline() async throws {
    let time = ManualTime()
    let locks = FakeLocks()
    let hung = try await FakeServer { _ in .silence }
    let good = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([hung, good], time: time) {
      $0.requestTimeout = .milliseconds(500)
    }
    // What it says of itself it has said before it is asked.
    _ = try await client.connectionInfo()
    async let first = code { _ = try await client.fetch("a") }
    try await hung.received(1, "Fetch")
    try await time.advance(to: .milliseconds(500))
    #expect(await first == .deadlineExceeded)
    #expect(try await client.fetch("a") == nil)
    #expect(good.requests.count == 1)
    await client.shutdown()
    try await hung.stop()
    try await good.stop()
  }

  @Test func shutdownEndsWhatIsUnderWayAndWhatComesLater() async throws {
    let server = try await FakeServer { _ in .silence }
    let client = LatchkeyClient.testing([server])
    async let result = code { _ = try await client.fetch("a") }
    try await server.received(1, "Fetch")
    await client.shutdown()
    #expect(await result == .closed)
    #expect(await code { _ = try await client.fetch("a") } == .closed)
    await client.shutdown()
    try await server.stop()
  }

  @Test func aForgottenClientClosesItsConnection() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer { _ in .silence }
    server.change { locks.answer($0) }
    do {
      let client = LatchkeyClient.testing([server])
      _ = try await client.fetch("a")
    }
    try await until { try await server.countOpen() == 0 }
    try await server.stop()
  }

  @Test(arguments: ["text/html; charset=utf-8", "application/json", ""])
  func whatOnlyLooksLikeAnAnswerIsNoGrant(type: String) async throws {
    let server = try await FakeServer { _ in .reply(fields: ["content-type": type]) }
    let client = LatchkeyClient.testing([server])
    #expect(await code { try await client.withLock("a") { _ in } } == .unknown)
    server.change { _ in .reply(body: Array("<html>".utf8)) }
    #expect(await code { try await client.withLock("a") { _ in } } == .unknown)
    await client.shutdown()
    try await server.stop()
  }

  @Test func aShortDeadlineDoesNotCondemnTheServer() async throws {
    let time = ManualTime()
    let server = try await FakeServer { _ in .silence }
    let client = LatchkeyClient.testing([server], time: time) {
      $0.requestTimeout = ClientLimits.suspicionMin - .milliseconds(1)
    }
    async let first = code { _ = try await client.fetch("a") }
    try await server.received(1, "Fetch")
    try await time.advance(to: ClientLimits.suspicionMin)
    #expect(await first == .deadlineExceeded)
    server.change { _ in .error(RPCError(.notFound, "resource-not-found")) }
    #expect(try await client.fetch("a") == nil)
    #expect(server.connectionCount == 1)
    await client.shutdown()
    try await server.stop()
  }

  @Test func manyCallsShareOneConnection() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([server])
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<500 {
        group.addTask {
          try await client.claim("key \(number)", owner: "me", lease: .seconds(9))
          #expect(try await client.fetch("key \(number)")?.owner == "me")
        }
      }
      try await group.waitForAll()
    }
    #expect(server.connectionCount == 1)
    #expect(server.requests.count == 1_000)
    await client.shutdown()
    try await server.stop()
  }
}
