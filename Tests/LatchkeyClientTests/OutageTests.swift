import NIOCore
import Testing
import WireSchema

@testable import LatchkeyClient

/// What a user hears while there is no server.
@Suite(.timeLimit(.minutes(2)))
struct OutageTests {
  private let start = Instant.now

  @Test func itIsSaidOnceItLastsAndThenEveryMinute() {
    var outage = Outage()
    outage.missed(at: start)
    #expect(outage.patience == .seconds(2))
    #expect(outage.isToBeSaid(at: start + .seconds(2), isWanted: true) == .seconds(2))
    #expect(outage.patience == .seconds(60))
    outage.missed(at: start + .seconds(3))
    #expect(outage.isToBeSaid(at: start + .seconds(62), isWanted: true) == .seconds(62))
    #expect(outage.ended(at: start + .seconds(70)) == .seconds(70))
    #expect(outage == Outage())
  }

  @Test func aShortOneIsNotSaid() {
    var outage = Outage()
    outage.missed(at: start)
    #expect(outage.ended(at: start + .seconds(1)) == nil)
    #expect(outage.isToBeSaid(at: start + .seconds(2), isWanted: true) == nil)
  }

  /// Its first useful answer may come much later, to who waits in line.
  @Test func itLastsUntilAServerIsThereAgain() {
    var outage = Outage()
    outage.missed(at: start)
    #expect(outage.isToBeSaid(at: start + .seconds(2), isWanted: true) == .seconds(2))
    outage.reached(at: start + .seconds(3))
    outage.goesOn()
    outage.reached(at: start + .seconds(5))
    outage.reached(at: start + .seconds(6))
    #expect(outage.ended(at: start + .seconds(50)) == .seconds(5))
    #expect(outage == Outage())
    outage.reached(at: start)
    #expect(outage == Outage())
  }

  @Test func whatNobodyWantsIsNotMissed() {
    var outage = Outage()
    outage.missed(at: start)
    #expect(outage.isToBeSaid(at: start + .seconds(3), isWanted: false) == nil)
    // The next one who wants a server comes an hour later, and pauses between two tries.
    let later = start + .seconds(3_600)
    outage.missed(at: later)
    #expect(outage.isToBeSaid(at: later + .seconds(2), isWanted: false) == .seconds(2))
    #expect(outage.isToBeSaid(at: later + .seconds(62), isWanted: false) == nil)
    #expect(outage.ended(at: later + .seconds(100)) == .seconds(100))
  }

  @Test func whoGivesUpMissedItUntilThen() {
    var outage = Outage()
    outage.missed(at: start)
    outage.missed(at: start + .seconds(2))
    // The clock has moved on by when it is looked at.
    let look = Duration.milliseconds(2_001)
    #expect(outage.isToBeSaid(at: start + look, isWanted: false) == look)
  }

  /// Time in which whatever is due comes a little late, as on a real machine.
  private struct LateTime: TimeSource {
    static let lateness: Duration = .milliseconds(1)
    let time: ManualTime
    var now: Instant { time.now }

    func schedule(
      at time: Instant, on loop: any EventLoop, _ action: @escaping @Sendable () -> Void
    ) -> Alarm {
      self.time.schedule(at: time + Self.lateness, on: loop, action)
    }
  }

  /// A call that ends in the very moment in which the outage is looked at, before that.
  @Test func whoGivesUpAsItIsLookedAtIsToldOfIt() async throws {
    let time = ManualTime()
    let log = LogRecorder()
    var configuration = LatchkeyClient.Configuration(endpoints: [.nobody])
    configuration.requestTimeout = ClientLimits.outageMin
    configuration.logger = log.logger
    let client = LatchkeyClient(
      configuration, environment: .testing(time: LateTime(time: time)))
    let task = Task { await code { _ = try await client.fetch("a") } }
    // By the first pause, all else is planned.
    await time.untilPlanned(at: configuration.backoff.min + LateTime.lateness)
    try await time.advance(to: configuration.requestTimeout + LateTime.lateness)
    #expect(await task.value == .unavailable)
    await client.untilSaid()
    #expect(log.lines(.warning).map(\.message) == ["no server serves, trying on"])
    await client.shutdown()
  }

