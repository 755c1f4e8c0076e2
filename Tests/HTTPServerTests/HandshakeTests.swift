import HTTPServer
import NIOCore
import NIOSSL
import TLS
import TestKit
import Testing

/// TLS handshakes that somebody begins and does not mean.
@Suite struct HandshakeTests {
  private let folder: StoreFolder
  private let material: TLSMaterial

  init() throws {
    folder = try StoreFolder()
    let issued = try TestAuthority(in: folder).issue("server")
    material = try TLSMaterial(
      TLSFiles(certificate: issued.certificate, key: issued.key), .server(clients: .none))
  }

  /// A client hello that is not there yet in whole.
  private static let beginning: [UInt8] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]

  @Test func oneThatDoesNotGoOnEnds() throws {
    let connection = try TestConnection(tls: material)
    try connection.send(Self.beginning)
    connection.advance(by: .milliseconds(9_999))
    #expect(connection.isOpen)
    connection.advance(by: .milliseconds(1))
    #expect(!connection.isOpen)
    guard case .handshake(let error)? = connection.earlyEnds.first else {
      Issue.record("\(connection.earlyEnds)")
      return
    }
    #expect("\(error)" == "the handshake was not done in time")
  }

  @Test func nobodyWaitsLongForOneAtTheEnd() throws {
    let connection = try TestConnection(tls: material)
    try connection.send(Self.beginning)
    connection.beginDrain()
    connection.advance(by: .seconds(1))
    #expect(!connection.isOpen)
  }

  @Test func rubbishEndsIt() throws {
    let connection = try TestConnection(tls: material)
    try connection.send(Self.beginning + [UInt8](repeating: 0xff, count: 600))
    #expect(!connection.isOpen)
    #expect(connection.earlyEnds.count == 1)
  }

  @Test func theOldestMakesRoomForTheNext() throws {
    let handshakes = Handshakes(countMax: 3)
    let connections = try (0..<5).map { _ in
      try TestConnection(tls: material, handshakes: handshakes)
    }
    for connection in connections {
      try connection.send(Self.beginning)
      #expect(handshakes.count <= 3)
    }
    for connection in connections { connection.advance(by: .zero) }
    #expect(connections.map(\.isOpen) == [false, false, true, true, true])
    // Those that are over make room themselves.
    try connections[3].channel.close().wait()
    connections[3].advance(by: .zero)
    #expect(handshakes.count == 2)
  }

  @Test("who speaks HTTP/2 in clear text is told in HTTP/2", arguments: [false, true])
  func clearHTTP2(_ inOnePiece: Bool) throws {
    let connection = try TestConnection(tls: material)
    let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    if inOnePiece {
      try connection.send(preface)
    } else {
      for byte in preface { try connection.send([byte]) }
    }
    let answer = try connection.takeBytes()
    #expect(answer.prefix(9).elementsEqual([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    #expect(answer.dropFirst(9).dropFirst(3).first == 7)
    let text = String(decoding: answer.dropFirst(26), as: UTF8.self)
    #expect(text == "this port speaks TLS: use https:// in place of http://")
    #expect(connection.earlyEnds.count == 1)
  }

  @Test func whoSpeaksHTTP1InClearTextIsTold() throws {
    let connection = try TestConnection(tls: material)
    try connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    let answer = try connection.takeText()
    #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
    #expect(answer.hasSuffix("this port speaks TLS: use https:// in place of http://"))
    #expect(connection.receiver.requests.isEmpty)
  }
}
