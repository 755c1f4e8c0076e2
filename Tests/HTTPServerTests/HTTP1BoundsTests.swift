import HTTP
import NIOCore
import HTTPServer
import Testing

/// What a peer of HTTP/1.1 can make the server keep or do.
@Suite("Bounds of HTTP/1.1")
struct HTTP1BoundsTests {
  private static let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n"

  // MARK: - Pipelining

  /// Fails every write at once, as a channel does whose peer has reset the connection.
  private final class GonePeer: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      promise?.fail(ChannelError.ioOnClosedChannel)
    }
  }

  @Test("requests behind an answer that cannot be written are dropped")
  func failedWrites() throws {
    let connection = try TestConnection()
    try connection.channel.pipeline.syncOperations.addHandler(GonePeer(), position: .first)
    try connection.send(String(repeating: Self.get, count: 10_000))
    #expect(connection.receiver.requests.count == 1)
    #expect(!connection.isOpen)
  }

  @Test(
    "requests that are answered at once are taken one after the other, not one within the other")
  func noRecursion() throws {
    let connection = try TestConnection()
    let count = 2_000
    try connection.send(String(repeating: Self.get, count: count))
    connection.advance(by: .seconds(1))
    #expect(connection.receiver.requests.count == count)
    #expect(connection.receiver.depthMax == 1)
    #expect(try connection.takeText().ranges(of: "HTTP/1.1 200 OK\r\n").count == count)
    #expect(connection.isOpen)
  }

  @Test("others get their turn while many requests are pipelined, though nothing is due at once")
  func turns() throws {
    let (first, turn) = (HTTP1Limits().readRequestsMax, HTTP1Limits().turnRequestsMax)
    let connection = try TestConnection()
    try connection.send(String(repeating: Self.get, count: first + 3 * turn))
    for count in 0...3 {
      // What is to be done at once is done before the sockets are looked at.
      connection.loop.run()
      #expect(connection.receiver.requests.count == first + count * turn)
      connection.advance(by: Turns.pause)
    }
    #expect(connection.receiver.requests.count == first + 3 * turn)
  }

  @Test("a turn is over in time, however few requests it was")
  func longRequests() throws {
    let connection = try TestConnection()
    let loop = connection.loop
    connection.receiver.takesTime = { loop.advanceTime(by: .milliseconds(1)) }
    try connection.send(String(repeating: Self.get, count: 20))
    #expect(connection.receiver.requests.count < 5)
    connection.receiver.takesTime = {}
    connection.advance(by: .seconds(1))
    #expect(connection.receiver.requests.count == 20)
  }

  /// Counts what the connection asks to read.
  private final class Reads: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    var count = 0

    func read(context: ChannelHandlerContext) {
      count += 1
      context.read()
    }
  }

  @Test("nothing is read while a request is in hand")
  func backPressure() throws {
    let connection = try TestConnection()
    let reads = Reads()
    try connection.channel.pipeline.syncOperations.addHandler(reads, position: .first)
    connection.receiver.answersAtOnce = false
    try connection.send(Self.get)
    let before = reads.count
    for _ in 0..<3 { connection.channel.read() }
    #expect(reads.count == before)
    try #require(connection.receiver.requests.first).answer()
    connection.loop.run()
    #expect(reads.count == before + 1)
  }

  @Test("what comes all the same is kept up to a bound, and what is whole of it is answered")
  func aheadBound() throws {
    let limits = HTTP1Limits()
    let arrivals = RoomBudget()
    let connection = try TestConnection(arrivals: arrivals)
    connection.receiver.answersAtOnce = false
    try connection.send(Self.get)
    let whole = String(repeating: Self.get, count: 3)
    try connection.send(whole + "GET /" + String(repeating: "a", count: limits.aheadBytesMax - 100))
    for _ in 0..<100 { try connection.send(String(repeating: "b", count: 65_536)) }
    #expect(connection.isOpen)
    #expect(arrivals.bytesUsed <= 2 * limits.aheadBytesMax)
    for number in 0..<4 {
      try #require(connection.receiver.requests.count == number + 1)
      connection.receiver.requests[number].answer()
      connection.loop.run()
    }
    #expect(try connection.takeText().ranges(of: "HTTP/1.1 200 OK\r\n").count == 4)
    #expect(!connection.isOpen)
  }

  // MARK: - Blanks and other things that count in no list

  struct Endless: Sendable, CustomTestStringConvertible {
    var start: String
    var part: String
    var status: Int

    var testDescription: String { "\(start.debugDescription), then \(part.debugDescription)" }
  }

  static let endlessInputs: [Endless] = [
    Endless(start: "GET / HTTP/1.1\r\nA:", part: " ", status: 431),
    Endless(start: "GET / HTTP/1.1\r\nA:", part: "\t", status: 431),
    Endless(start: "GET / HTTP/1.1\r\nA: b", part: " ", status: 431),
    Endless(start: "GET / HTTP/1.1\r\nContent-Length:", part: " ", status: 431),
    Endless(start: "GET / HTTP/1.1\r\n", part: "a", status: 431),
    Endless(start: "GET / HTTP/1.1\r\n", part: "a:\r\n", status: 431),
    Endless(start: "GET / HTTP/1.1\r\n", part: "a:   \t   \r\n", status: 431),
    Endless(start: "GET", part: " ", status: 431),
    Endless(start: "GET /", part: " ", status: 431),
    Endless(start: "GET /", part: "a", status: 431),
    Endless(start: "G", part: "G", status: 400),
    Endless(start: chunks + "0\r\nA:", part: " ", status: 431),
    Endless(start: chunks + "0\r\n", part: "a: b\r\n", status: 431),
    Endless(start: chunks + "5", part: " ", status: 400),
    Endless(start: chunks + "5;", part: "a", status: 431),
    Endless(start: chunks, part: "0", status: 431),
    Endless(start: chunks + "8000000000000000\r\n", part: "x", status: 413),
    Endless(start: chunks, part: "1;a=b\r\nx\r\n", status: 413),
  ]
  private static let chunks = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"

  @Test("what does not end is refused before it takes much room", arguments: endlessInputs)
  func refusesWhatDoesNotEnd(_ endless: Endless) throws {
    var limits = HTTP1Limits()
    limits.requestBodyBytesMax = 10_000
    let connection = try TestConnection(http1: limits)
    try connection.send(endless.start)
    let piece = String(repeating: endless.part, count: 4_096 / endless.part.utf8.count)
    var sent = 0
    while connection.isOpen, sent < 1 << 20 {
      try connection.send(piece)
      sent += piece.utf8.count
    }
    #expect(!connection.isOpen && sent <= 4 * limits.headBytesMax, "\(sent) bytes were taken")
    #expect(try connection.takeText().hasPrefix("HTTP/1.1 \(endless.status) "))
    #expect(connection.receiver.requests.isEmpty)
  }

  @Test("header fields with many blanks are refused as too large, though they end")
  func blanksThatEnd() throws {
    let connection = try TestConnection()
    let blanks = String(repeating: " ", count: 40_000)
    try connection.send("GET / HTTP/1.1\r\nhost: a\r\nA:\(blanks)b\r\n\r\n")
    #expect(try connection.takeText().hasPrefix("HTTP/1.1 431 "))
  }

  @Test("trailers are dropped")
  func trailers() throws {
    let connection = try TestConnection()
    try connection.send(Self.chunks + "1\r\nx\r\n0\r\nx-late: 1\r\n\r\n" + Self.get)
    #expect(connection.receiver.requests.map(\.body) == [Array("x".utf8), []])
    #expect(connection.receiver.requests[0].head.value(of: "x-late") == nil)
  }

  // MARK: - The budget of all connections

  @Test(
    "what is arriving is counted with all connections', and given back when it is complete or gone")
  func budget() throws {
    let arrivals = RoomBudget()
    let connection = try TestConnection(arrivals: arrivals)
    let half = String(repeating: "x", count: 100_000)
    for length in ["content-length: 200000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n30d40\r\n"]
    {
      try connection.send("POST / HTTP/1.1\r\nhost: a\r\n\(length)\(half)")
      #expect(arrivals.bytesUsed >= 96_000)
      try connection.send(half + (length.hasPrefix("t") ? "\r\n0\r\n\r\n" : ""))
      #expect(arrivals.bytesUsed == 0)
      #expect(connection.receiver.requests.last?.body.count == 200_000)
    }
    try connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n\(half)")
    connection.channel.close(promise: nil)
    connection.loop.run()
    #expect(arrivals.bytesUsed == 0)
  }

  @Test("what waits behind a request counts as well")
  func budgetOfPipelinedRequests() throws {
    let arrivals = RoomBudget()
    let connection = try TestConnection(arrivals: arrivals)
    connection.receiver.answersAtOnce = false
    try connection.send(String(repeating: Self.get, count: 2_000))
    #expect(arrivals.bytesUsed >= 40_000)
    connection.receiver.answersAtOnce = true
    connection.receiver.requests[0].answer()
    connection.advance(by: .seconds(1))
    #expect(connection.receiver.requests.count == 2_000)
    #expect(arrivals.bytesUsed == 0)
  }

  @Test("where there is no room, a request that is arriving is refused, and small ones go on")
  func noRoom() throws {
    let arrivals = RoomBudget(bytesMax: 1 << 20)
    let greedy = try TestConnection(arrivals: arrivals)
    try greedy.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n")
    for _ in 0..<20 { try greedy.send(String(repeating: "x", count: 16_384)) }
    #expect(try greedy.takeText().hasPrefix("HTTP/1.1 429 "))
    #expect(!greedy.isOpen && arrivals.bytesUsed == 0)
    let modest = try TestConnection(arrivals: arrivals)
    try modest.send(Self.get)
    #expect(modest.receiver.requests.count == 1 && modest.isOpen)
  }

  // MARK: - Upgrades

  @Test(
    "an upgrade that is offered is ignored, and the connection goes on",
    arguments: [
      "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
      "connection: upgrade\r\nupgrade: anything\r\n",
      "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
    ], ["", "content-length: 2\r\n\r\n{}"])
  func upgrade(_ offer: String, _ body: String) throws {
    let connection = try TestConnection()
    let request = "POST / HTTP/1.1\r\nhost: a\r\n\(offer)\(body.isEmpty ? "\r\n" : body)"
    for _ in 1...3 {
      try connection.send(request)
      #expect(
        try connection.takeText()
          == "HTTP/1.1 200 OK\r\nx-answer: yes\r\ncontent-length: 4\r\n\r\nfine")
    }
    // Pipelined as well.
    try connection.send(request + request)
    #expect(connection.receiver.requests.count == 5)
    #expect(connection.isOpen)
  }

  @Test("CONNECT is answered, and nothing behind it is looked at")
  func connect() throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send("CONNECT a:80 HTTP/1.1\r\nhost: a\r\ncontent-length: 30\r\n\r\n" + Self.get)
    for _ in 0..<100 { try connection.send(String(repeating: "A", count: 65_536)) }
    let request = try #require(connection.receiver.requests.first)
    #expect(request.method == "CONNECT" && request.path == "a:80" && request.body.isEmpty)
    request.answer(status: 404)
    let answer = try connection.takeText()
    #expect(answer.hasPrefix("HTTP/1.1 404 Not Found\r\n"))
    #expect(answer.contains("\r\nconnection: close\r\n"))
    #expect(connection.receiver.requests.count == 1)
    #expect(!connection.isOpen)
  }

  // MARK: - Time

  @Test(
    "every request on a connection has to arrive in time", arguments: ["G", "GET / HTTP/1.1\r\n"])
  func slowSecondRequest(_ start: String) throws {
    let limits = HTTP1Limits()
    let connection = try TestConnection()
    try connection.send(Self.get)
    try connection.send(start)
    connection.advance(by: limits.requestTimeout)
    #expect(connection.isOpen)
    connection.advance(by: limits.checkInterval)
    #expect(!connection.isOpen)
  }

  @Test("empty lines in front of a request are no request, and do not keep a connection")
  func emptyLines() throws {
    let limits = HTTP1Limits()
    let connection = try TestConnection()
    try connection.send(Self.get)
    while connection.isOpen {
      try connection.send(String(repeating: "\r\n", count: 10_000))
      connection.advance(by: limits.checkInterval)
      try #require(connection.loop.now < NIODeadline.uptimeNanoseconds(1_000_000_000_000))
    }
    #expect(connection.loop.now >= .uptimeNanoseconds(0) + limits.idleTimeout)
    #expect(connection.receiver.requests.count == 1)
  }
}
