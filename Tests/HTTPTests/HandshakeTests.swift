import HTTP
import NIOCore
import NIOEmbedded
import Testing

@Suite struct HandshakeTests {
  @Test func theServersOpeningBytesAreExact() throws {
    let client = try RawClient(sendsPreface: false)
    try client.settle()
    let expected = [
      Frame(
        type: Frame.settings,
        payload: Frame.setting(3, 1_024) + Frame.setting(4, 262_144) + Frame.setting(6, 16_384)
          + Frame.setting(0x4C4B, 0x0003_0001)),
      Frame(type: Frame.windowUpdate, payload: Frame.number(1_048_576 - 65_535)),
      Frame(type: 0x4C, payload: Array("server".utf8)),
    ]
    #expect(client.frames == expected)
  }

  @Test func theClientsOpeningBytesAreExactAndOneWrite() throws {
    let pair = try Pair()
    let writes = try pair.clientChannel.takeWrites()
    let expected = [
      Frame(
        type: Frame.settings,
        payload: Frame.setting(2, 0) + Frame.setting(4, 1_048_576) + Frame.setting(6, 16_384)
          + Frame.setting(0x4C4B, 0x0002_0002)),
      Frame(type: Frame.windowUpdate, payload: Frame.number(4_194_304 - 65_535)),
      Frame(type: 0x4C, payload: Array("client".utf8)),
    ]
    #expect(writes == [RawClient.preface + expected.flatMap(\.bytes)])
  }

  @Test func eachSideLearnsTheOthersOffer() throws {
    let pair = try Pair()
    #expect(pair.client.peerSettingsValue == nil)
    try pair.settle()
    #expect(pair.client.peerSettingsValue == 0x0003_0001)
    #expect(pair.clientEvents.offers == [0x0003_0001])
    #expect(pair.clientEvents.hellos == [Array("server".utf8)])
    #expect(pair.serverEvents.offers == [0x0002_0002])
    #expect(pair.serverEvents.hellos == [Array("client".utf8)])
  }

  @Test func aNewOfferIsToldOnTheLiveConnection() throws {
    let pair = try Pair()
    try pair.settle()
    let offer = HandshakeOffer(settingsValue: 0x0004_0002, hello: [1, 2, 3])
    pair.server.update(offer: offer)
    pair.server.update(offer: offer)
    try pair.settle()
    #expect(pair.clientEvents.offers == [0x0003_0001, 0x0004_0002])
    #expect(pair.clientEvents.hellos.last == [1, 2, 3])
    #expect(pair.clientEvents.hellos.count == 2)
    #expect(pair.client.isUsable)
  }

  @Test func anOfferFromBeforeTheStartIsTheFirst() throws {
    let loop = EmbeddedEventLoop()
    let events = ServerRecorder()
    let server = HTTP2ServerHandler(
      receiver: TestReceiver(), offer: Fixtures.serverOffer, limits: HTTP2Limits(), grease: .none,
      rejections: Fixtures.rejections, events: events)
    server.update(offer: HandshakeOffer(settingsValue: 7, hello: []))
    let channel = try EmbeddedChannel.active(server, loop: loop)
    let frames = Frame.parse(try channel.takeWrites().flatMap { $0 })
    #expect(frames.map(\.type) == [Frame.settings, Frame.windowUpdate])
    #expect(frames[0].payload.suffix(6) == Frame.setting(0x4C4B, 7)[...])
  }

  @Test func aPeerWithoutHandshakeOffersZero() throws {
    let client = try RawClient()
    #expect(client.events.offers == [0])
    try client.send([Frame(type: Frame.settings, payload: Frame.setting(4, 70_000))])
    #expect(client.events.offers == [0])
    try client.send([Frame(type: Frame.settings, payload: Frame.setting(0x4C4B, 9))])
    #expect(client.events.offers == [0, 9])
    #expect(client.channel.isActive)
  }

