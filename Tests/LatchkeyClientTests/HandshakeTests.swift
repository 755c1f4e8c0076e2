import HTTP
import NIOCore
import Testing
import WireSchema

@testable import LatchkeyClient

struct NegotiationTests {
  private let now = Instant.now

  @Test(
    arguments: [
      // what is offered on the connection, what is remembered, what is chosen by a client of v2 to v4
      (nil, nil, .version(4)),
      (WireRange(1, 3), nil, .version(3)),
      (nil, WireRange(1, 2), .version(2)),
      (WireRange(3, 9), WireRange(1, 2), .version(4)),
      (WireRange(1, 1), nil, .nothingInCommon(WireRange(1, 1))),
      // A memory is a guess, and must not keep the client from asking.
      (nil, WireRange(5, 9), .version(4)),
    ] as [(WireRange?, WireRange?, Negotiation.Choice)])
  func theNewestCommonVersionIsChosen(
    offered: WireRange?, remembered: WireRange?, choice: Negotiation.Choice
  ) throws {
    var negotiation = Negotiation(spoken: WireRange(2, 4))
    if let remembered { negotiation.learn(remembered, of: .ip(1), at: now) }
    #expect(negotiation.choose(for: .ip(1), offered: offered, at: now) == choice)
    // Another address is another matter.
    #expect(negotiation.choose(for: .ip(2), offered: nil, at: now) == .version(4))
  }

  /// Behind a proxy that lets nothing through but answers, a newer server would go unnoticed for
  /// ever.
  @Test func aMemoryAges() {
    var negotiation = Negotiation(spoken: WireRange(1, 4))
    negotiation.learn(WireRange(1, 1), of: .ip(1), at: now)
    let end = now + ClientLimits.rangeAgeMax
    let before = end - .milliseconds(1)
    #expect(negotiation.choose(for: .ip(1), offered: nil, at: before) == .version(1))
    #expect(negotiation.choose(for: .ip(1), offered: nil, at: end) == .version(4))
    #expect(negotiation.range(of: .ip(1), offered: nil, at: end) == nil)
    // What is heard again counts anew.
    negotiation.learn(WireRange(1, 1), of: .ip(1), at: before)
    #expect(negotiation.choose(for: .ip(1), offered: nil, at: end) == .version(1))
  }

  /// Names lead to ever new addresses.
  @Test func theOldestMemoryMakesRoom() throws {
    var negotiation = Negotiation(spoken: WireRange(1, 4))
    for number in 0...Negotiation.addressesMax {
      let address = try SocketAddress(ipAddress: "10.0.0.1", port: number)
      negotiation.learn(WireRange(1, 1), of: address, at: now + .milliseconds(number))
    }
    let known = try (0...Negotiation.addressesMax).map { number in
      let address = try SocketAddress(ipAddress: "10.0.0.1", port: number)
      return negotiation.range(of: address, offered: nil, at: now) != nil
    }
    #expect(known == [false] + Array(repeating: true, count: Negotiation.addressesMax))
  }
}

@Suite(.timeLimit(.minutes(2)))
struct HandshakeTests {
  private static let upToV2: [any WireVersion.Type] = [V1.self, FakeV2.self]
  private static let upToV3 = upToV2 + [FakeV3.self]

  @Test func theClientSaysWhatItSpeaks() async throws {
    let server = try await FakeServer { WireRange(1, 1).answer($0) }
    let client = LatchkeyClient.testing([server])
    try await client.release("a", owner: "me")
    try await until { try await server.hellos().count == 1 }
    let (settings, hello) = try await server.hellos()[0]
    #expect(settings == V1.range.settingsValue)
    #expect(hello.software == Release.version)
    #expect(WireRange(hello.wire) == V1.range)
    #expect(hello.serverID.isEmpty)
    await client.shutdown()
    try await server.stop()
  }

  @Test func tooNewLowersOnceAndIsRemembered() async throws {
    // Settings of 0: all that is known comes from answers.
    let server = try await FakeServer(offer: FakeServer.proxied) {
      WireRange(1, 1).answer($0, header: false)
    }
    let client = LatchkeyClient.testing([server], versions: Self.upToV3)
    try await client.release("a", owner: "me")
    try await client.release("b", owner: "me")
    #expect(server.requests.map(\.version) == [3, 1, 1])
    // Also on the next connection.
    try await server.hangUp()
    try await client.release("c", owner: "me")
    #expect(server.requests.map(\.version) == [3, 1, 1, 1])
    await client.shutdown()
    try await server.stop()
  }

