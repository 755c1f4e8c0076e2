import HTTP
import NIOCore
import HTTPServer
import Testing

/// Where a request of HTTP/1.1 ends, and what is none (RFC 9112).
@Suite("Framing of HTTP/1.1")
struct HTTP1FramingTests {
  struct Fields: Sendable, CustomTestStringConvertible {
    var fields: String
    var rest = ""
    /// What the request is answered; nil where it is handed on with the body `taken`.
    var status: Int?
    var taken = ""
    var version = "1.1"

    var testDescription: String {
      "HTTP/\(version) \(fields.debugDescription) \(rest.debugDescription)"
    }
  }

  static let cases: [Fields] = [
    Fields(fields: "content-length: 2", rest: "ab", taken: "ab"),
    Fields(fields: "Content-Length:\t 02 ", rest: "ab", taken: "ab"),
    Fields(fields: "content-length: 0"),
    Fields(fields: "content-length: 9223372036854775807", status: 413),
    Fields(fields: "content-length: 9223372036854775808", status: 413),
    Fields(fields: "content-length: 18446744073709551616", status: 400),
    Fields(fields: "content-length: 99999999999999999999999999999999", status: 400),
    Fields(fields: "content-length: +2", rest: "ab", status: 400),
    Fields(fields: "content-length: -1", status: 400),
    Fields(fields: "content-length: 2, 2", rest: "ab", status: 400),
    Fields(fields: "content-length: 2\r\ncontent-length: 2", rest: "ab", status: 400),
    Fields(fields: "content-length: 1\r\ncontent-length: 2", rest: "ab", status: 400),
    Fields(fields: "content-length: 0x2", rest: "ab", status: 400),
    Fields(fields: "content-length: 2 2", rest: "ab", status: 400),
    Fields(fields: "content-length:", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "2\r\nab\r\n0\r\n\r\n", taken: "ab"),
    Fields(fields: "transfer-encoding: , Chunked ,", rest: "0\r\n\r\n", status: 400),
    Fields(
      fields: "Transfer-Encoding:  CHUNKED ", rest: "02;x=\"y\"\r\nab\r\n000\r\n\r\n", taken: "ab"),
    Fields(
      fields: "transfer-encoding: chunked", rest: "A;x\r\n0123456789\r\n0\r\n\r\n",
      taken: "0123456789"),
    // What looks like an end is not one within a chunk.
    Fields(
      fields: "transfer-encoding: chunked", rest: "B\r\n\r\n\r\n\n\n0\r\n\r\n\r\n0\r\n\r\n",
      taken: "\r\n\r\n\n\n0\r\n\r\n"),
    Fields(fields: "transfer-encoding: gzip, chunked", rest: "0\r\n\r\n", status: 501),
    Fields(fields: "transfer-encoding: gzip\r\ntransfer-encoding: chunked", status: 501),
    Fields(fields: "transfer-encoding: chunked, gzip", status: 400),
    Fields(fields: "transfer-encoding: gzip", status: 400),
    Fields(fields: "transfer-encoding: identity", status: 400),
    Fields(fields: "transfer-encoding: chunked, chunked", status: 400),
    Fields(fields: "transfer-encoding: xchunked", status: 400),
    Fields(fields: "transfer-encoding: chunked;a=b", status: 400),
    Fields(fields: "transfer-encoding:", status: 400),
    Fields(fields: "transfer-encoding: chunked\r\ncontent-length: 5", status: 400),
    Fields(fields: "content-length: 5\r\ntransfer-encoding: chunked", status: 400),
    Fields(fields: "transfer-encoding: chunked", status: 400, version: "1.0"),
    Fields(fields: "transfer-encoding : chunked", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "2\nab", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "2 \r\nab", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "+2\r\nab", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "0x2\r\nab", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "\r\n", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "2\r\nabc\r\n", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "2\r\nab\n", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "0\r\n x: y\r\n\r\n", status: 400),
    Fields(fields: "transfer-encoding: chunked", rest: "FFFFFFFFFFFFFFFFFF2\r\n", status: 400),
    Fields(fields: "x: a\r\n b", status: 400),
    Fields(fields: " x: a", status: 400),
    Fields(fields: "x", status: 400),
    Fields(fields: ": a", status: 400),
    Fields(fields: "x y: a", status: 400),
    Fields(fields: "x: a\nb: c", status: 400),
    Fields(fields: "x: a\rb: c", status: 400),
    Fields(fields: "x: a\u{0}", status: 400),
    Fields(fields: "x: a\u{7f}", status: 400),
    Fields(fields: "x: ä\t\"(),/:;<=>?@[\\]{}"),
    Fields(fields: "!#$%&'*+-.^_`|~09azAZ:"),
  ]

