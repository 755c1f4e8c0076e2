import NIOCore
import Testing

@Suite("Telling HTTP/2 from HTTP/1.1")
struct ProtocolDetectorTests {
  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  private static let emptySettings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
  private static let get = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n"

  @Test("the preface means HTTP/2, in one piece or byte by byte", arguments: [false, true])
  func http2(_ inOnePiece: Bool) throws {
    let connection = try TestConnection()
    let bytes = Self.preface + Self.emptySettings
    if inOnePiece {
      try connection.send(bytes)
    } else {
      for (index, byte) in bytes.enumerated() {
        #expect((connection.protocolName == nil) == (index < Self.preface.count))
        try connection.send([byte])
      }
    }
    #expect(connection.protocolName == "http/2")
    // Its first frame is SETTINGS, and the client's are acknowledged: nothing was lost on the way.
    let answer = try connection.takeBytes()
    #expect(answer.dropFirst(3).first == 4)
    #expect(answer.suffix(9).elementsEqual([0, 0, 0, 4, 1, 0, 0, 0, 0]))
  }

  /// Brings more when it is to write for the first time, as NIO does where a write fails.
  private final class ReadsWhileWriting: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    private var more: ByteBuffer?

    init(_ more: [UInt8]) { self.more = ByteBuffer(bytes: more) }

    func flush(context: ChannelHandlerContext) {
      if let more {
        self.more = nil
        context.fireChannelRead(NIOAny(more))
      }
      context.flush()
    }
  }

  @Test("what comes while the protocol's handlers are added is not taken for a beginning")
  func readsWhileWriting() throws {
    let connection = try TestConnection()
    try connection.channel.pipeline.syncOperations.addHandler(
      ReadsWhileWriting(Self.emptySettings), position: .first)
    try connection.send(Self.preface)
    #expect(connection.openingCount == 1)
    let answer = try connection.takeBytes()
    #expect(answer.suffix(9).elementsEqual([0, 0, 0, 4, 1, 0, 0, 0, 0]))
  }

  @Test("anything else means HTTP/1.1, in one piece or byte by byte", arguments: [false, true])
  func http1(_ inOnePiece: Bool) throws {
    let connection = try TestConnection()
    if inOnePiece {
      try connection.send(Self.get)
    } else {
      for byte in Self.get.utf8 { try connection.send([byte]) }
    }
    #expect(connection.protocolName == "http/1.1")
    #expect(connection.receiver.requests.map(\.path) == ["/x"])
    #expect(try connection.takeText().hasPrefix("HTTP/1.1 200 OK\r\n"))
  }

  @Test("a byte that differs from the preface decides, wherever it is")
  func prefixes() throws {
    for count in 1..<Self.preface.count {
      let connection = try TestConnection()
      try connection.send(Array(Self.preface.prefix(count)))
      #expect(connection.protocolName == nil, "\(count) bytes")
      try connection.send([Self.preface[count] ^ 0x20])
      #expect(connection.protocolName == "http/1.1", "\(count) bytes")
    }
  }

  @Test(
    "what is no HTTP gets an answer with the common fields, and the end",
    arguments: [
      "\r\n\r\nx\r\n\r\n", "GARBAGE\r\n\r\n", "\u{16}\u{2}\u{1}\r\n\r\n", "PRI * HTTP/2.1\r\n\r\n",
    ])
  func garbage(_ text: String) throws {
    let connection = try TestConnection()
    try connection.send(text)
    let answer = try connection.takeText()
    #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
    #expect(answer.contains("\r\nx-common: yes\r\n"))
    #expect(answer.contains("\r\nconnection: close\r\n"))
    #expect(answer.hasSuffix("\r\n\r\nthe request is not valid HTTP"))
    #expect(!connection.isOpen)
    #expect(connection.receiver.requests.isEmpty)
  }

  struct Foreign: Sendable, CustomTestStringConvertible {
    var name: String
    var bytes: [UInt8]
    var message: String

    var testDescription: String { name }
  }

  static let foreignProtocols: [Foreign] = [
    Foreign(
      name: "a TLS hello", bytes: [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
      message: "this port speaks HTTP without TLS: use http:// in place of https://"),
    Foreign(
      name: "a PROXY line",
      bytes: Array("PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n\(get)".utf8),
      message: proxyMessage),
    Foreign(
      name: "a PROXY line of UNKNOWN", bytes: Array("PROXY UNKNOWN\r\n".utf8) + preface,
      message: proxyMessage),
    Foreign(
      name: "a PROXY header of version 2",
      bytes: [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x21, 0x11, 0, 12]
        + Array(repeating: 1, count: 12) + preface,
      message: proxyMessage),
  ]
  private static let proxyMessage =
    "the PROXY protocol is not spoken here: switch it off at the load balancer for this server"

  @Test("what comes by mistake is told what it is", arguments: foreignProtocols, [false, true])
  func namesForeignProtocols(_ foreign: Foreign, _ inOnePiece: Bool) throws {
    let connection = try TestConnection()
    if inOnePiece {
      try connection.send(foreign.bytes)
    } else {
      for byte in foreign.bytes { try connection.send([byte]) }
    }
    let answer = try connection.takeText()
    #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
    #expect(answer.contains("\r\nx-common: yes\r\n"))
    #expect(answer.hasSuffix("\r\n\r\n\(foreign.message)"))
    #expect(!connection.isOpen)
    #expect(connection.receiver.requests.isEmpty)
    #expect(connection.earlyEnds.count == 1)
  }

  @Test("a method that only begins like PROXY is HTTP", arguments: ["PROPFIND", "PROPPATCH"])
  func propfind(_ method: String) throws {
    let connection = try TestConnection()
    try connection.send("\(method) / HTTP/1.1\r\nhost: a\r\n\r\n")
    #expect(connection.receiver.requests.map(\.method) == [method])
    #expect(connection.earlyEnds.isEmpty)
  }

  private struct Fault: Error {}

  @Test("an error before the protocol is known ends the connection and is told of")
  func earlyError() throws {
    let silent = try TestConnection()
    silent.channel.pipeline.fireErrorCaught(Fault())
    silent.loop.run()
    #expect(!silent.isOpen)
    guard case .error(let error)? = silent.earlyEnds.first else {
      Issue.record("nobody was told")
      return
    }
    #expect(error is Fault)
  }

  @Test("a peer that does not say enough in ten seconds is left", arguments: [0, 1, 23])
  func timeout(_ count: Int) throws {
    let connection = try TestConnection()
    if count > 0 { try connection.send(Array(Self.preface.prefix(count))) }
    connection.advance(by: .milliseconds(9_999))
    #expect(connection.isOpen)
    connection.advance(by: .milliseconds(1))
    #expect(!connection.isOpen)
    #expect(try connection.takeBytes() == [])
  }

  @Test("the timeout is over once the protocol is known")
  func noTimeout() throws {
    let connection = try TestConnection()
    try connection.send(Self.preface + Self.emptySettings)
    connection.advance(by: .seconds(30))
    #expect(connection.isOpen)
  }
}
