import HTTP
import NIOCore
import NIOEmbedded
import Testing

/// Requests and peers that exceed a bound of size or time, without any malice.
@Suite struct BoundsTests {
  @Test(arguments: [(524_288, 200), (524_289, 413), (2_000_000, 413)])
  func aBodyAboveItsBoundIsAnswered413(size: Int, status: Int) throws {
    let pair = try Pair()
    pair.receiver.echo()
    let outcome = pair.send(body: [UInt8](repeating: 1, count: size))
    let other = pair.send(body: [2])
    try pair.settle()
    #expect(outcome.response?.status == status)
    #expect(other.response?.status == 200)
    #expect(pair.client.isUsable)
  }

  @Test func aRejectedUploadIsResetWithoutAnError() throws {
    let client = try RawClient()
    try client.send([client.openStream(1)])
    let chunk = [UInt8](repeating: 1, count: 16_384)
    for _ in 0..<33 { try client.send([Frame(type: Frame.data, stream: 1, payload: chunk)]) }
    #expect(client.status(1) == 413)
    #expect(client.resetCode(1) == 0)
    // What was on its way is dropped.
    try client.send([Frame(type: Frame.data, flags: 1, stream: 1, payload: chunk)])
    #expect(client.channel.isActive)
    #expect(client.receiver.received.isEmpty)
  }

  @Test(arguments: [(15_000, 200), (17_000, 431), (60_000, 431)])
  func headersAboveTheirBoundAreAnswered431(size: Int, status: Int) throws {
    let pair = try Pair()
    pair.receiver.echo()
    let outcome = pair.send(
      body: [1], fields: (0..<size / 1_000).map { ("x-\($0)", String(repeating: "v", count: 963)) })
    try pair.settle()
    #expect(outcome.response?.status == status)
    #expect(outcome.response?.headers.value(of: "x-rejected") == (status == 431 ? "431" : nil))
  }

  @Test func theSumOfUnfinishedBodiesIsBounded() throws {
    var limits = HTTP2Limits()
    limits.bufferedRequestBytesMax = 3_900
    let client = try RawClient(limits: limits)
    let part = [UInt8](repeating: 1, count: 800)
    func upload(_ stream: UInt32) -> [Frame] {
      [client.openStream(stream), Frame(type: Frame.data, stream: stream, payload: part)]
    }
    try client.send(upload(1) + upload(3))
    #expect(client.status(3) == 429)
    #expect(client.resetCode(3) == 0)
    // The others go on, and what is finished or reset counts no more.
    try client.send([Frame(type: Frame.data, flags: 1, stream: 1, payload: [2])])
    #expect(client.receiver.received.map(\.body.count) == [801])
    for stream in stride(from: 5, to: 205, by: 2) as StrideTo<UInt32> {
      try client.send(upload(stream))
      try client.send([Frame(type: Frame.reset, stream: stream, payload: Frame.number(8))])
      #expect(client.status(stream) == nil)
    }
    try client.send(upload(301) + [Frame(type: Frame.data, flags: 1, stream: 301, payload: part)])
    #expect(client.receiver.received.last?.body.count == 1_600)
  }

  /// Two hundred large requests at once, as of a client that is busy: some are refused, the others get
  /// through, and the connection goes on.
  @Test func whereBodiesAreTooManyTheOldestGetThrough() throws {
    var limits = HTTP2Limits()
    limits.bufferedRequestBytesMax = 100_000
    let client = try RawClient(limits: limits)
    client.receiver.answer = { $0.exchange.respond(TestReceiver.ok, body: []) }
    let streams = Array(stride(from: 1, to: 401, by: 2)) as [UInt32]
    for round in 1...5 {
      let first = UInt32(round - 1) * 400
      try client.send(streams.map { client.openStream(first + $0) })
      for part in 1...4 {
        for stream in streams {
          try client.send([
            Frame(
              type: Frame.data, flags: part == 4 ? Frame.endStream : 0, stream: first + stream,
              payload: [UInt8](repeating: 1, count: 1_000))
          ])
        }
      }
      let statuses = streams.map { client.status(first + $0) }
      #expect(statuses.prefix(15).allSatisfy { $0 == 200 })
      #expect(statuses.suffix(100).allSatisfy { $0 != 200 })
      let answered = Set(client.frames.filter { $0.type == Frame.headers }.map(\.stream))
      #expect(streams.allSatisfy { answered.contains(first + $0) })
    }
    #expect(client.channel.isActive && client.goAwayCode == nil)
  }