  @Test func behindAProxyTheHeaderTells() async throws {
    // The proxy routes to servers of any version, so v2 is answered here, but v1 to v3 is said.
    let range = Shared(WireRange(1, 2))
    let server = try await FakeServer(offer: FakeServer.proxied) {
      .reply(fields: [
        "\(WireRange.headerName)": range.now.headerValue + ";later=1", "via": $0.path,
      ])
    }
    let client = LatchkeyClient.testing([server], versions: Self.upToV3)
    for _ in 0..<2 { try await client.release("a", owner: "me") }
    range.set(WireRange(1, 3))
    for _ in 0..<2 { try await client.release("a", owner: "me") }
    range.set(WireRange(1, 1))
    for _ in 0..<2 { try await client.release("a", owner: "me") }
    #expect(server.requests.map(\.version) == [3, 2, 2, 3, 3, 1])
    await client.shutdown()
    try await server.stop()
  }

  @Test func settingsOnALiveConnectionAreFollowed() async throws {
    let range = Shared(WireRange(1, 2))
    let server = try await FakeServer(offer: WireRange(1, 2).offer) { range.now.answer($0) }
    let client = LatchkeyClient.testing([server], versions: Self.upToV3)
    #expect(try await client.connectionInfo().wireVersion == 2)
    try await client.release("a", owner: "me")
    for new in [WireRange(1, 1), WireRange(2, 3)] {
      range.set(new)
      try await server.change(offer: new.offer)
      try await until { try await client.connectionInfo().wireVersion == new.newest }
      try await client.release("a", owner: "me")
    }
    #expect(server.requests.map(\.version) == [2, 1, 3])
    #expect(server.connectionCount == 1)
    await client.shutdown()
    try await server.stop()
  }

  @Test func anAnswerThatComesBeforeTheSettingsIsBelieved() async throws {
    // The range of the fleet just changed: what was offered is not what is spoken.
    let server = try await FakeServer(offer: WireRange(1, 2).offer) { WireRange(1, 1).answer($0) }
    let client = LatchkeyClient.testing([server], versions: Self.upToV2)
    #expect(try await client.connectionInfo().wireVersion == 2)
    try await client.release("a", owner: "me")
    try await client.release("a", owner: "me")
    #expect(server.requests.map(\.version) == [2, 1, 1])
    await client.shutdown()
    try await server.stop()
  }

  @Test func anOldMemoryIsRaised() async throws {
    let range = Shared(WireRange(1, 1))
    let server = try await FakeServer(offer: FakeServer.proxied) { range.now.answer($0) }
    let client = LatchkeyClient.testing([server], versions: Self.upToV3)
    try await client.release("a", owner: "me")
    range.set(WireRange(2, 3))
    try await client.release("a", owner: "me")
    #expect(server.requests.map(\.version) == [3, 1, 1, 3])
    await client.shutdown()
    try await server.stop()
  }

  @Test func withNothingInCommonBothRangesAreNamed() async throws {
    for offer in [WireRange(7, 9).offer, FakeServer.proxied] {
      let server = try await FakeServer(offer: offer) { WireRange(7, 9).answer($0) }
      let client = LatchkeyClient.testing([server], versions: Self.upToV2)
      do {
        try await client.release("a", owner: "me")
        Issue.record("no error")
      } catch {
        #expect(error.code == .noCommonVersion)
        #expect(error.message.contains("v7 to v9"))
        #expect(error.message.contains("v1 to v2"))
      }
      let info = try await client.connectionInfo()
      #expect(info.wireVersion == nil)
      #expect((info.serverOldestWire, info.serverNewestWire) == (7, 9))
      // At most the one that was sent before anything was known.
      #expect(server.requests("Release").count <= 1)
      await client.shutdown()
      try await server.stop()
    }
  }

  @Test func aMemoryWithNothingInCommonIsNoPrison() async throws {
    let range = Shared(WireRange(7, 9))
    let server = try await FakeServer(offer: FakeServer.proxied) { range.now.answer($0) }
    let client = LatchkeyClient.testing([server], versions: Self.upToV2)
    #expect(await code { try await client.release("a", owner: "me") } == .noCommonVersion)
    // Behind the proxy there is another server by now.
    range.set(WireRange(1, 1))
    try await client.release("a", owner: "me")
    #expect(server.requests.map(\.version) == [2, 2, 1])
    await client.shutdown()
    try await server.stop()
  }

  @Test(arguments: [WireRange(7, 9).offer, FakeServer.proxied])
  func aServerWithNothingInCommonIsLeftForAnother(_ offer: HandshakeOffer) async throws {
    let newer = try await FakeServer(offer: offer) { WireRange(7, 9).answer($0) }
    let fitting = try await FakeServer(offer: WireRange(1, 2).offer) { WireRange(1, 2).answer($0) }
    let client = LatchkeyClient.testing([newer, fitting], versions: Self.upToV2)
    for _ in 1...3 { try await client.release("a", owner: "me") }
    #expect(fitting.requests.map(\.version) == [2, 2, 2])
    #expect(newer.requests.count <= 1)
    await client.shutdown()
    try await newer.stop()
    try await fitting.stop()
  }

