import HTTP
import NIOCore
import NIOEmbedded
import Testing

/// What a hostile or broken client sends, and how it ends: within a bound, and with nothing kept.
@Suite struct AbuseTests {
  struct BrokenCase: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var bytes: [UInt8]
    var goAwayCode: UInt32
    var code = HTTP2ConnectionEnd.Code.protocolError

    init(
      _ description: String, _ frames: [Frame], goAway: UInt32,
      code: HTTP2ConnectionEnd.Code = .protocolError
    ) {
      testDescription = description
      bytes = RawClient.preface + Frame(type: Frame.settings).bytes + frames.flatMap(\.bytes)
      goAwayCode = goAway
      self.code = code
    }

    init(_ description: String, bytes: [UInt8], goAway: UInt32) {
      testDescription = description
      self.bytes = bytes
      goAwayCode = goAway
    }
  }

  static let headers = Frame(
    type: Frame.headers, flags: Frame.endHeaders | Frame.endStream, stream: 1,
    payload: PlainHPACK.request)

  @Test(arguments: [
    BrokenCase("HTTP/1.1", bytes: Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), goAway: 1),
    BrokenCase("zeros", bytes: [UInt8](repeating: 0, count: 50_000), goAway: 1),
    BrokenCase(
      "no SETTINGS after the preface",
      bytes: RawClient.preface + Frame(type: Frame.ping, payload: Array(1...8)).bytes, goAway: 1),
    BrokenCase(
      "a frame above the size", [Frame(type: 0x77, payload: [UInt8](repeating: 0, count: 16_385))],
      goAway: 6),
    BrokenCase("a PING of the wrong size", [Frame(type: Frame.ping, payload: [1])], goAway: 6),
    BrokenCase("DATA on stream 0", [Frame(type: Frame.data, payload: [1])], goAway: 1),
    BrokenCase(
      "DATA on an idle stream", [Frame(type: Frame.data, stream: 5, payload: [1])], goAway: 1),
    BrokenCase(
      "a request on an even stream",
      [Frame(type: Frame.headers, flags: 5, stream: 2, payload: PlainHPACK.request)], goAway: 1),
    BrokenCase(
      "CONTINUATION out of nowhere", [Frame(type: Frame.continuation, stream: 1)], goAway: 1),
    BrokenCase(
      "a frame inside of a header block",
      [
        Frame(type: Frame.headers, stream: 1, payload: PlainHPACK.request),
        Frame(type: Frame.ping, payload: Array(1...8)),
      ], goAway: 1),
    BrokenCase(
      "HPACK that is none",
      [Frame(type: Frame.headers, flags: 5, stream: 1, payload: [0xff, 0xff, 0xff, 0xff, 0xff])],
      goAway: 9),
    BrokenCase(
      "a window that overflows",
      [Frame(type: Frame.windowUpdate, payload: Frame.number(0x7fff_ffff))], goAway: 3),
    BrokenCase(
      "too many settings",
      [
        Frame(
          type: Frame.settings,
          payload: (0..<33 as Range<UInt16>).flatMap { Frame.setting(0xF000 + $0, 1) })
      ], goAway: 11),
    BrokenCase("DATA after the end", [headers, Frame(type: Frame.data, stream: 1)], goAway: 5),
    BrokenCase(
      "PUSH_PROMISE", [Frame(type: 5, flags: 4, stream: 1, payload: [0, 0, 0, 2])], goAway: 1),
  ])
  func brokenBytesEndTheConnectionWithAReason(_ row: BrokenCase) throws {
    let client = try RawClient(sendsPreface: false)
    try client.send(row.bytes)
    #expect(client.goAwayCode == row.goAwayCode)
    #expect(!client.channel.isActive)
    #expect(client.events.ends.map(\.code) == [row.code])
    // More of the same changes nothing.
    client.channel.pipeline.fireChannelRead(ByteBuffer(bytes: row.bytes))
    try client.settle()
    #expect(client.events.ends.count == 1)
  }

  struct FloodCase: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var code: HTTP2ConnectionEnd.Code
    /// How many rounds a peer may send before it is too many. Its first SETTINGS counts, too.
    var rounds: Int
    /// What comes before the flood.
    var opening: [Frame] = []
    var round: @Sendable (_ number: UInt32) -> [Frame]
  }

  static let openStream = Frame(
    type: Frame.headers, flags: Frame.endHeaders, stream: 1, payload: PlainHPACK.request)
  static let oversizedRequest = PlainHPACK.block(
    [
      (":method", "POST"), (":scheme", "http"), (":path", "/raw"), (":authority", "test"),
    ] + (0..<500).map { ("x-\($0)", "") })

  static let floods = [
    FloodCase(testDescription: "PING", code: .frameFlood, rounds: 1_999) { _ in
      [Frame(type: Frame.ping, payload: [0, 1, 2, 3, 4, 5, 6, 7])]
    },
    FloodCase(testDescription: "PING answers", code: .frameFlood, rounds: 1_999) { _ in
      [Frame(type: Frame.ping, flags: Frame.ack, payload: [0, 1, 2, 3, 4, 5, 6, 7])]
    },
    FloodCase(testDescription: "SETTINGS", code: .frameFlood, rounds: 1_999) { number in
      [Frame(type: Frame.settings, payload: Frame.setting(1, number % 4_096))]
    },
    FloodCase(testDescription: "PRIORITY", code: .frameFlood, rounds: 1_999) { number in
      [Frame(type: Frame.priority, stream: 2 * number + 1, payload: [0, 0, 0, 0, 7])]
    },
    FloodCase(testDescription: "WINDOW_UPDATE", code: .frameFlood, rounds: 1_999) { _ in
      [Frame(type: Frame.windowUpdate, payload: Frame.number(1))]
    },
    FloodCase(testDescription: "unknown frames", code: .frameFlood, rounds: 1_999) { _ in
      [Frame(type: 0xE4, payload: [UInt8](repeating: 1, count: 1_000))]
    },
    FloodCase(testDescription: "HELLO", code: .frameFlood, rounds: 1_999) { _ in
      [Frame(type: 0x4C, payload: [1])]
    },
    FloodCase(
      testDescription: "empty DATA", code: .frameFlood, rounds: 1_999, opening: [openStream]
    ) { _ in [Frame(type: Frame.data, stream: 1)] },
    FloodCase(
      testDescription: "DATA of padding", code: .frameFlood, rounds: 1_999, opening: [openStream]
    ) { _ in
      [
        Frame(
          type: Frame.data, flags: Frame.padded, stream: 1,
          payload: [255] + [UInt8](repeating: 0, count: 255))
      ]
    },
    FloodCase(
      testDescription: "DATA of a closed stream", code: .frameFlood, rounds: 1_998,
      opening: [
        openStream, Frame(type: Frame.reset, stream: 1, payload: [0, 0, 0, 8]),
        Frame(type: Frame.data, stream: 1),
      ]
    ) { _ in [Frame(type: Frame.data, stream: 1)] },
    FloodCase(testDescription: "rapid reset", code: .resetFlood, rounds: 500) { number in
      [
        Frame(
          type: Frame.headers, flags: 5, stream: 2 * number + 1, payload: PlainHPACK.request),
        Frame(type: Frame.reset, stream: 2 * number + 1, payload: Frame.number(8)),
      ]
    },
    FloodCase(
      testDescription: "rapid reset without an error", code: .resetFlood, rounds: 500
    ) { number in
      [
        Frame(
          type: Frame.headers, flags: 5, stream: 2 * number + 1, payload: PlainHPACK.request),
        Frame(type: Frame.reset, stream: 2 * number + 1, payload: Frame.number(0)),
      ]
    },
    FloodCase(
      testDescription: "rapid reset of uploads", code: .resetFlood, rounds: 500
    ) { number in
      [
        Frame(
          type: Frame.headers, flags: 4, stream: 2 * number + 1, payload: PlainHPACK.request),
        Frame(type: Frame.reset, stream: 2 * number + 1, payload: Frame.number(0)),
      ]
    },
    FloodCase(testDescription: "made you reset", code: .resetFlood, rounds: 500) { number in
      [
        Frame(
          type: Frame.headers, flags: 5, stream: 2 * number + 1, payload: PlainHPACK.request),
        Frame(
          type: Frame.windowUpdate, stream: 2 * number + 1, payload: Frame.number(0x7fff_ffff)),
      ]
    },
    FloodCase(testDescription: "malformed requests", code: .resetFlood, rounds: 500) { number in
      [
        Frame(
          type: Frame.headers, flags: 5, stream: 2 * number + 1,
          payload: PlainHPACK.block([(":method", "GET")]))
      ]
    },
    FloodCase(testDescription: "oversized headers", code: .headerFlood, rounds: 16) { number in
      [
        Frame(
          type: Frame.headers, flags: 5, stream: 2 * number + 1, payload: oversizedRequest)
      ]
    },
    FloodCase(
      testDescription: "empty CONTINUATION", code: .continuationFlood, rounds: 8,
      opening: [Frame(type: Frame.headers, stream: 1, payload: PlainHPACK.request)]
    ) { _ in [Frame(type: Frame.continuation, stream: 1)] },
    FloodCase(
      testDescription: "large CONTINUATION", code: .continuationFlood, rounds: 4,
      opening: [Frame(type: Frame.headers, stream: 1, payload: PlainHPACK.request)]
    ) { number in
      let value = String(repeating: "v", count: 15_000)
      return [
        Frame(
          type: Frame.continuation, stream: 1, payload: PlainHPACK.block([("x-\(number)", value)]))
      ]
    },
  ]

  @Test(arguments: floods) func aFloodEndsAtItsBound(_ row: FloodCase) throws {
    let client = try RawClient()
    try client.send(row.opening)
    for number in 0..<UInt32(row.rounds) {
      try client.send(row.round(number))
      try #require(client.channel.isActive, "round \(number): \(client.events.ends)")
    }
    // Own resets are counted once they are written, so one more may pass.
    for number in 0..<2 as Range<UInt32> { try client.send(row.round(UInt32(row.rounds) + number)) }
    #expect(client.goAwayCode == 11)
    #expect(!client.channel.isActive)
    #expect(client.events.ends.map(\.code) == [row.code])
    #expect(client.receiver.received.allSatisfy { !$0.exchange.isOpen })
  }

  @Test(arguments: floods) func aFloodInOneReadEndsToo(_ row: FloodCase) throws {
    let client = try RawClient()
    let rounds = (0..<UInt32(row.rounds) + 2).flatMap(row.round)
    try client.send(row.opening + rounds)
    try client.send([Frame(type: Frame.ping, payload: Array(1...8))])
    #expect(client.goAwayCode == 11)
    #expect(!client.channel.isActive)
  }

  @Test(arguments: floods) func aFloodInPiecesEndsToo(_ row: FloodCase) throws {
    let client = try RawClient()
    let rounds = (0..<UInt32(row.rounds) + 2).flatMap(row.round)
    var rest = (row.opening + rounds).flatMap(\.bytes)[...]
    while !rest.isEmpty, client.channel.isActive {
      let piece = rest.prefix(97)
      try client.send(Array(piece))
      rest = rest.dropFirst(piece.count)
    }
    #expect(client.events.ends.map(\.code) == [row.code])
    #expect(rest.count < 2 * rounds.flatMap(\.bytes).count / row.rounds + 97)
  }

  @Test func aBusyClientMayDoMoreOfEverything() throws {
    let client = try RawClient()
    client.receiver.echo()
    for number in 0..<3_000 as Range<UInt32> {
      var frames = [client.openStream(1 + 4 * number, endStream: true)]
      frames += [client.openStream(3 + 4 * number, endStream: true)]
      frames += [Frame(type: Frame.reset, stream: 3 + 4 * number, payload: Frame.number(8))]
      frames += [Frame](
        repeating: Frame(type: Frame.windowUpdate, payload: Frame.number(1)), count: 3)
      try client.send(frames)
    }
    #expect(client.channel.isActive)
    #expect(client.receiver.received.count == 6_000)
  }

  @Test func timeGivesAQuietClientItsAllowanceBack() throws {
    let client = try RawClient()
    let pings = [Frame](repeating: Frame(type: Frame.ping, payload: Array(1...8)), count: 950)
    for _ in 0..<4 {
      try client.send(pings)
      try client.send(pings)
      #expect(client.channel.isActive)
      try client.advance(by: .seconds(10))
    }
  }

  @Test func anHPACKBombIsNotStored() throws {
    let client = try RawClient()
    // One large entry for the dynamic table, and then thousands of references to it.
    let entry: [UInt8] =
      [0x40]
      + PlainHPACK.block([("x", String(repeating: "v", count: 3_900))])
      .dropFirst()
    let bomb = PlainHPACK.request + entry + [UInt8](repeating: 0xBE, count: 12_000)
    try client.send([Frame(type: Frame.headers, flags: 5, stream: 1, payload: bomb)])
    #expect(client.status(1) == 431)
    #expect(client.receiver.received.isEmpty)
    try client.send([client.openStream(3, endStream: true)])
    #expect(client.receiver.received.count == 1)
  }

  @Test func moreStreamsThanAllowedAreRefused() throws {
    var limits = HTTP2Limits()
    limits.concurrentStreamsMax = 10
    let client = try RawClient(limits: limits)
    try client.send((0..<11).map { client.openStream(1 + 2 * $0, endStream: true) })
    #expect(client.receiver.received.count == 10)
    #expect(client.resetCode(21) == 7)
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [])
    try client.settle()
    try client.send([client.openStream(23, endStream: true)])
    #expect(client.receiver.received.count == 11)
  }
}
