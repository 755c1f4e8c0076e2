import HTTP2
import NIOCore
import NIOEmbedded
import Testing

/// What a hostile or broken server sends, and how it ends: within a bound, and with nothing kept.
@Suite struct HostileServerTests {
  struct FloodCase: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var code = HTTP2ConnectionEnd.Code.frameFlood
    /// How many rounds a server may send before it is too many. Its first SETTINGS counts, too.
    var rounds = 1_999
    /// What comes before the flood.
    var opening: [Frame] = []
    var round: @Sendable (_ number: UInt32) -> [Frame]
  }

  static let floods = [
    FloodCase(testDescription: "PING") { _ in
      [Frame(type: Frame.ping, payload: [0, 1, 2, 3, 4, 5, 6, 7])]
    },
    FloodCase(testDescription: "PING answers") { _ in
      [Frame(type: Frame.ping, flags: Frame.ack, payload: [0, 1, 2, 3, 4, 5, 6, 7])]
    },
    FloodCase(testDescription: "SETTINGS") { number in
      [Frame(type: Frame.settings, payload: Frame.setting(0x4C4B, number))]
    },
    FloodCase(testDescription: "PRIORITY") { number in
      [Frame(type: Frame.priority, stream: 2 * number + 1, payload: [0, 0, 0, 0, 7])]
    },
    FloodCase(testDescription: "WINDOW_UPDATE") { _ in
      [Frame(type: Frame.windowUpdate, payload: Frame.number(1))]
    },
    FloodCase(testDescription: "unknown frames") { _ in
      [Frame(type: 0xE4, payload: [UInt8](repeating: 1, count: 1_000))]
    },
    FloodCase(testDescription: "HELLO") { _ in [Frame(type: 0x4C, payload: [1])] },
    FloodCase(testDescription: "GOAWAY") { _ in [RawServer.goAway(last: 0x7fff_ffff)] },
    FloodCase(testDescription: "empty DATA", opening: [RawServer.headers(1)]) { _ in
      [RawServer.data(1, [], endStream: false)]
    },
    FloodCase(
      testDescription: "empty CONTINUATION", code: .continuationFlood, rounds: 8,
      opening: [
        Frame(type: Frame.headers, stream: 1, payload: PlainHPACK.block([(":status", "200")]))
      ]
    ) { _ in [Frame(type: Frame.continuation, stream: 1)] },
    FloodCase(
      testDescription: "large CONTINUATION", code: .continuationFlood, rounds: 4,
      opening: [
        Frame(type: Frame.headers, stream: 1, payload: PlainHPACK.block([(":status", "200")]))
      ]
    ) { number in
      [
        Frame(
          type: Frame.continuation, stream: 1,
          payload: PlainHPACK.block([("x-\(number)", String(repeating: "a", count: 15_000))]))
      ]
    },
  ]

  @Test(arguments: floods)
  func aFloodEndsTheConnection(_ flood: FloodCase) throws {
    let server = try RawServer()
    let outcome = try server.request()
    try server.send(flood.opening)
    for number in 1...UInt32(flood.rounds) {
      guard server.channel.isActive else {
        Issue.record("ended after \(number) of \(flood.rounds) rounds")
        return
      }
      try server.send(flood.round(number))
    }
    for number in 1...10 { try server.send(flood.round(UInt32(flood.rounds + number))) }
    #expect(!server.channel.isActive)
    #expect(server.events.ends.map(\.code) == [flood.code])
    #expect(outcome.results.count == 1)
    #expect(server.client.requestCount == 0)
  }

  /// RFC 9110 15.2 has no bound on them; each would keep the request, and the connection, alive.
  @Test func interimResponsesWithoutEndFailTheRequest() throws {
    let server = try RawServer()
    let outcome = try server.request()
    for _ in 0..<HTTP2Limits().interimResponsesMax {
      try server.send([RawServer.headers(1, [(":status", "103")])])
    }
    #expect(outcome.results.isEmpty)
    try server.send([RawServer.headers(1, [(":status", "103")])])
    #expect(outcome.error?.code == .protocolError)
    #expect(server.frames.contains(RawServer.reset(1, 11)))
    #expect(server.client.isUsable)
  }

  /// Each body is within its bound.
  @Test func bodiesTogetherAreBounded() throws {
    var limits = HTTP2Limits()
    limits.bufferedResponseBytesMax = 10_000
    let server = try RawServer(limits: limits)
    let outcomes = try (0..<3).map { _ in try server.request() }
    let part = [UInt8](repeating: 1, count: 4_000)
    for stream in [1, 3, 5] as [UInt32] {
      try server.send([RawServer.headers(stream), RawServer.data(stream, part, endStream: false)])
    }
    #expect(outcomes.map(\.results.count) == [0, 0, 1])
    #expect(outcomes[2].error?.code == .responseTooLarge)
    // What is complete, or given up, is not counted any more.
    try server.send([RawServer.data(1, [1, 2])])
    #expect(outcomes[0].response?.body.count == 4_002)
    let next = try server.request()
    try server.send([RawServer.headers(7), RawServer.data(7, part)])
    #expect(next.response?.body.count == 4_000)
    server.client.cancel(try #require(outcomes[1].id))
    try server.settle()
    let last = try server.request()
    try server.send([RawServer.headers(9), RawServer.data(9, part + part)])
    #expect(last.response?.body.count == 8_000)
  }

  @Test func aPushIsRefused() throws {
    let server = try RawServer()
    let outcome = try server.request()
    try server.send([
      Frame(type: Frame.settings, flags: Frame.ack),
      Frame(type: 5, flags: 4, stream: 1, payload: [0, 0, 0, 2] + PlainHPACK.request),
    ])
    #expect(!server.channel.isActive)
    #expect(server.events.ends.map(\.code) == [.protocolError])
    #expect(outcome.error?.code == .connectionClosed)
  }
}