  struct HelloCase: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var stream: UInt32
    var size: Int
    var isHeard: Bool
  }

  @Test(arguments: [
    HelloCase(testDescription: "empty", stream: 0, size: 0, isHeard: true),
    HelloCase(testDescription: "largest", stream: 0, size: 4_096, isHeard: true),
    HelloCase(testDescription: "too large", stream: 0, size: 4_097, isHeard: false),
    HelloCase(testDescription: "on a stream", stream: 1, size: 5, isHeard: false),
  ])
  func aHelloIsBoundedAndOnStreamZero(_ row: HelloCase) throws {
    let client = try RawClient()
    let payload = [UInt8](repeating: 0xAB, count: row.size)
    // In pieces, as a socket may deliver it.
    let bytes = Frame(type: 0x4C, stream: row.stream, payload: payload).bytes
    for start in stride(from: 0, to: bytes.count, by: 1_000) {
      try client.send(Array(bytes[start..<min(start + 1_000, bytes.count)]))
    }
    #expect(client.events.hellos == (row.isHeard ? [payload] : []))
    try client.send([client.openStream(3, endStream: true)])
    #expect(client.receiver.received.count == 1)
  }

  @Test func aHelloAfterOneThatWasIgnoredIsWhole() throws {
    let client = try RawClient()
    try client.send([
      Frame(type: 0x4C, stream: 5, payload: [1, 2, 3]),
      Frame(type: 0x4C, payload: [UInt8](repeating: 0, count: 5_000)),
      Frame(type: 0x4C, payload: [4]),
    ])
    #expect(client.events.hellos == [[4]])
  }

  @Test func theClientSendsBeforeTheServersSettingsCame() throws {
    let pair = try Pair()
    pair.receiver.echo()
    let outcome = pair.send(body: [1])
    #expect(pair.client.peerSettingsValue == nil)
    try pair.settle()
    #expect(outcome.response?.body == [1])
  }

  @Test func theHandlersWorkWhenAddedBeforeTheChannelIsActive() throws {
    let loop = EmbeddedEventLoop()
    let events = ClientRecorder()
    let client = HTTP2ClientHandler(
      authority: "test", offer: Fixtures.clientOffer, limits: HTTP2Limits(), grease: .none,
      events: events)
    let channel = EmbeddedChannel(loop: loop)
    try channel.pipeline.syncOperations.addHandler(client)
    let outcome = Outcome()
    client.send(method: "POST", path: "/", fields: [], body: [], completion: outcome.set)
    loop.run()
    #expect(try channel.takeWrites().isEmpty)
    try channel.connect(to: SocketAddress(unixDomainSocketPath: "/test")).wait()
    let frames = Frame.parse(Array(try channel.takeWrites().flatMap { $0 }.dropFirst(24)))
    #expect(frames.map(\.type) == [Frame.settings, Frame.windowUpdate, 0x4C, Frame.headers])
  }

  @Test func theServerTakesBytesThatAreReplayedWithoutAReadsEnd() throws {
    let loop = EmbeddedEventLoop()
    let receiver = TestReceiver()
    receiver.echo()
    let channel = EmbeddedChannel(loop: loop)
    try channel.connect(to: SocketAddress(unixDomainSocketPath: "/test")).wait()
    let server = HTTP2ServerHandler(
      receiver: receiver, offer: Fixtures.serverOffer, limits: HTTP2Limits(), grease: .none,
      rejections: Fixtures.rejections, events: nil)
    try channel.pipeline.syncOperations.addHandler(server)
    let request = Frame(
      type: Frame.headers, flags: Frame.endHeaders | Frame.endStream, stream: 1,
      payload: PlainHPACK.request)
    let bytes = RawClient.preface + Frame(type: Frame.settings).bytes + request.bytes
    channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes))
    loop.run()
    let frames = Frame.parse(try channel.takeWrites().flatMap { $0 })
    #expect(frames.contains { $0.type == Frame.headers && $0.status == 200 })
  }

  @Test func greasedPeersUnderstandEachOther() throws {
    var unknownFrames = 0
    for seed in 0..<60 as Range<UInt64> {
      let bits = SeededBits(seed: seed)
      let pair = try Pair(grease: Grease { bits.next() })
      pair.receiver.echo()
      for round in 0..<20 as Range<UInt8> {
        let outcome = pair.send(body: [round])
        let writes = try pair.clientChannel.takeWrites().flatMap { $0 }
        let frames = Frame.parse(Array(writes.dropFirst(round == 0 ? 24 : 0)))
        unknownFrames += frames.count { $0.type > 9 && $0.type != 0x4C }
        #expect(!frames.contains { $0.type > 9 && $0.type != 0x4C && ($0.type - 0x0b) % 0x1f != 0 })
        try pair.serverChannel.writeInbound(ByteBuffer(bytes: writes))
        try pair.settle()
        try #require(outcome.response?.body == [round], "seed \(seed), round \(round)")
      }
      #expect(pair.clientEvents.offers == [0x0003_0001], "seed \(seed)")
      #expect(pair.serverEvents.offers == [0x0002_0002], "seed \(seed)")
    }
    #expect(unknownFrames > 0)
  }

  @Test func greaseUsesOnlyIdsThatAreSetAside() throws {
    var greased = 0
    for seed in 0..<100 as Range<UInt64> {
      let bits = SeededBits(seed: seed)
      let pair = try Pair(grease: Grease { bits.next() })
      let bytes = try pair.clientChannel.takeWrites().flatMap { $0 }
      let settings = try #require(Frame.parse(Array(bytes.dropFirst(24))).first)
      for start in stride(from: 4 * 6, to: settings.payload.count, by: 6) {
        let id = settings.payload[start..<start + 2].reduce(0) { $0 << 8 | UInt16($1) }
        #expect(id & 0x0F0F == 0x0A0A, "seed \(seed)")
        greased += 1
      }
    }
    #expect(greased > 0)
  }
}
