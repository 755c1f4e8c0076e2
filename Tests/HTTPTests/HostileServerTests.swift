import HTTP
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

  @Test func theSumOfUnfinishedResponsesIsBounded() throws {
    var limits = HTTP2Limits()
    limits.bufferedResponseBytesMax = 10_000
    let server = try RawServer(limits: limits)
    let part = [UInt8](repeating: 1, count: 6_000)
    for round in 0..<20 as Range<UInt32> {
      let first = 1 + 4 * round
      let outcomes = [try server.request(), try server.request()]
      for stream in [first, first + 2] {
        try server.send([
          RawServer.headers(stream), RawServer.data(stream, part, endStream: false),
        ])
      }
      #expect(outcomes[0].results.isEmpty)
      #expect(outcomes[1].error?.code == .responseTooLarge)
      // What is complete or was given up counts no more.
      try server.send([RawServer.data(first, [2])])
      #expect(outcomes[0].response?.body.count == 6_001)
    }
    #expect(server.client.isUsable)
  }

  @Test func headersOfUnfinishedResponsesCountToo() throws {
    var limits = HTTP2Limits()
    limits.bufferedResponseBytesMax = 10_000
    let server = try RawServer(limits: limits)
    let fields = [(":status", "200"), ("x", String(repeating: "v", count: 6_000))]
    let outcomes = [try server.request(), try server.request()]
    // Interim responses are not kept.
    for _ in 0..<5 {
      try server.send([RawServer.headers(1, [(":status", "103"), fields[1]])])
    }
    for stream in [1, 3] as [UInt32] { try server.send([RawServer.headers(stream, fields)]) }
    #expect(outcomes[0].results.isEmpty)
    #expect(outcomes[1].error?.code == .responseTooLarge)
    try server.send([RawServer.data(1, [])])
    #expect(outcomes[0].response?.status == 200)
  }

  @Test func requestsThatAreGivenUpCountWhileTheServerTakesNothing() throws {
    var limits = HTTP2Limits()
    limits.clientRequestsMax = 5
    let server = try RawServer(limits: limits)
    server.channel.isWritable = false
    for _ in 0..<5 {
      let outcome = try server.request()
      server.client.cancel(try #require(outcome.id))
      #expect(outcome.error?.code == .cancelled)
    }
    let more = try server.request()
    #expect(more.error?.code == .tooManyRequests)
    server.channel.isWritable = true
    server.channel.pipeline.fireChannelWritabilityChanged()
    try server.settle()
    let last = try server.request()
    #expect(last.results.isEmpty)
  }
}
