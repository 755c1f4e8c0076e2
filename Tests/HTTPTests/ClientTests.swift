import HTTP
import NIOCore
import NIOEmbedded
import Testing

/// A server that sends whatever bytes a test likes.
final class RawServer {
  let loop = EmbeddedEventLoop()
  let events = ClientRecorder()
  let client: HTTP2ClientHandler
  let channel: EmbeddedChannel
  /// All that the client has sent after its preface.
  var frames: [Frame] = []

  init(limits: HTTP2Limits = HTTP2Limits(), settings: [UInt8] = []) throws {
    client = HTTP2ClientHandler(
      authority: "test", offer: Fixtures.clientOffer, limits: limits, grease: .none,
      events: events)
    channel = try .active(client, loop: loop)
    frames = Frame.parse(Array(try channel.takeWrites().flatMap { $0 }.dropFirst(24)))
    try send([Frame(type: Frame.settings, payload: settings)])
  }

  deinit {
    channel.close(promise: nil)
    loop.run()
  }

  func send(_ frames: [Frame]) throws {
    if channel.isActive { try channel.writeInbound(ByteBuffer(bytes: frames.flatMap(\.bytes))) }
    try settle()
  }

  func settle() throws {
    loop.run()
    frames += Frame.parse(try channel.takeWrites().flatMap { $0 })
  }

  func request(body: [UInt8] = []) throws -> Outcome {
    let outcome = Outcome()
    outcome.id = client.send(
      method: "POST", path: "/", fields: [], body: body, completion: outcome.set)
    try settle()
    return outcome
  }

  static func headers(
    _ stream: UInt32, _ fields: [(String, String)] = [(":status", "200")], endStream: Bool = false
  ) -> Frame {
    Frame(
      type: Frame.headers, flags: Frame.endHeaders | (endStream ? Frame.endStream : 0),
      stream: stream, payload: PlainHPACK.block(fields))
  }

  static func data(_ stream: UInt32, _ bytes: [UInt8], endStream: Bool = true) -> Frame {
    Frame(type: Frame.data, flags: endStream ? 1 : 0, stream: stream, payload: bytes)
  }

  static func goAway(last: UInt32, code: UInt32 = 0) -> Frame {
    Frame(type: Frame.goAway, payload: Frame.number(last) + Frame.number(code))
  }

  static func reset(_ stream: UInt32, _ code: UInt32) -> Frame {
    Frame(type: Frame.reset, stream: stream, payload: Frame.number(code))
  }
}

@Suite struct ClientTests {
  @Test func interimResponsesAndTrailersAreDropped() throws {
    let server = try RawServer()
    let outcome = try server.request()
    try server.send([
      RawServer.headers(1, [(":status", "103"), ("link", "early")]),
      RawServer.headers(1, [(":status", "100")]),
      RawServer.headers(1, [(":status", "404"), ("x", "final")]),
      RawServer.data(1, [1, 2], endStream: false),
      RawServer.headers(1, [("x-trailer", "1")], endStream: true),
    ])
    let response = try #require(outcome.response)
    #expect(response.status == 404)
    #expect(response.body == [1, 2])
    #expect(response.headers.count == 2)
    #expect(response.headers.value(of: "x") == "final")
  }