  @Test("a body ends where its fields say, if they say it in one way", arguments: cases)
  func framing(_ fields: Fields) throws {
    let connection = try TestConnection()
    let text =
      "POST / HTTP/\(fields.version)\r\nhost: a\r\n\(fields.fields)\r\n\r\n\(fields.rest)"
    try connection.send(text)
    if let status = fields.status {
      #expect(connection.receiver.requests.isEmpty)
      #expect(try connection.takeText().hasPrefix("HTTP/1.1 \(status) "))
      #expect(!connection.isOpen)
    } else {
      #expect(connection.receiver.requests.map(\.body) == [Array(fields.taken.utf8)])
      #expect(connection.isOpen)
      // What follows is the next request.
      try connection.send("GET /next HTTP/1.1\r\nhost: a\r\n\r\n")
      #expect(connection.receiver.requests.last?.path == "/next")
    }
  }

  @Test(
    "what is no request line is answered 400",
    arguments: [
      "GET /", "GET / ", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET / a HTTP/1.1",
      "GET\t/\tHTTP/1.1", "GET / http/1.1", "GET / HTTP/2.0", "GET / HTTP/1.2",
      "GET / HTTP/0.9", "GET / HTTP/11", "get / HTTP/1.1", "PRI / HTTP/1.1", "G\u{e4}T / HTTP/1.1",
      "GET a HTTP/1.1", "GET ://a HTTP/1.1", "GET /\u{e4} HTTP/1.1", "GET /\u{7f} HTTP/1.1",
      "NOSUCHMETHOD / HTTP/1.1",
    ])
  func requestLines(_ line: String) throws {
    let connection = try TestConnection()
    try connection.send("\(line)\r\nhost: a\r\n\r\n")
    #expect(try connection.takeText().hasPrefix("HTTP/1.1 400 "))
    #expect(connection.receiver.requests.isEmpty && !connection.isOpen)
  }

  @Test("wherever what comes is cut, it means the same", arguments: [1, 2, 3, 7, 64])
  func cuts(_ length: Int) throws {
    let text =
      "\r\nPOST /1?q HTTP/1.1\r\nHost: a\r\nX-Mixed:  Case\r\ncontent-length: 3\r\n\r\nabc"
      + "\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
      + "5;e\r\nabcde\r\n01\r\nf\r\n0\r\nt: u\r\n\r\n"
      + "GET http://a/3 HTTP/1.1\r\nhost: a\r\nconnection: x, Close\r\n\r\n"
    let connection = try TestConnection()
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      try connection.send(Array(rest.prefix(length)))
      rest = rest.dropFirst(length)
    }
    let requests = connection.receiver.requests
    #expect(requests.map(\.path) == ["/1?q", "/2", "/3"])
    #expect(requests.map { String(decoding: $0.body, as: UTF8.self) } == ["abc", "abcdef", ""])
    #expect(requests.first?.head.value(of: "x-mixed") == "Case")
    #expect(try connection.takeText().ranges(of: "HTTP/1.1 200 OK\r\n").count == 3)
    #expect(!connection.isOpen)
  }

  // MARK: - The end of what a peer sends

  private static let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n"

  @Test("a peer that has sent all gets the answers to what it sent", arguments: [1, 2, 40])
  func halfClosed(_ count: Int) throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send(String(repeating: Self.get, count: count))
    connection.endInput()
    #expect(connection.isOpen)
    for number in 0..<count {
      try #require(connection.receiver.requests.count == number + 1)
      connection.receiver.requests[number].answer("answer \(number)")
      connection.loop.run()
    }
    let answers = try connection.takeText()
    for number in 0..<count { #expect(answers.contains("\r\n\r\nanswer \(number)")) }
    #expect(answers.ranges(of: "connection: close").count == 1)
    #expect(!connection.isOpen)
  }

  @Test(
    "half a request is worth no answer", arguments: ["", "GET", "GET / HTTP/1.1\r\nhost: a\r\n"])
  func endInBetween(_ start: String) throws {
    let connection = try TestConnection()
    try connection.send(Self.get)
    if !start.isEmpty { try connection.send(start) }
    connection.endInput()
    #expect(!connection.isOpen)
    #expect(connection.receiver.requests.count == 1)
  }

  private final class Watcher: ExchangeWatcher {
    private(set) var events: [String] = []

    func exchangeEnded() { events.append("ended") }
    func inputEnded() { events.append("input ended") }
  }

  @Test("who waits learns that the peer sends no more, which may be all it ever learns")
  func watchers() throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send(Self.get)
    let watcher = Watcher()
    connection.receiver.requests[0].exchange.tellEnd(to: watcher)
    connection.endInput()
    #expect(watcher.events == ["input ended"])
    connection.receiver.requests[0].answer()
    connection.loop.run()
    #expect(watcher.events == ["input ended", "ended"])
  }

  @Test("who begins to wait only then learns it as well")
  func lateWatchers() throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send(Self.get)
    connection.endInput()
    let watcher = Watcher()
    connection.receiver.requests[0].exchange.tellEnd(to: watcher)
    #expect(watcher.events.isEmpty)
    connection.loop.run()
    #expect(watcher.events == ["input ended"])
  }
}
