import HTTP
import NIOCore
import NIOEmbedded
import Testing

/// Frames on streams that are closed (RFC 9113 5.1) or were passed by (5.1.1). The cases of the
/// public suite h2spec are named by its numbers.
@Suite struct ClosedStreamTests {
  static let (protocolError, streamClosed): (UInt32, UInt32) = (1, 5)

  static func headers(_ stream: UInt32, flags: UInt8 = 5) -> Frame {
    Frame(type: Frame.headers, flags: flags, stream: stream, payload: PlainHPACK.request)
  }
  static func data(_ stream: UInt32, count: Int = 300, flags: UInt8 = 0) -> Frame {
    Frame(
      type: Frame.data, flags: flags, stream: stream, payload: [UInt8](repeating: 1, count: count))
  }
  static func reset(_ stream: UInt32) -> Frame {
    Frame(type: Frame.reset, stream: stream, payload: Frame.number(8))
  }

  struct Row: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var opening: [Frame]
    var last: Frame
    /// Of the stream, where it alone is in error.
    var reset: UInt32?
    /// Of the connection.
    var goAway: UInt32?
  }

  static let rows = [
    Row(
      testDescription: "5.1/8: DATA after RST_STREAM", opening: [headers(1, flags: 4), reset(1)],
      last: data(1), reset: streamClosed),
    Row(
      testDescription: "5.1/9: HEADERS after RST_STREAM",
      opening: [headers(1, flags: 4), reset(1)], last: headers(1), reset: streamClosed),
    Row(
      testDescription: "5.1/10: a header block after RST_STREAM, in two frames",
      opening: [headers(1, flags: 4), reset(1), headers(1, flags: 1)],
      last: Frame(type: Frame.continuation, flags: 4, stream: 1), reset: streamClosed),
    Row(
      testDescription: "5.1/11: DATA after END_STREAM", opening: [headers(1)],
      last: data(1), goAway: streamClosed),
    Row(
      testDescription: "5.1/12: HEADERS after END_STREAM", opening: [headers(1)],
      last: headers(1), goAway: streamClosed),
    Row(
      testDescription: "5.1.1/2: a stream below the one before", opening: [headers(5)],
      last: headers(3), goAway: protocolError),
    Row(
      testDescription: "a stream passed by in between",
      opening: [headers(1), headers(3), headers(9)], last: headers(5), goAway: protocolError),
    Row(
      testDescription: "DATA on a stream that was passed by", opening: [headers(5)],
      last: data(3), goAway: protocolError),
    Row(
      testDescription: "DATA after an upload has ended",
      opening: [headers(1, flags: 4), data(1, flags: 1)], last: data(1), goAway: streamClosed),
  ]

  @Test(arguments: rows, [true, false])
  func aFrameOnAClosedStreamIsAnError(_ row: Row, inOneRead: Bool) throws {
    let client = try RawClient()
    client.receiver.echo()
    if inOneRead {
      try client.send(row.opening + [row.last])
    } else {
      try client.send(row.opening)
      #expect(client.channel.isActive)
      // A frame header may come in pieces.
      let bytes = row.last.bytes
      try client.send(Array(bytes.prefix(7)))
      try client.send(Array(bytes.dropFirst(7)))
    }
    let requests = client.receiver.received.count
    #expect(client.resetCode(row.last.stream) == row.reset)
    #expect(client.goAwayCode == row.goAway)
    #expect(client.channel.isActive == (row.goAway == nil))
    if row.goAway != nil {
      #expect(client.events.ends.map(\.code) == [.protocolError])
    } else {
      try client.send([client.openStream(101, endStream: true)])
      #expect(client.receiver.received.count == requests + 1)
    }
  }

  @Test func theHeaderTableStaysInStepWithAStreamThatIsClosed() throws {
    let client = try RawClient()
    let named: [UInt8] = [0x40, 1] + Array("n".utf8) + [5] + Array("value".utf8)
    try client.send([Self.headers(1, flags: 4), Self.reset(1)])
    try client.send([
      Frame(type: Frame.headers, flags: 5, stream: 1, payload: PlainHPACK.request + named)
    ])
    #expect(client.resetCode(1) == Self.streamClosed)
    try client.send([
      Frame(type: Frame.headers, flags: 5, stream: 3, payload: PlainHPACK.request + [0xBE])
    ])
    #expect(client.receiver.received.last?.head.value(of: "n") == "value")
  }

  /// A peer may send on until it learns that its stream was reset.
  @Test func whatCrossesAnEarlyEndIsIgnored() throws {
    var limits = HTTP2Limits()
    limits.concurrentStreamsMax = 2
    let client = try RawClient(limits: limits)
    let malformed = PlainHPACK.block([
      (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("x", "a\nb"),
    ])
    // Answered early, refused, and reset for what nghttp2 finds.
    try client.send([
      Frame(type: Frame.headers, flags: 4, stream: 1, payload: malformed),
      client.openStream(3), client.openStream(5), client.openStream(7),
    ])
    #expect(client.status(1) == 400 && client.resetCode(1) == 0)
    #expect(client.resetCode(5) == 7 && client.resetCode(7) == 7)
    let trailers = Frame(
      type: Frame.headers, flags: 5, stream: 1, payload: PlainHPACK.block([("t", "1")]))
    try client.send([Self.data(1), Self.data(1), trailers, Self.data(7), Self.data(7, flags: 1)])
    #expect(client.channel.isActive && client.goAwayCode == nil)
    try client.send([Self.data(3, flags: 1)])
    #expect(client.receiver.received.map(\.body.count) == [300])
  }

  @Test func trailersEndARequestThatIsNotTheLatest() throws {
    let client = try RawClient()
    try client.send([client.openStream(1), client.openStream(3), Self.data(1), Self.data(3)])
    for stream in [1, 3] as [UInt32] {
      try client.send([
        Frame(
          type: Frame.headers, flags: 5, stream: stream, payload: PlainHPACK.block([("t", "1")]))
      ])
    }
    #expect(client.receiver.received.map(\.body.count) == [300, 300])
    #expect(client.channel.isActive)
  }

  /// After the last GOAWAY, new streams are ignored, with all that comes on them.
  @Test func streamsAfterTheLastGoAwayAreIgnored() throws {
    let client = try RawClient()
    try client.send([client.openStream(1, endStream: true)])
    client.server.beginDrain()
    try client.advance(by: .seconds(2))
    try client.send([client.openStream(3), Self.data(3)])
    try client.send([Self.data(3, flags: 1)])
    #expect(client.goAwayCode == 0 && client.channel.isActive)
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [])
    try client.settle()
    #expect(client.status(1) == 200)
  }

  static let floods = [
    Row(
      testDescription: "HEADERS", opening: [headers(1, flags: 4)], last: headers(1)),
    Row(
      testDescription: "DATA", opening: [headers(1, flags: 4)], last: data(1, count: 16_000)),
    Row(
      testDescription: "DATA with END_STREAM", opening: [headers(1, flags: 4)],
      last: data(1, count: 0, flags: 1)),
  ]

  /// W8: 57 million such frames were ignored in 4.5 seconds.
  @Test(arguments: floods, [true, false])
  func aFloodOnAStreamThatWasResetHereEnds(_ row: Row, isRemembered: Bool) throws {
    var limits = HTTP2Limits()
    limits.requestTimeout = .seconds(1)
    let client = try RawClient(limits: limits)
    try client.send(row.opening)
    try client.advance(by: .seconds(6))
    #expect(client.status(1) == 408 && client.resetCode(1) == 0)
    if !isRemembered {
      for stream in 1...300 as ClosedRange<UInt32> {
        try client.send([Self.headers(2 * stream + 1), Self.reset(2 * stream + 1)])
      }
    }
    var sent = 0
    while client.channel.isActive, sent < 3_000 {
      try client.send([row.last])
      sent += 1
    }
    #expect((1_900...2_010).contains(sent))
    #expect(client.goAwayCode == 11)
    #expect(client.events.ends.map(\.code) == [.frameFlood])
  }

  @Test func aFloodAfterOwnResetsEnds() throws {
    let client = try RawClient()
    try client.send([Self.headers(1, flags: 4), Self.reset(1)])
    var sent = 0
    while client.channel.isActive, sent < 5_000 {
      try client.send([Self.headers(1), Self.data(1), Self.reset(1)])
      sent += 1
    }
    #expect(sent < 2_500)
    #expect(client.goAwayCode == 11)
  }

  // The most streams (RFC 9113 5.1.2).

  @Test func theLastStreamThereIsMayBeTheFirst() throws {
    let client = try RawClient()
    client.receiver.echo()
    let last = UInt32(Int32.max)
    try client.send([client.openStream(last, endStream: true)])
    #expect(client.status(last) == 200 && client.channel.isActive)
    // All others were passed by.
    try client.send([client.openStream(1, endStream: true)])
    #expect(client.goAwayCode == 1)
  }

  @Test(arguments: [true, false])
  func oneStreamTooManyLeavesTheOthersAlone(isAcknowledged: Bool) throws {
    let client = try RawClient()
    let settings = try #require(client.frames.first)
    #expect(settings.type == Frame.settings)
    let entries = stride(from: 0, to: settings.payload.count, by: 6).map {
      Array(settings.payload[$0..<$0 + 6])
    }
    #expect(entries.count { $0.prefix(2) == [0, 3] } == 1)
    #expect(entries.contains(Frame.setting(3, 1_024)))
    if isAcknowledged { try client.send([Frame(type: Frame.settings, flags: Frame.ack)]) }
    let most = 1_024 as UInt32
    try client.send((0..<most).map { client.openStream(1 + 2 * $0, endStream: true) })
    #expect(client.receiver.received.count == 1_024)
    for number in most..<most + 20 {
      try client.send([client.openStream(1 + 2 * number, endStream: true)])
      #expect(client.resetCode(1 + 2 * number) == 7)
    }
    #expect(client.channel.isActive && client.goAwayCode == nil)
    #expect(client.receiver.received.allSatisfy { $0.exchange.isOpen })
    // There is room again, also for an upload.
    client.receiver.received[7].exchange.respond(TestReceiver.ok, body: [])
    try client.settle()
    try client.send([client.openStream(5_001), Self.data(5_001, flags: 1)])
    #expect(client.receiver.received.last?.body.count == 300)
  }

  @Test func aFloodOfStreamsTooManyEnds() throws {
    var limits = HTTP2Limits()
    limits.concurrentStreamsMax = 10
    let client = try RawClient(limits: limits)
    try client.send([Frame(type: Frame.settings, flags: Frame.ack)])
    var stream: UInt32 = 1
    while client.channel.isActive, stream < 40_000 {
      try client.send([client.openStream(stream, endStream: true)])
      stream += 2
    }
    #expect(stream < 2 * UInt32(limits.refusedStreams.burst + limits.concurrentStreamsMax) + 10)
    #expect(client.events.ends.map(\.code) == [.resetFlood])
    #expect(client.receiver.received.count == 10)
  }

  // Requests that are taken back.

  /// What a proxy does whose clients give up, hundreds at a time, for as long as it likes.
  @Test func whatHasWaitedMayBeTakenBack() throws {
    let client = try RawClient()
    var stream: UInt32 = 1
    for _ in 0..<20 {
      let streams = (0..<1_000).map { stream + 2 * $0 } as [UInt32]
      stream += 2_000
      try client.send(streams.map { client.openStream($0, endStream: true) })
      try client.advance(by: .seconds(1))
      try client.send(streams.map(Self.reset))
      #expect(client.channel.isActive)
    }
    #expect(client.receiver.received.count == 20_000)
    #expect(client.receiver.received.allSatisfy { !$0.exchange.isOpen })
  }

  @Test func whatHasNotWaitedIsARapidReset() throws {
    let client = try RawClient()
    var rounds: UInt32 = 0
    while client.channel.isActive, rounds < 2_000 {
      let stream = 1 + 2 * rounds
      try client.send([client.openStream(stream, endStream: true)])
      if rounds % 10 == 0 { try client.advance(by: .milliseconds(1)) }
      try client.send([Self.reset(stream)])
      rounds += 1
    }
    #expect((500...520).contains(rounds))
    #expect(client.events.ends.map(\.code) == [.resetFlood])
  }

  @Test func uploadsAndAnswersDoNotCountAsWaiting() throws {
    let client = try RawClient()
    try client.send([Frame(type: Frame.settings, payload: Frame.setting(4, 0))])
    client.receiver.answer = { $0.exchange.respond(TestReceiver.ok, body: [1]) }
    let streams = (0..<600).map { 1 + 2 * $0 } as [UInt32]
    try client.send(streams.map { client.openStream($0, endStream: $0 % 4 == 1) })
    try client.advance(by: .seconds(2))
    try client.send(streams.map(Self.reset))
    #expect(client.events.ends.map(\.code) == [.resetFlood])
  }
}