  /// Where nobody listens, and where what listens does not speak HTTP/2.
  @Test(
    arguments: [
      (nil, "cannot reach 127.0.0.1:1: Connection refused"),
      (Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), "what listens there does not speak HTTP/2"),
    ] as [([UInt8]?, String)])
  func aWrongEndpointIsSaidWithItsReason(firstWord: [UInt8]?, reason: String) async throws {
    let time = ManualTime()
    let log = LogRecorder()
    let heard = Shared<[String]>([])
    var stranger: BlackHole?
    if let firstWord { stranger = try await BlackHole(firstWord: firstWord) }
    let client = LatchkeyClient.testing(time: time) {
      $0.endpoints = [stranger?.endpoint ?? .nobody]
      $0.requestTimeout = .seconds(600)
      $0.logger = log.logger
      $0.onOutage = { reason in heard.change { $0.append(reason) } }
    }
    let task = Task {
      await code {
        _ = try await client.acquire("a", owner: "me", lease: .seconds(600), wait: nil)
      }
    }
    await time.untilPlanned(at: .milliseconds(50))
    try await time.advance(to: .milliseconds(1_999))
    await client.untilSaid()
    #expect(log.lines(.warning).isEmpty)
    try await time.advance(to: .seconds(2))
    await client.untilSaid()
    #expect(log.lines(.warning).map(\.message) == ["no server serves, trying on"])
    #expect(log.lines(.warning)[0].metadata["reason"]?.contains(reason) == true)
    #expect(heard.now.count == 1 && heard.now[0].contains(reason))
    if stranger == nil {
      try await time.advance(to: .seconds(61))
      await client.untilSaid()
      #expect(heard.now.count == 1)
      try await time.advance(to: .seconds(122))
      await client.untilSaid()
      #expect(heard.now.count == 3)
    }
    #expect(log.lines(.notice).isEmpty)
    task.cancel()
    #expect(await task.value == .cancelled)
    await client.shutdown()
    try await stranger?.stop()
  }

  @Test func itIsSaidOnceThatAServerServesAgain() async throws {
    let time = ManualTime()
    let log = LogRecorder()
    let locks = FakeLocks()
    let server = try await FakeServer { _ in .error(RPCError(.unavailable, "the store is busy")) }
    let client = LatchkeyClient.testing([server], time: time) { $0.logger = log.logger }
    let isHeld = Shared(false)
    let task = Task {
      _ = try await client.acquire("a", owner: "me", lease: .seconds(60), wait: nil)
      isHeld.set(true)
    }
    await time.untilPlanned(at: .milliseconds(50))
    try await time.advance(to: .seconds(2))
    await client.untilSaid()
    #expect(log.lines(.warning).map { $0.metadata["reason"] } == ["the store is busy"])
    server.change { locks.answer($0) }
    try await until {
      try await time.advance(to: time.elapsed + .milliseconds(50))
      return isHeld.now
    }
    try await task.value
    try await client.release("a", owner: "me")
    await client.untilSaid()
    #expect(log.lines(.notice).map(\.message) == ["a server serves again"])
    #expect(log.lines(.notice)[0].metadata["server"] == server.endpoint.description)
    await client.shutdown()
    try await server.stop()
  }

  /// A client of whatever `resolver` says that "slow.test" is.
  private func client(
    of resolver: FakeResolver, _ time: ManualTime, _ log: LogRecorder
  ) throws -> LatchkeyClient {
    var configuration = LatchkeyClient.Configuration(endpoints: [try Endpoint("slow.test")])
    configuration.requestTimeout = .seconds(600)
    // Whatever chance makes of the pauses, it is tried again well within two seconds.
    configuration.backoff.max = .milliseconds(200)
    configuration.logger = log.logger
    var environment = ClientEnvironment.testing(time: time)
    environment.resolver = resolver
    return LatchkeyClient(configuration, environment: environment)
  }

  /// In small steps, none of which waits for a certain moment: whatever the peer says, and not only an
  /// answer to a PING, puts off the next look at it. Time does not run ahead of who is being reached.
  private func pass(
    _ time: ManualTime, to elapsed: Duration, _ client: LatchkeyClient
  ) async throws {
    while time.elapsed < elapsed {
      try await time.advance(to: time.elapsed + .milliseconds(100))
      try await until { await client.isSettled }
    }
  }

  /// Who waits in line is answered late, but not by a server that is away.
  @Test func aServerThatIsBackInTimeIsNoOutageThoughItLetsWait() async throws {
    let time = ManualTime()
    let log = LogRecorder()
    let resolver = FakeResolver()
    let server = try await FakeServer { _ in .silence }
    resolver.change("slow.test", to: [])
    let client = try client(of: resolver, time, log)
    let task = Task {
      await code {
        _ = try await client.acquire("a", owner: "me", lease: .seconds(60), wait: nil)
      }
    }
    await time.untilPlanned(at: client.configuration.backoff.min)
    let away = Duration.seconds(1)
    try await pass(time, to: away, client)
    resolver.change("slow.test", to: [server.address])
    try await pass(time, to: away + .seconds(6), client)
    #expect(!server.requests.isEmpty)
    await client.untilSaid()
    #expect(log.lines(.warning).isEmpty)
    task.cancel()
    _ = await task.value
    await client.shutdown()
    try await server.stop()
  }

  /// A server that is well may take its time with the first answer.
  @Test func aSlowAnswerIsNoOutage() async throws {
    let time = ManualTime()
    let log = LogRecorder()
    let resolver = FakeResolver()
    let server = try await FakeServer { _ in .silence }
    resolver.change("slow.test", to: [server.address])
    resolver.hang("slow.test")
    let client = try client(of: resolver, time, log)
    let task = Task { await code { _ = try await client.fetch("a") } }
    await time.untilPlanned(at: client.configuration.connectTimeout)
    // So that looks at the peer are not due together with those at the outage.
    let sentAt = Duration.milliseconds(300)
    try await time.advance(to: sentAt)
    resolver.goOn()
    try await server.received(1, "Fetch")
    try await until { await client.hasHeardOfAPeer }
    try await pass(time, to: sentAt + .seconds(7), client)
    await client.untilSaid()
    #expect(log.lines(.warning).isEmpty)
    #expect(server.connectionCount == 1)
    task.cancel()
    _ = await task.value
    await client.shutdown()
    try await server.stop()
  }
}
