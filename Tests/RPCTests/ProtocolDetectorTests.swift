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
    #expect(
      answer.hasSuffix(#"{"code":"invalid_argument","message":"the request is not valid HTTP"}"#))
    #expect(!connection.isOpen)
    #expect(connection.receiver.requests.isEmpty)
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