  /// The error of a fleet of which nobody fits is the one that says so.
  @Test func aFleetWithNothingInCommonSaysSo() async throws {
    let servers = [
      try await FakeServer { WireRange(7, 9).answer($0) },
      try await FakeServer { WireRange(8, 8).answer($0) },
    ]
    let time = ManualTime()
    let client = LatchkeyClient.testing(servers, time: time, versions: Self.upToV2) {
      $0.requestTimeout = .milliseconds(20)
    }
    let task = Task { await code { try await client.release("a", owner: "me") } }
    // Both have answered, and the time is up before they are asked again.
    await time.untilPlanned(at: .milliseconds(50))
    try await time.advance(to: .milliseconds(20))
    #expect(await task.value == .noCommonVersion)
    await client.shutdown()
    for server in servers { try await server.stop() }
  }

  /// Settings changed while the request was under way: its error is not about versions.
  @Test func onlyAnAnswerAboutVersionsMovesTheVersion() async throws {
    let server = try await FakeServer(offer: FakeServer.proxied) {
      $0.number == 1
        ? .error(
          RPCError(.deadlineExceeded, "may or may not"), fields: ["\(WireRange.headerName)": "1-1"])
        : WireRange(1, 1).answer($0)
    }
    let client = LatchkeyClient.testing([server], versions: Self.upToV2)
    #expect(await code { try await client.release("a", owner: "me") } == .deadlineExceeded)
    try await client.release("a", owner: "me")
    #expect(server.requests.map(\.version) == [2, 1])
    await client.shutdown()
    try await server.stop()
  }

  @Test func contradictoryAnswersEnd() async throws {
    let server = try await FakeServer(offer: FakeServer.proxied) {
      ($0.version == 1 ? WireRange(2, 2) : WireRange(1, 1)).answer($0)
    }
    let client = LatchkeyClient.testing([server], versions: Self.upToV2)
    #expect(await code { try await client.release("a", owner: "me") } == .noCommonVersion)
    #expect(server.requests.count == 1 + ClientLimits.versionMovesMax)
    await client.shutdown()
    try await server.stop()
  }

  @Test func theServerIsIntroduced() async throws {
    let server = try await FakeServer { WireRange(1, 1).answer($0) }
    let client = LatchkeyClient.testing([server], versions: Self.upToV2)
    let info = try await client.connectionInfo()
    #expect(info.endpoint == server.endpoint)
    #expect((info.serverSoftware, info.serverID) == ("9.8.7", "fake"))
    #expect(info.serverFeatures == ["one", "two"])
    #expect((info.serverOldestWire, info.serverNewestWire, info.wireVersion) == (1, 1, 1))
    #expect(info.reason.contains("v1 to v2") && info.reason.contains("because"))
    #expect(server.requests.isEmpty)
    await client.shutdown()
    try await server.stop()
  }

  /// There is a bound on pings that wait; whoever met it used to ask again without a pause.
  @Test func anyNumberOfIntroductionsNeedsOnePing() async throws {
    let server = try await FakeServer { WireRange(1, 1).answer($0) }
    let client = LatchkeyClient.testing([server], versions: Self.upToV2)
    try await withThrowingTaskGroup(of: ConnectionInfo.self) { group in
      for _ in 1...200 { group.addTask { try await client.connectionInfo() } }
      for try await info in group { #expect(info.serverSoftware == "9.8.7") }
    }
    await client.shutdown()
    try await server.stop()
  }

  @Test func behindAProxyTheServerIsAskedForItsRange() async throws {
    let server = try await FakeServer(offer: FakeServer.proxied) { WireRange(1, 1).answer($0) }
    let client = LatchkeyClient.testing([server], versions: Self.upToV2)
    let info = try await client.connectionInfo()
    #expect((info.serverSoftware, info.serverID) == (nil, nil))
    #expect((info.serverOldestWire, info.serverNewestWire, info.wireVersion) == (1, 1, 1))
    #expect(info.reason.contains("proxy"))
    #expect(server.requests.map(\.path) == ["/healthz"])
    await client.shutdown()
    try await server.stop()
  }

  @Test func aStrangerIsIntroducedAsOne() async throws {
    let server = try await FakeServer(offer: FakeServer.proxied) { _ in .reply(status: 404) }
    let client = LatchkeyClient.testing([server], versions: Self.upToV2)
    let info = try await client.connectionInfo()
    #expect((info.serverOldestWire, info.wireVersion) == (nil, 2))
    #expect(await code { _ = try await client.fetch("a") } == .unknown)
    await client.shutdown()
    try await server.stop()
  }

  @Test func theStatusIsReadWithFieldsThatAreNotKnown() async throws {
    let json = """
      {"serverId":"s1","server":{"software":"9.9","novelty":[1]},"store":{"tokenFloor":"7"},"x":{}}
      """
    let server = try await FakeServer {
      $0.path == "/status" ? .reply(body: Array(json.utf8)) : .reply(status: 404)
    }
    let client = LatchkeyClient.testing([server])
    let status = try await client.status()
    #expect(status.serverID == "s1")
    #expect(status.server.software == "9.9")
    #expect(status.store.tokenFloor == 7)
    server.change { _ in .reply(body: Array("hello".utf8)) }
    #expect(await code { _ = try await client.status() } == .unknown)
    await client.shutdown()
    try await server.stop()
  }
}

@Suite(.timeLimit(.minutes(2)))
struct DeadPeerTests {
  private static let notFound = FakeAnswer.error(RPCError(.notFound, "resource-not-found"))

