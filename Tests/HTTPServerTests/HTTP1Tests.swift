import HTTP
import NIOCore
import HTTPServer
import Testing

@Suite("HTTP/1.1")
struct HTTP1Tests {
  private static func post(_ path: String, _ body: String, _ fields: String = "") -> String {
    "POST \(path) HTTP/1.1\r\nhost: a\r\n\(fields)content-length: \(body.utf8.count)\r\n\r\n\(body)"
  }

  @Test("a request is handed on as HTTP/2's would be, and its answer is complete")
  func exchange() throws {
    let connection = try TestConnection()
    try connection.send(Self.post("/p?q", "body", "X-Mixed: Case\r\n"))
    let request = try #require(connection.receiver.requests.first)
    #expect(request.method == "POST" && request.path == "/p?q")
    #expect(request.head.value(of: "x-mixed") == "Case")
    #expect(request.body == Array("body".utf8))
    #expect(
      try connection.takeText()
        == "HTTP/1.1 200 OK\r\nx-answer: yes\r\ncontent-length: 4\r\n\r\nfine")
    #expect(connection.isOpen)
  }

  @Test("a body in chunks is put together")
  func chunks() throws {
    let connection = try TestConnection()
    try connection.send(
      "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    #expect(connection.receiver.requests.isEmpty)
    try connection.send("2\r\nde\r\n0\r\n\r\n")
    #expect(connection.receiver.requests.map(\.body) == [Array("abcde".utf8)])
  }

  @Test("requests on one connection are answered one after the other")
  func keepAlive() throws {
    let connection = try TestConnection()
    for number in 1...3 {
      try connection.send(Self.post("/\(number)", ""))
      #expect(try connection.takeText().hasSuffix("fine"))
    }
    #expect(connection.receiver.requests.map(\.path) == ["/1", "/2", "/3"])
    #expect(connection.isOpen)
  }

  @Test("pipelined requests wait for their turn")
  func pipelining() throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send((1...3).map { Self.post("/\($0)", "") }.joined())
    for number in 1...3 {
      #expect(connection.receiver.requests.map(\.path) == (1...number).map { "/\($0)" })
      connection.receiver.requests[number - 1].answer("answer \(number)")
      #expect(try connection.takeText().hasSuffix("answer \(number)"))
    }
    #expect(connection.isOpen)
  }

  @Test(
    "the connection ends after the answer where the client wants that",
    arguments: [
      "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n",
    ])
  func close(_ text: String) throws {
    let connection = try TestConnection()
    try connection.send(text)
    let answer = try connection.takeText()
    #expect(answer.contains("\r\nconnection: close\r\n") && answer.hasSuffix("fine"))
    #expect(!connection.isOpen)
  }

  @Test("HEAD is answered without a body, but with its length")
  func head() throws {
    let connection = try TestConnection()
    try connection.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
    #expect(
      try connection.takeText()
        == "HTTP/1.1 200 OK\r\nx-answer: yes\r\ncontent-length: 4\r\n\r\n")
    try connection.send(Self.post("/", ""))
    #expect(try connection.takeText().hasSuffix("fine"))
  }

  @Test("a client that asks whether to go on is told so")
  func expectContinue() throws {
    let connection = try TestConnection()
    try connection.send(
      "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    #expect(try connection.takeText() == "HTTP/1.1 100 Continue\r\n\r\n")
    #expect(connection.receiver.requests.isEmpty)
    try connection.send("{}")
    #expect(connection.receiver.requests.map(\.body) == [Array("{}".utf8)])
    #expect(try connection.takeText().hasPrefix("HTTP/1.1 200 OK\r\n"))
  }

  private static var small: HTTP1Limits {
    var limits = HTTP1Limits()
    limits.requestBodyBytesMax = 10
    return limits
  }

  @Test("a body at the bound is taken, in either form")
  func atTheBound() throws {
    let connection = try TestConnection(http1: Self.small)
    try connection.send(Self.post("/", "1234567890"))
    try connection.send(
      "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        + "5\r\n12345\r\n5\r\n67890\r\n0\r\n\r\n")
    #expect(connection.receiver.requests.map(\.body.count) == [10, 10])
    #expect(connection.isOpen)
  }

  @Test(
    "a body over the bound is refused at once, without waiting for its rest",
    arguments: [
      "content-length: 11\r\n\r\n", "content-length: 11\r\nexpect: 100-continue\r\n\r\n",
      "content-length: 999999999999\r\n\r\nabc",
      "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n6\r\n678901\r\n",
      "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n6\r\n678901\r\n1\r\nx\r\n0\r\n\r\n",
    ])
  func tooLarge(_ rest: String) throws {
    let connection = try TestConnection(http1: Self.small)
    try connection.send("POST / HTTP/1.1\r\nhost: a\r\n\(rest)")
    let answer = try connection.takeText()
    #expect(answer.hasPrefix("HTTP/1.1 413 "))
    #expect(
      answer.contains("\r\nx-common: yes\r\n") && answer.contains("\r\nconnection: close\r\n"))
    #expect(answer.contains("\r\n\r\nthe body takes more than"))
    #expect(answer.count(of: "HTTP/1.1 ") == 1)
    #expect(!connection.isOpen)
    #expect(connection.receiver.requests.isEmpty)
  }

  @Test(
    "a request that breaks the rules is answered once",
    arguments: [
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
      "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
      "GET / HTTP/9.9.9\r\n\r\n", "GET  \r\n\r\n",
    ])
  func malformed(_ text: String) throws {
    let connection = try TestConnection()
    try connection.send(text)
    let answer = try connection.takeText()
    #expect(answer.hasPrefix("HTTP/1.1 400 "))
    #expect(answer.count(of: "HTTP/1.1 ") == 1)
    #expect(!connection.isOpen)
  }

  @Test(
    "header fields over either bound are refused before all are here",
    arguments: [
      "x: " + String(repeating: "a", count: 17_000),
      (1...40).map { "x-\($0): " + String(repeating: "a", count: 500) }.joined(separator: "\r\n"),
      (1...513).map { "x-\($0): a" }.joined(separator: "\r\n"),
    ])
  func headersTooLarge(_ fields: String) throws {
    let connection = try TestConnection()
    try connection.send("GET / HTTP/1.1\r\n\(fields)\r\n")
    let answer = try connection.takeText()
    #expect(answer.hasPrefix("HTTP/1.1 431 "))
    #expect(answer.contains("the header fields take more than 16384 bytes"))
    #expect(answer.count(of: "HTTP/1.1 ") == 1)
    #expect(!connection.isOpen)
    #expect(connection.receiver.requests.isEmpty)
  }

  @Test(
    "a target of absolute form is its path",
    arguments: [
      ("http://a/p?q", "/p?q"), ("https://a:1/p", "/p"), ("http://a", "/"), ("/p", "/p"),
      ("*", "*"),
    ])
  func absoluteForm(_ target: String, _ path: String) throws {
    let connection = try TestConnection()
    try connection.send("OPTIONS \(target) HTTP/1.1\r\nhost: a\r\n\r\n")
    #expect(connection.receiver.requests.map(\.path) == [path])
  }

  @Test("a request names one host", arguments: ["x: y", "host: a\r\nhost: a"])
  func hosts(_ fields: String) throws {
    let connection = try TestConnection()
    try connection.send("GET / HTTP/1.1\r\n\(fields)\r\n\r\n")
    #expect(try connection.takeText().hasPrefix("HTTP/1.1 400 "))
    #expect(connection.receiver.requests.isEmpty && !connection.isOpen)
  }

  @Test("a client of HTTP/1.0 is told that the connection is kept")
  func keepAliveOfOldClients() throws {
    let connection = try TestConnection()
    for _ in 1...2 {
      try connection.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
      #expect(try connection.takeText().contains("\r\nconnection: keep-alive\r\n"))
    }
    #expect(connection.isOpen)
  }

  @Test("header fields that take too long to arrive end the connection")
  func slowHead() throws {
    let limits = HTTP1Limits()
    let connection = try TestConnection()
    try connection.send("GET / HTTP/1.1\r\nhost:")
    connection.advance(by: limits.requestTimeout)
    #expect(connection.isOpen)
    connection.advance(by: limits.checkInterval)
    #expect(!connection.isOpen)
  }

  @Test("header fields at the bound are taken")
  func headersAtTheBound() throws {
    let connection = try TestConnection()
    let fields = (1...511).map { "x-\($0): a" }.joined(separator: "\r\n")
    try connection.send("GET / HTTP/1.1\r\nhost: a\r\n\(fields)\r\n\r\n")
    // Path, names and values are 1 + 5 + 1 + 16,377 bytes.
    let value = String(repeating: "a", count: 16_377)
    try connection.send("GET / HTTP/1.1\r\nhost: a\r\nx: \(value)\r\n\r\n")
    #expect(connection.receiver.requests.map(\.head.count) == [514, 4])
  }

  @Test("a bad request behind a good one does not take its answer away")
  func malformedAfterGood() throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send(Self.post("/", "") + "GARBAGE\r\n\r\n")
    #expect(try connection.takeBytes() == [])
    try #require(connection.receiver.requests.first).answer()
    let answer = try connection.takeText()
    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(answer.count(of: "HTTP/1.1 400 ") == 1)
    #expect(!connection.isOpen)
  }

  @Test("a request that takes too long to arrive ends the connection")
  func slowRequest() throws {
    let limits = HTTP1Limits()
    let connection = try TestConnection()
    try connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{")
    connection.advance(by: limits.requestTimeout)
    #expect(connection.isOpen)
    connection.advance(by: limits.checkInterval)
    #expect(!connection.isOpen)
  }

  @Test("a connection without requests ends in time, one in use does not")
  func idle() throws {
    let limits = HTTP1Limits()
    let connection = try TestConnection()
    for _ in 0..<3 {
      try connection.send(Self.post("/", ""))
      connection.advance(by: limits.idleTimeout)
      #expect(connection.isOpen)
    }
    connection.advance(by: limits.checkInterval)
    #expect(!connection.isOpen)
  }

  @Test("an answer may take its time")
  func slowAnswer() throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send(Self.post("/", ""))
    connection.advance(by: .minutes(10))
    #expect(connection.isOpen)
    try #require(connection.receiver.requests.first).answer()
    #expect(try connection.takeText().hasSuffix("fine"))
  }

  @Test("an answer that nobody reads ends the connection in time, and lets no other request in")
  func unreadAnswer() throws {
    let limits = HTTP1Limits()
    let connection = try TestConnection()
    try connection.stopReading()
    try connection.send(Self.post("/1", "") + Self.post("/2", ""))
    #expect(connection.receiver.requests.map(\.path) == ["/1"])
    // The first look notes that nothing has got out, the last one that nothing has since.
    connection.advance(by: limits.checkInterval + limits.writeTimeout - .nanoseconds(1))
    #expect(connection.isOpen)
    connection.advance(by: .nanoseconds(1))
    #expect(!connection.isOpen)
    #expect(connection.receiver.requests.map(\.path) == ["/1"])
  }

  @Test("so does a refusal")
  func unreadRefusal() throws {
    let limits = HTTP1Limits()
    let connection = try TestConnection(http1: Self.small)
    try connection.stopReading()
    try connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n")
    connection.advance(by: limits.checkInterval + limits.writeTimeout)
    #expect(!connection.isOpen)
  }

  private final class Watcher: ExchangeWatcher {
    private(set) var ends = 0

    func exchangeEnded() { ends += 1 }
  }

  @Test("the end of an exchange is told once", arguments: [true, false])
  func end(isAnswered: Bool) throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send(Self.post("/", ""))
    let exchange = try #require(connection.receiver.requests.first).exchange
    let watcher = Watcher()
    exchange.tellEnd(to: watcher)
    #expect(watcher.ends == 0)
    if isAnswered {
      connection.receiver.requests[0].answer()
    } else {
      connection.channel.close(promise: nil)
    }
    connection.loop.run()
    #expect(watcher.ends == 1)
    let late = Watcher()
    exchange.tellEnd(to: late)
    #expect(late.ends == 1)
  }

  @Test("an answer to a client that has gone is harmless, and so is a second one")
  func lateAnswers() throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send(Self.post("/", ""))
    let request = try #require(connection.receiver.requests.first)
    request.answer("one")
    request.answer("two")
    #expect(try connection.takeText().count(of: "HTTP/1.1 ") == 1)
    try connection.send(Self.post("/", ""))
    connection.channel.close(promise: nil)
    connection.loop.run()
    connection.receiver.requests[1].answer()
    #expect(try connection.takeBytes() == [])
  }

  @Test("draining closes an idle connection at once, and a busy one after its answer")
  func drain() throws {
    let idle = try TestConnection()
    try idle.send(Self.post("/", ""))
    idle.beginDrain()
    #expect(!idle.isOpen)

    let busy = try TestConnection()
    busy.receiver.answersAtOnce = false
    try busy.send(Self.post("/", ""))
    busy.beginDrain()
    #expect(busy.isOpen)
    try #require(busy.receiver.requests.first).answer()
    let answer = try busy.takeText()
    #expect(answer.contains("\r\nconnection: close\r\n") && answer.hasSuffix("fine"))
    #expect(!busy.isOpen)
  }
}

extension String {
  /// How often `part` is in this text.
  fileprivate func count(of part: String) -> Int { ranges(of: part).count }
}
