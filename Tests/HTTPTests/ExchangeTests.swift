import HTTP
import NIOCore
import NIOEmbedded
import Testing

@Suite struct ExchangeTests {
  @Test func aRequestArrivesAsItWasSentAndSoDoesItsAnswer() throws {
    let pair = try Pair()
    pair.receiver.answer = {
      let headers = ResponseHeaders(
        status: 503, fields: [("Retry-After", "1"), ("latchkey-wire", "1-3")])
      $0.exchange.respond(headers, body: Array("later".utf8))
    }
    let outcome = pair.send(
      "/latchkey.v1.Locks/Lock", body: Array("{}".utf8),
      fields: [("content-type", "application/json"), ("empty", "")])
    try pair.settle()

    let request = try #require(pair.receiver.received.first)
    #expect(request.head.value(of: ":method") == "POST")
    #expect(request.head.value(of: ":scheme") == "http")
    #expect(request.head.value(of: ":authority") == "test")
    #expect(request.path == "/latchkey.v1.Locks/Lock")
    #expect(request.head.value(of: "content-type") == "application/json")
    #expect(request.head.value(of: "empty") == "")
    #expect(request.head.value(of: "absent") == nil)
    #expect(request.body == Array("{}".utf8))
    let response = try #require(outcome.response)
    #expect(response.status == 503)
    #expect(response.headers.value(of: "retry-after") == "1")
    #expect(response.headers.value(of: "latchkey-wire") == "1-3")
    #expect(response.body == Array("later".utf8))
  }

  // A client that asked with HEAD takes DATA frames for a broken peer.
  @Test(arguments: [(padding: 1, status: 200), (padding: 10_000, status: 431)])
  func anAnswerToHeadHasNoBody(padding: Int, status: Int) throws {
    var limits = HTTP2Limits()
    limits.headerListBytesMax = 5_000
    let client = try RawClient(limits: limits)
    client.receiver.answer = { $0.exchange.respond(TestReceiver.ok, body: [1]) }
    let head = PlainHPACK.block([
      (":method", "HEAD"), (":scheme", "http"), (":path", "/raw"), (":authority", "test"),
      ("padding", String(repeating: "a", count: padding)),
    ])
    try client.send([
      Frame(
        type: Frame.headers, flags: Frame.endHeaders | Frame.endStream, stream: 1, payload: head)
    ])
    let answer = client.frames.filter { $0.stream == 1 }
    #expect(answer.map(\.type) == [Frame.headers])
    #expect(answer.map { $0.flags & Frame.endStream } == [Frame.endStream])
    #expect(client.status(1) == status)
  }

  private final class Watcher: ExchangeWatcher {
    private(set) var ends = 0

    func exchangeEnded() { ends += 1 }
  }

  enum Ending: CaseIterable { case answered, cancelled, disconnected }