  struct FailureCase: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var code: HTTP2ClientError.Code
    var frames: [Frame]
    /// What the client resets the stream with.
    var reset: UInt32?
  }

  @Test(arguments: [
    FailureCase(
      testDescription: "refused", code: .refusedBeforeProcessing, frames: [RawServer.reset(1, 7)]),
    FailureCase(testDescription: "reset", code: .reset, frames: [RawServer.reset(1, 2)]),
    FailureCase(
      testDescription: "reset in the response", code: .reset,
      frames: [RawServer.headers(1), RawServer.reset(1, 8)]),
    FailureCase(
      testDescription: "reset without an error before the response's end", code: .reset,
      frames: [RawServer.headers(1), RawServer.reset(1, 0)]),
    FailureCase(
      testDescription: "no status", code: .protocolError,
      frames: [RawServer.headers(1, [("x", "1")])], reset: 1),
    FailureCase(
      testDescription: "an invalid field", code: .protocolError,
      frames: [RawServer.headers(1, [(":status", "200"), ("x", "a\nb")])], reset: 1),
    FailureCase(
      testDescription: "a body that is shorter than announced", code: .protocolError,
      frames: [
        RawServer.headers(1, [(":status", "200"), ("content-length", "5")]),
        RawServer.data(1, [1]),
      ], reset: 1),
    FailureCase(
      testDescription: "headers above the bound", code: .responseTooLarge,
      frames: [
        RawServer.headers(
          1, [(":status", "200")] + (0..<600).map { ("x-\($0)", "") }, endStream: true)
      ], reset: 8),
    FailureCase(
      testDescription: "a body above the bound", code: .responseTooLarge,
      frames: [
        RawServer.headers(1), RawServer.data(1, [UInt8](repeating: 1, count: 1_000)),
      ], reset: 8),
    FailureCase(
      testDescription: "GOAWAY below it", code: .refusedBeforeProcessing,
      frames: [RawServer.goAway(last: 0, code: 11)]),
    FailureCase(
      testDescription: "garbage", code: .connectionClosed,
      frames: [Frame(type: Frame.ping, payload: [1])]),
  ])
  func aRequestFailsOnceAndWithItsReason(_ row: FailureCase) throws {
    var limits = HTTP2Limits()
    limits.responseBodyBytesMax = 999
    let server = try RawServer(limits: limits)
    let outcome = try server.request()
    try server.send(row.frames)
    #expect(outcome.error?.code == row.code)
    #expect(server.frames.first { $0.type == Frame.reset }?.number() == row.reset)
    server.channel.close(promise: nil)
    try server.settle()
    #expect(outcome.results.count == 1)
    #expect(server.events.ends.count == 1)
    #expect(server.client.requestCount == 0)
  }

  @Test func goAwayTellsWhichRequestsAreSafeToRetry() throws {
    let server = try RawServer(settings: Frame.setting(3, 2))
    let outcomes = try (0..<3).map { _ in try server.request() }
    #expect(server.frames.filter { $0.type == Frame.headers }.map(\.stream) == [1, 3])
    try server.send([RawServer.goAway(last: 1)])
    #expect(outcomes[0].results.isEmpty)
    #expect(outcomes[1].error?.code == .refusedBeforeProcessing)
    // It was never sent.
    #expect(outcomes[2].error?.code == .refusedBeforeProcessing)
    #expect(!server.client.isUsable)
    try server.send([RawServer.headers(1), RawServer.data(1, [9])])
    #expect(outcomes[0].response?.body == [9])
    #expect(!server.channel.isActive)
    #expect(server.events.ends.map(\.code) == [.goAway])
    #expect(server.events.goAways == [1])
  }

  @Test func theFirstGoAwayOfAGracefulShutdownLetsSentRequestsFinish() throws {
    let server = try RawServer(settings: Frame.setting(3, 1))
    let sent = try server.request()
    let waiting = try server.request()
    try server.send([RawServer.goAway(last: 0x7fff_ffff)])
    #expect(sent.results.isEmpty)
    #expect(waiting.error?.code == .refusedBeforeProcessing)
    try server.send([RawServer.headers(1, endStream: true)])
    #expect(sent.response?.status == 200)
  }

  @Test func aClosedConnectionFailsWhatWasSentAndWhatWasNot() throws {
    let server = try RawServer(settings: Frame.setting(3, 1))
    let sent = try server.request()
    let waiting = try server.request()
    server.channel.close(promise: nil)
    try server.settle()
    #expect(sent.error?.code == .connectionClosed)
    #expect(waiting.error?.code == .refusedBeforeProcessing)
    #expect(sent.error?.cause is HTTP2ConnectionEnd)
    #expect(try server.request().error?.code == .refusedBeforeProcessing)
  }

  @Test func aCancelledRequestIsResetAndTheNextOneGoesOut() throws {
    let server = try RawServer(settings: Frame.setting(3, 1))
    let outcomes = try (0..<3).map { _ in try server.request() }
    // One that waits for a stream, and the one that has it.
    for index in [1, 0] {
      server.client.cancel(try #require(outcomes[index].id))
      #expect(outcomes[index].error?.code == .cancelled)
      server.client.cancel(try #require(outcomes[index].id))
    }
    try server.settle()
    #expect(server.frames.filter { $0.type == Frame.headers }.map(\.stream) == [1, 5])
    #expect(server.frames.filter { $0.type == Frame.reset } == [RawServer.reset(1, 8)])
    // The answer was on its way.
    try server.send([RawServer.headers(1, endStream: true), RawServer.headers(5, endStream: true)])
    #expect(outcomes[0].results.count == 1)
    #expect(outcomes[2].response?.status == 200)
  }

  @Test func manyCancelledRequestsDoNotEndTheConnection() throws {
    let pair = try Pair()
    pair.receiver.echo()
    for _ in 0..<300 {
      pair.client.cancel(try #require(pair.send().id))
      try pair.settle()
    }
    let server = try RawServer()
    for _ in 0..<3_000 {
      let outcome = try server.request()
      server.client.cancel(try #require(outcome.id))
      try server.settle()
    }
    #expect(pair.client.isUsable)
    #expect(server.client.isUsable)
  }

  @Test func anAnswerToAnUnfinishedUploadIsTheResponse() throws {
    let server = try RawServer()
    let outcome = try server.request(body: [UInt8](repeating: 1, count: 100_000))
    try server.send([RawServer.headers(1, [(":status", "413")], endStream: true)])
    #expect(outcome.response?.status == 413)
    #expect(server.frames.last == RawServer.reset(1, 8))
    #expect(server.client.isUsable)
  }

  @Test func aCompletionMaySendTheNextRequest() throws {
    let pair = try Pair()
    pair.receiver.echo()
    var results: [Int] = []
    func next() {
      pair.client.send(method: "POST", path: "/", fields: [], body: [UInt8(results.count)]) {
        results.append(Int((try? $0.get())?.body.first ?? 99))
        if results.count < 10 { next() }
      }
    }
    next()
    try pair.settle()
    #expect(results == Array(0..<10))
  }

  @Test func requestsAreBounded() throws {
    var limits = HTTP2Limits()
    limits.clientRequestsMax = 2
    let pair = try Pair(limits: limits)
    let outcomes = (0..<3).map { _ in pair.send() }
    #expect(outcomes[2].error?.code == .tooManyRequests)
    #expect(outcomes[1].results.isEmpty)
  }

  @Test func aPingTellsWhetherTheServerIsThere() throws {
    let pair = try Pair()
    try pair.settle()
    var answers: [Bool] = []
    pair.client.ping { answers.append($0) }
    #expect(answers.isEmpty)
    try pair.settle()
    #expect(answers == [true])
    pair.client.ping { answers.append($0) }
    pair.clientChannel.close(promise: nil)
    pair.loop.run()
    #expect(answers == [true, false])
    pair.client.ping { answers.append($0) }
    #expect(answers == [true, false, false])
  }

  @Test func pingsAreBounded() throws {
    let server = try RawServer()
    var answers: [Bool] = []
    for _ in 0..<17 { server.client.ping { answers.append($0) } }
    #expect(answers == [false])
  }

  @Test func aServerThatSpeaksSomethingElseIsLeft() throws {
    let loop = EmbeddedEventLoop()
    let events = ClientRecorder()
    let client = HTTP2ClientHandler(
      authority: "test", offer: Fixtures.clientOffer, limits: HTTP2Limits(), grease: .none,
      events: events)
    let channel = try EmbeddedChannel.active(client, loop: loop)
    let outcome = Outcome()
    client.send(method: "POST", path: "/", fields: [], body: [], completion: outcome.set)
    loop.run()
    try channel.writeInbound(ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\n\r\n"))
    loop.run()
    #expect(!channel.isActive)
    #expect(events.ends.map(\.code) == [.protocolError])
    #expect(outcome.error?.code == .connectionClosed)
  }

  @Test func aSilentServerIsLeft() throws {
    let loop = EmbeddedEventLoop()
    let events = ClientRecorder()
    let client = HTTP2ClientHandler(
      authority: "test", offer: Fixtures.clientOffer, limits: HTTP2Limits(), grease: .none,
      events: events)
    let channel = try EmbeddedChannel.active(client, loop: loop)
    loop.advanceTime(by: .seconds(16))
    #expect(!channel.isActive)
    #expect(events.ends.map(\.code) == [.prefaceTimeout])
  }
}
