import Testing
import WireSchema

@testable import LatchkeyClient

/// The wait of an acquisition as a time-out where no server can be reached.
@Suite(.timeLimit(.minutes(2)))
struct PatienceTests {
  /// An acquisition under way.
  private struct Acquisition {
    let isDone = Shared(false)
    let task: Task<LatchkeyError.Code?, Never>

    init(_ client: LatchkeyClient, wait: Duration?) {
      task = Task { [isDone] in
        defer { isDone.set(true) }
        return await code {
          _ = try await client.acquire("a", owner: "me", lease: .seconds(60), wait: wait)
        }
      }
    }

    /// Moves `time` on in small steps until it is done, to `end` at the most.
    func untilDone(_ time: ManualTime, end: Duration = .seconds(3_600)) async throws {
      try await until {
        try await time.advance(to: min(time.elapsed + .milliseconds(50), max(time.elapsed, end)))
        return isDone.now
      }
    }
  }

  /// How long it takes, by the client's clock, where nobody listens.
  @Test(arguments: [Duration.seconds(1), .seconds(3), .seconds(20)])
  func theWaitEndsWhereNobodyListens(wait end: Duration) async throws {
    let time = ManualTime()
    let client = LatchkeyClient(.init(endpoints: [.nobody]), environment: .testing(time: time))
    let acquisition = Acquisition(client, wait: end)
    await time.untilPlanned(at: .milliseconds(50))
    try await time.advance(to: end - .milliseconds(1))
    #expect(!acquisition.isDone.now)
    try await acquisition.untilDone(time, end: end)
    #expect(await acquisition.task.value == .unavailable)
    await client.shutdown()
  }

  /// Nothing was sent, so that nothing can be granted: it ends while the clock stands still. Also
  /// for an owner of whom it is asked first whether it holds the key.
  @Test func aTryWithoutAWaitEndsAtOnceWhereNobodyListens() async throws {
    let time = ManualTime()
    let client = LatchkeyClient(
      .init(endpoints: [.nobody, .nobody]), environment: .testing(time: time))
    #expect(await Acquisition(client, wait: .zero).task.value == .unavailable)
    #expect(await code { try await client.withLock("a", wait: .zero) { _ in } } == .unavailable)
    let named = await code {
      try await client.withLock("a", owner: "me", wait: .zero) { _ in }
    }
    #expect(named == .unavailable)
    #expect(time.elapsed == .zero)
    await client.shutdown()
  }

  /// One refuses, the other serves.
  @Test func aTryWithoutAWaitGoesToEachEndpoint() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([server]) { $0.endpoints.insert(.nobody, at: 0) }
    #expect(await Acquisition(client, wait: .zero).task.value == nil)
    await client.shutdown()
    try await server.stop()
  }

  /// What has not failed yet is waited for: here a name server.
  @Test func aTryWithoutAWaitHasTimeToConnect() async throws {
    let time = ManualTime()
    let resolver = FakeResolver()
    resolver.hang("slow.test")
    var environment = ClientEnvironment.testing(time: time)
    environment.resolver = resolver
    let client = LatchkeyClient(
      .init(endpoints: [try Endpoint("slow.test"), .nobody]), environment: environment)
    let acquisition = Acquisition(client, wait: .zero)
    let end = client.configuration.connectTimeout
    await time.untilPlanned(at: end)
    try await time.advance(to: end - .milliseconds(1))
    #expect(!acquisition.isDone.now)
    try await time.advance(to: end)
    #expect(await acquisition.task.value == .unavailable)
    await client.shutdown()
  }

  /// A server that is only being restarted.
  @Test func aWaitOutlivesAShortAbsence() async throws {
    let locks = FakeLocks()
    let first = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([first])
    _ = try await client.fetch("a")
    let port = first.port
    try await first.stop()
    let acquisition = Acquisition(client, wait: .seconds(60))
    let second = try await FakeServer(port: port) { locks.answer($0) }
    #expect(await acquisition.task.value == nil)
    await client.shutdown()
    try await second.stop()
  }

  /// Who has sent its request must not give up on what may have been granted.
  @Test func aRequestThatWasSentIsWaitedFor() async throws {
    let time = ManualTime()
    let locks = FakeLocks()
    let server = try await FakeServer { $0.method == "Lock" ? .silence : locks.answer($0) }
    let client = LatchkeyClient.testing([server], time: time)
    _ = try await client.fetch("a")
    let acquisition = Acquisition(client, wait: .zero)
    try await server.received(1, "Lock")
    try await Self.pass(time, seconds: 3)
    try await time.advance(to: client.configuration.requestTimeout - .milliseconds(1))
    #expect(!acquisition.isDone.now)
    try await time.advance(to: client.configuration.requestTimeout)
    #expect(await acquisition.task.value == .deadlineExceeded)
    await client.shutdown()
    try await server.stop()
  }

  /// It took the request, and is gone: the wait is over, but what was asked for may have been granted.
  @Test func whatWasLostAfterTheWaitIsAskedForAgain() async throws {
    let time = ManualTime()
    let locks = FakeLocks()
    let server = try await FakeServer { $0.method == "Lock" ? .silence : locks.answer($0) }
    let port = server.port
    let client = LatchkeyClient.testing([server], time: time)
    _ = try await client.fetch("a")
    let acquisition = Acquisition(client, wait: .zero)
    try await server.received(1, "Lock")
    try await Self.pass(time, seconds: 3)
    try await server.stop()
    let again = try await FakeServer(port: port) { locks.answer($0) }
    try await acquisition.untilDone(time)
    #expect(await acquisition.task.value == nil)
    await client.shutdown()
    try await again.stop()
  }

  /// No server takes the wait for an excuse: who waits without an end goes on.
  @Test func whoWaitsWithoutAnEndGoesOn() async throws {
    let time = ManualTime()
    let locks = FakeLocks()
    let server = try await FakeServer { locks.answer($0) }
    let port = server.port
    try await server.stop()
    let client = LatchkeyClient.testing([server], time: time)
    let acquisition = Acquisition(client, wait: nil)
    await time.untilPlanned(at: .milliseconds(50))
    try await time.advance(to: .seconds(30))
    #expect(!acquisition.isDone.now)
    let again = try await FakeServer(port: port) { locks.answer($0) }
    try await acquisition.untilDone(time)
    #expect(await acquisition.task.value == nil)
    await client.shutdown()
    try await again.stop()
  }

  /// Lets time pass while a server that answers PINGs keeps a request waiting.
  private static func pass(_ time: ManualTime, seconds: Int) async throws {
    for second in 1...seconds {
      try await time.advance(to: .seconds(second))
      // The answer to the PING of this second plans the next one.
      await time.untilPlanned(at: .seconds(second + 1))
    }
  }
}