  private static func client(of endpoints: [Endpoint], _ time: ManualTime) -> LatchkeyClient {
    LatchkeyClient(.init(endpoints: endpoints), environment: .testing(time: time))
  }

  @Test func aPeerThatWasCutOffIsReplacedWithinTheCall() async throws {
    let time = ManualTime()
    let locks = FakeLocks()
    let hole = try await BlackHole()
    let good = try await FakeServer { locks.answer($0) }
    let client = Self.client(of: [hole.endpoint, good.endpoint], time)
    async let resource = client.fetch("a")
    try await until { hole.bytes.load(ordering: .relaxed) > 100 }
    try await time.advance(to: ClientLimits.unansweredMax + ClientLimits.pingTimeout)
    #expect(try await resource == nil)
    #expect(good.requests.count == 1)
    #expect(time.elapsed < .seconds(5))
    await client.shutdown()
    try await hole.stop()
    try await good.stop()
  }

  /// A call that waits at the server holds no deadline that would notice.
  @Test func aHalfOpenConnectionWithAWaitingCallIsGoneWithinAMinute() async throws {
    let time = ManualTime()
    let server = try await FakeServer { $0.number == 1 ? Self.notFound : .silence }
    let client = LatchkeyClient.testing([server], time: time) { $0.requestTimeout = .seconds(600) }
    _ = try await client.fetch("a")
    let result = Task { await code { _ = try await client.fetch("a") } }
    try await server.received(2, "Fetch")
    for second in 1...10 {
      // The peer lives: it answers a PING every second.
      try await time.advance(to: .seconds(second))
      await time.untilPlanned(at: .seconds(second + 1))
    }
    // From here on nothing gets through any more.
    try await server.suspend()
    try await time.advance(to: .seconds(10) + ClientLimits.unansweredMax + ClientLimits.pingTimeout)
    // The connection is given up: the call waits for the pause that follows, not for the server.
    await time.untilPlanned(at: .seconds(13) + client.configuration.backoff.min)
    result.cancel()
    #expect(await result.value == .cancelled)
    await client.shutdown()
    try await server.stop()
  }

  @Test func anIdlePeerIsAskedForASignOfLife() async throws {
    let time = ManualTime()
    let hole = try await BlackHole(firstWord: BlackHole.settings)
    let client = Self.client(of: [hole.endpoint], time)
    let request = Task { await code { _ = try await client.fetch("a") } }
    try await until { hole.bytes.load(ordering: .relaxed) > 100 }
    try await until { await client.hasHeardOfAPeer }
    request.cancel()
    #expect(await request.value == .cancelled)
    let end = ClientLimits.silentMax + ClientLimits.pingTimeout
    try await time.advance(to: end - .milliseconds(1))
    #expect(hole.closed.load(ordering: .relaxed) == 0)
    try await time.advance(to: end)
    try await until { hole.closed.load(ordering: .relaxed) == 1 }
    await client.shutdown()
    try await hole.stop()
  }

  @Test func aPeerThatAnswersPingsIsKept() async throws {
    let time = ManualTime()
    let server = try await FakeServer { $0.number == 1 ? Self.notFound : .silence }
    let client = LatchkeyClient.testing([server], time: time) { $0.requestTimeout = .seconds(60) }
    _ = try await client.fetch("a")
    async let result = code { _ = try await client.fetch("a") }
    try await server.received(2, "Fetch")
    for second in 1...30 {
      let planned = Duration.seconds(second)
      // The answer to the last PING plans the next look.
      try await time.advance(to: planned)
      await time.untilPlanned(at: planned + .seconds(1))
    }
    #expect(server.connectionCount == 1)
    #expect(try await server.countOpen() == 1)
    await client.shutdown()
    #expect(await result == .closed)
    try await server.stop()
  }
}