  @Test(arguments: Ending.allCases)
  func theEndOfAnExchangeIsToldOnce(_ ending: Ending) throws {
    let pair = try Pair()
    let outcome = pair.send()
    try pair.settle()
    let exchange = try #require(pair.receiver.received.first).exchange
    let watcher = Watcher()
    exchange.tellEnd(to: watcher)
    #expect(watcher.ends == 0)
    switch ending {
    case .answered: exchange.respond(TestReceiver.ok, body: [1])
    case .cancelled: pair.client.cancel(try #require(outcome.id))
    case .disconnected: pair.clientChannel.close(promise: nil)
    }
    try pair.settle()
    #expect(watcher.ends == 1)
    let late = Watcher()
    exchange.tellEnd(to: late)
    #expect(late.ends == 1)
  }

  @Test func anAnswerThatWaitsForFlowControlIsNoEnd() throws {
    var small = HTTP2Limits()
    small.clientStreamWindowBytes = 0
    let pair = try Pair(clientLimits: small)
    let outcome = pair.send()
    try pair.settle()
    let exchange = try #require(pair.receiver.received.first).exchange
    let watcher = Watcher()
    exchange.tellEnd(to: watcher)
    exchange.respond(TestReceiver.ok, body: [1])
    try pair.settle()
    #expect(watcher.ends == 0 && outcome.results.isEmpty)
    pair.client.cancel(try #require(outcome.id))
    try pair.settle()
    #expect(watcher.ends == 1)
  }

  @Test func aBatchOfAnswersIsOneWrite() throws {
    let pair = try Pair()
    let outcomes = (0..<50).map { _ in pair.send() }
    try pair.settle()
    for request in pair.receiver.received {
      request.exchange.respond(TestReceiver.ok, body: [1])
    }
    pair.loop.run()
    let writes = try pair.serverChannel.takeWrites()
    #expect(writes.count == 1)
    for write in writes { try pair.clientChannel.writeInbound(ByteBuffer(bytes: write)) }
    #expect(outcomes.allSatisfy { $0.response?.body == [1] })
  }

  @Test func answersInPlaceAreOneWriteAtTheReadsEnd() throws {
    let client = try RawClient()
    client.receiver.echo()
    client.frames = []
    let requests = (0..<20 as Range<UInt32>).map { client.openStream(1 + 2 * $0, endStream: true) }
    try client.channel.writeInbound(ByteBuffer(bytes: requests.flatMap(\.bytes)))
    let writes = try client.channel.takeWrites()
    #expect(writes.count == 1)
    #expect(Frame.parse(writes[0]).count { $0.type == Frame.headers } == 20)
  }

  @Test func onlyTheFirstAnswerCounts() throws {
    let pair = try Pair()
    let outcome = pair.send()
    try pair.settle()
    let exchange = pair.receiver.received[0].exchange
    #expect(exchange.isOpen)
    exchange.respond(TestReceiver.ok, body: [1])
    #expect(!exchange.isOpen)
    exchange.respond(TestReceiver.ok, body: [2])
    try pair.settle()
    exchange.respond(TestReceiver.ok, body: [3])
    try pair.settle()
    #expect(outcome.response?.body == [1])
  }

  @Test func anAnswerAfterAResetIsHarmless() throws {
    let pair = try Pair()
    let cancelled = pair.send("/cancelled")
    let other = pair.send("/other")
    try pair.settle()
    pair.client.cancel(try #require(cancelled.id))
    #expect(cancelled.error?.code == .cancelled)
    try pair.settle()
    let exchange = pair.receiver.received[0].exchange
    #expect(!exchange.isOpen)
    exchange.respond(TestReceiver.ok, body: [1])
    pair.receiver.received[1].exchange.respond(TestReceiver.ok, body: [2])
    try pair.settle()
    #expect(cancelled.results.count == 1)
    #expect(other.response?.body == [2])
  }

  @Test func anAnswerAfterTheConnectionsEndIsHarmless() throws {
    let pair = try Pair()
    let outcome = pair.send()
    try pair.settle()
    pair.clientChannel.close(promise: nil)
    try pair.settle()
    let exchange = pair.receiver.received[0].exchange
    #expect(!exchange.isOpen)
    exchange.respond(TestReceiver.ok, body: [1])
    try pair.settle()
    #expect(outcome.error?.code == .connectionClosed)
    #expect(pair.serverEvents.ends.map(\.code) == [.closed])
    #expect(pair.clientEvents.ends.map(\.code) == [.closed])
  }

  @Test func anAnswerThatWasResetBeforeItWasWrittenIsDropped() throws {
    let client = try RawClient()
    try client.send([client.openStream(1, endStream: true)])
    client.channel.isWritable = false
    // Made for this answer only: nothing keeps it but the stream.
    client.receiver.received[0].exchange.respond(
      ResponseHeaders(status: 200, fields: [("x-only", "here")]), body: [1])
    weak let exchange = client.receiver.received[0].exchange
    client.receiver.received = []
    #expect(exchange != nil)
    try client.send([
      Frame(type: Frame.reset, stream: 1, payload: Frame.number(8)),
      client.openStream(3, endStream: true),
    ])
    client.channel.isWritable = true
    client.channel.pipeline.fireChannelWritabilityChanged()
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [3])
    try client.settle()
    #expect(client.status(1) == nil)
    #expect(client.status(3) == 200)
    #expect(exchange == nil)
    #expect(client.channel.isActive)
  }

  @Test(arguments: [1, 16_384, 100_000, 524_288])
  func bodiesPassBothWays(size: Int) throws {
    let pair = try Pair()
    pair.receiver.echo()
    let body = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let outcome = pair.send(body: body)
    try pair.settle()
    #expect(outcome.response?.body == body)
  }

  @Test func aLargeAnswerWaitsForItsWindowAndBlocksNobody() throws {
    let pair = try Pair()
    let large = [UInt8](repeating: 7, count: 10 << 20)
    pair.receiver.answer = {
      $0.exchange.respond(TestReceiver.ok, body: $0.path == "/large" ? large : [1])
    }
    let first = pair.send("/large")
    // One round trip: the answer stops at the client's window.
    pair.loop.run()
    for write in try pair.clientChannel.takeWrites() {
      try pair.serverChannel.writeInbound(ByteBuffer(bytes: write))
    }
    let small = pair.send("/small")
    try pair.settle()
    #expect(small.response?.body == [1])
    #expect(first.response?.body.count == large.count)
  }

  @Test func anAnswerWithoutWindowLetsOthersPass() throws {
    let client = try RawClient()
    client.receiver.answer = {
      $0.exchange.respond(TestReceiver.ok, body: [UInt8](repeating: 1, count: 5))
    }
    try client.send([
      Frame(type: Frame.settings, payload: Frame.setting(4, 0)),
      client.openStream(1, endStream: true), client.openStream(3, endStream: true),
      Frame(type: Frame.windowUpdate, stream: 3, payload: Frame.number(5)),
    ])
    #expect(client.status(1) == 200)
    #expect(client.frames.filter { $0.type == Frame.data }.map(\.stream) == [3])
    try client.send([Frame(type: Frame.windowUpdate, stream: 1, payload: Frame.number(5))])
    #expect(client.frames.filter { $0.type == Frame.data }.map(\.stream) == [3, 1])
  }

  struct RequestCase: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var fields: [(String, String)]
  }

  @Test(arguments: [
    RequestCase(
      testDescription: "HEAD",
      fields: [
        (":method", "HEAD"), (":scheme", "http"), (":path", "/x"), (":authority", "a"),
      ]),
    RequestCase(
      testDescription: "CONNECT", fields: [(":method", "CONNECT"), (":authority", "a:1")]),
    RequestCase(
      testDescription: "an unknown method",
      fields: [
        (":method", "BREW"), (":scheme", "http"), (":path", "/x"), (":authority", "a"),
      ]),
  ])
  func whateverIsAValidRequestReachesTheReceiver(_ row: RequestCase) throws {
    let client = try RawClient()
    try client.send([
      Frame(
        type: Frame.headers, flags: Frame.endHeaders | Frame.endStream, stream: 1,
        payload: PlainHPACK.block(row.fields))
    ])
    let method = client.receiver.received.first?.head.value(of: ":method")
    #expect(method == row.fields[0].1)
    client.receiver.received.first?.exchange.respond(TestReceiver.ok, body: [])
    try client.settle()
    #expect(client.status(1) == 200)
  }

  @Test func trailersAreDropped() throws {
    let client = try RawClient()
    try client.send([
      client.openStream(1), Frame(type: Frame.data, stream: 1, payload: [1, 2, 3]),
      Frame(
        type: Frame.headers, flags: Frame.endHeaders | Frame.endStream, stream: 1,
        payload: PlainHPACK.block([("x-trailer", "1")])),
    ])
    let request = try #require(client.receiver.received.first)
    #expect(request.body == [1, 2, 3])
    #expect(request.head.value(of: "x-trailer") == nil)
    #expect(request.head.count == 4)
  }

  @Test func aHeaderBlockKeepsOrderCountsAndCopiesApart() {
    var block = HeaderBlock()
    for index in 0..<100 { block.append("name-\(index)", String(repeating: "v", count: index)) }
    block.append("name-7", "second")
    let copy = block
    block.append("after", "copy")
    #expect(copy.count == 101)
    #expect(copy.value(of: "after") == nil)
    #expect(block.value(of: "after") == "copy")
    #expect(copy.value(of: "name-7") == "vvvvvvv")
    #expect(copy.value(of: "name-0") == "")
    var names: [String] = []
    var size = 0
    copy.withFields { fields in
      for (name, value) in fields {
        names.append(String(decoding: name, as: UTF8.self))
        size += name.count + value.count + 32
      }
    }
    #expect(names.prefix(3) == ["name-0", "name-1", "name-2"])
    #expect(size == copy.byteCount)
  }

  @Test func aValueThatIsNotTextHasNoString() {
    var block = HeaderBlock()
    let (name, value) = (Array("x".utf8), [0xff, 0xfe] as [UInt8])
    name.withUnsafeBytes { name in value.withUnsafeBytes { block.append(name, $0) } }
    #expect(block.value(of: "x") == nil)
    #expect(block.withValue(of: "x") { $0.map(Array.init) } == value)
  }
}