  struct MalformedCase: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var fields: [(String, String)]
    var status: Int?
    var resetCode: UInt32?
  }

  @Test(arguments: [
    MalformedCase(
      testDescription: "a line break in a value",
      fields: [
        (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("x", "a\nb"),
      ], status: 400, resetCode: nil),
    MalformedCase(
      testDescription: "no path",
      fields: [(":method", "GET"), (":scheme", "http"), (":authority", "a")], status: nil,
      resetCode: 1),
    MalformedCase(
      testDescription: "a pseudo header twice",
      fields: [
        (":method", "GET"), (":method", "PUT"), (":scheme", "http"), (":path", "/"),
        (":authority", "a"),
      ], status: nil, resetCode: 1),
    MalformedCase(
      testDescription: "a response's pseudo header",
      fields: [
        (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"),
        (":status", "200"),
      ], status: nil, resetCode: 1),
    MalformedCase(
      testDescription: "a header of HTTP/1.1",
      fields: [
        (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"),
        ("transfer-encoding", "chunked"),
      ], status: nil, resetCode: 1),
    MalformedCase(
      testDescription: "an upper case name",
      fields: [
        (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("X", "1"),
      ], status: nil, resetCode: 1),
  ])
  func aMalformedRequestNeverReachesTheReceiver(_ row: MalformedCase) throws {
    let client = try RawClient()
    try client.send([
      Frame(type: Frame.headers, flags: 5, stream: 1, payload: PlainHPACK.block(row.fields))
    ])
    #expect(client.receiver.received.isEmpty)
    #expect(client.status(1) == row.status)
    #expect(client.resetCode(1) == row.resetCode)
    try client.send([client.openStream(3, endStream: true)])
    #expect(client.receiver.received.count == 1)
  }

  // Time.

  /// For clients that do not answer a PING.
  static let patient: HTTP2Limits = {
    var limits = HTTP2Limits()
    limits.silenceTimeout = .hours(2)
    return limits
  }()

  @Test func aConnectionWithoutPrefaceIsClosed() throws {
    let client = try RawClient(sendsPreface: false)
    try client.send(Array(RawClient.preface.prefix(20)))
    try client.advance(by: .seconds(9))
    #expect(client.channel.isActive)
    try client.advance(by: .seconds(6))
    #expect(!client.channel.isActive)
    #expect(client.events.ends.map(\.code) == [.prefaceTimeout])
  }

  @Test func aRequestThatDoesNotEndIsAnswered408() throws {
    let client = try RawClient()
    try client.send([client.openStream(1), client.openStream(3, endStream: true)])
    for _ in 0..<29 {
      try client.advance(by: .seconds(1))
      try client.send([Frame(type: Frame.data, stream: 1, payload: [1])])
    }
    #expect(client.status(1) == nil)
    try client.advance(by: .seconds(7))
    #expect(client.status(1) == 408)
    #expect(client.resetCode(1) == 0)
    // One that is complete may take as long as its receiver likes.
    #expect(client.receiver.received[0].exchange.isOpen)
    #expect(client.channel.isActive)
  }

  @Test func aHeaderBlockThatDoesNotEndClosesTheConnection() throws {
    let client = try RawClient()
    try client.send([Frame(type: Frame.headers, stream: 1, payload: PlainHPACK.request)])
    try client.advance(by: .seconds(36))
    #expect(!client.channel.isActive)
    #expect(client.goAwayCode == 11)
    #expect(client.events.ends.map(\.code) == [.headerTimeout])
  }

  @Test func aPeerThatReadsNothingIsClosed() throws {
    let client = try RawClient(limits: Self.patient)
    try client.send([client.openStream(1, endStream: true)])
    try client.advance(by: .seconds(100))
    client.channel.isWritable = false
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [1])
    try client.advance(by: .seconds(29))
    #expect(client.channel.isActive)
    #expect(client.status(1) == nil)
    try client.advance(by: .seconds(7))
    #expect(!client.channel.isActive)
    #expect(client.events.ends.map(\.code) == [.writeTimeout])
    #expect(!client.receiver.received[0].exchange.isOpen)
  }

  @Test func aPeerThatReadsSlowlyIsNot() throws {
    let client = try RawClient()
    client.receiver.answer = {
      $0.exchange.respond(TestReceiver.ok, body: [UInt8](repeating: 1, count: 60_000))
    }
    for stream in stride(from: 1, to: 21, by: 2) as StrideTo<UInt32> {
      client.channel.isWritable = false
      try client.send([
        client.openStream(stream, endStream: true),
        Frame(type: Frame.windowUpdate, payload: Frame.number(60_000)),
      ])
      try client.advance(by: .seconds(20))
      #expect(client.status(stream) == nil)
      client.channel.isWritable = true
      client.channel.pipeline.fireChannelWritabilityChanged()
      try client.settle()
      #expect(client.status(stream) == 200)
    }
    #expect(client.channel.isActive)
  }

  @Test func anAnswerThatGetsNoWindowIsResetAlone() throws {
    let client = try RawClient(limits: Self.patient)
    try client.send([
      Frame(type: Frame.settings, payload: Frame.setting(4, 0)),
      client.openStream(1, endStream: true), client.openStream(3, endStream: true),
    ])
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [1])
    try client.settle()
    try client.advance(by: .seconds(29))
    #expect(client.resetCode(1) == nil)
    try client.advance(by: .seconds(12))
    #expect(client.resetCode(1) == 8)
    #expect(client.channel.isActive)
    #expect(client.receiver.received[1].exchange.isOpen)
  }

  @Test func nothingIsReadWhileTooMuchWaitsToBeWritten() throws {
    let loop = EmbeddedEventLoop()
    var limits = HTTP2Limits()
    limits.waitingAnswerBytesMax = 10_000
    let client = try RawClient(limits: limits, loop: loop)
    let reads = ReadCounter()
    try client.channel.pipeline.syncOperations.addHandler(reads, position: .first)
    client.receiver.answer = {
      $0.exchange.respond(TestReceiver.ok, body: [UInt8](repeating: 1, count: 6_000))
    }
    client.channel.isWritable = false
    try client.send([client.openStream(1, endStream: true)])
    client.channel.read()
    #expect(reads.count == 1)
    try client.send([client.openStream(3, endStream: true)])
    client.channel.read()
    client.channel.read()
    #expect(reads.count == 1)
    client.channel.isWritable = true
    client.channel.pipeline.fireChannelWritabilityChanged()
    #expect(reads.count == 2)
    try client.settle()
    #expect(client.status(3) == 200)
  }

  @Test func requestsAreRejectedWhileTooManyAnswersWaitForTheirWindows() throws {
    var limits = HTTP2Limits()
    limits.unsentAnswerBytesMax = 10_000
    let client = try RawClient(limits: limits)
    client.receiver.answer = {
      $0.exchange.respond(TestReceiver.ok, body: [UInt8](repeating: 1, count: 6_000))
    }
    try client.send([Frame(type: Frame.settings, payload: Frame.setting(4, 0))])
    for stream in [1, 3, 5] as [UInt32] {
      try client.send([client.openStream(stream, endStream: true)])
    }
    #expect([1, 3, 5].map { client.status($0) } == [200, 200, 429])
    for stream in [1, 3] as [UInt32] {
      try client.send([
        Frame(type: Frame.windowUpdate, stream: stream, payload: Frame.number(6_000))
      ])
    }
    try client.send([client.openStream(7, endStream: true)])
    #expect(client.status(7) == 200)
  }

  @Test func anIdleConnectionIsClosedWithoutAnError() throws {
    let client = try RawClient()
    client.receiver.echo()
    try client.advance(by: .minutes(9))
    try client.send([client.openStream(1, endStream: true)])
    for _ in 0..<9 {
      try client.advance(by: .minutes(1))
      // Pings keep nothing alive.
      try client.send([Frame(type: Frame.ping, payload: Array(1...8))])
    }
    #expect(client.channel.isActive)
    try client.advance(by: .seconds(65))
    #expect(client.goAwayCode == 0)
    #expect(!client.channel.isActive)
    #expect(client.events.ends.map(\.code) == [.idle])
  }

  @Test func aConnectionWithAWaitingRequestIsNotIdle() throws {
    let client = try RawClient(limits: Self.patient)
    try client.send([client.openStream(1, endStream: true)])
    try client.advance(by: .hours(1))
    #expect(client.channel.isActive)
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [])
    try client.settle()
    #expect(client.status(1) == 200)
  }
}

/// Counts the reads that get through to the channel.
private final class ReadCounter: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer
  var count = 0

  func read(context: ChannelHandlerContext) {
    count += 1
    context.read()
  }
}
