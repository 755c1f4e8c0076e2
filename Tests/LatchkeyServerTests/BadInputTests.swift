import LatchkeyServer
import NIOCore
import TestKit
import Testing
import WireSchema

/// Rubbish at the door: each gets a clear end within its bound, and others do not notice.
@Suite struct BadInputTests {
  struct Rubbish: Sendable, CustomTestStringConvertible {
    var name: String
    var bytes: [UInt8]
    /// What the answer must contain before the connection ends; empty where it ends in silence.
    var answer: String

    var testDescription: String { name }
  }

  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  private static let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]

  /// The first bytes of a GOAWAY: type 7 on stream 0.
  private static func post(_ headers: String) -> [UInt8] {
    Array("POST /latchkey.v1.Locks/Lock HTTP/1.1\r\nHost: x\r\n\(headers)\r\n\r\n".utf8)
  }

  static let rubbish: [Rubbish] = [
    Rubbish(
      name: "a TLS hello",
      bytes: [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3] + Array(repeating: 7, count: 512),
      answer: "400 Bad Request"),
    Rubbish(
      name: "noise", bytes: (0..<5_000).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) },
      answer: "400 Bad Request"),
    Rubbish(
      name: "HTTP/1.1 with a header field that does not end",
      bytes: Array("GET / HTTP/1.1\r\nx: ".utf8) + Array(repeating: 97, count: 200_000),
      answer: "431 "),
    Rubbish(
      name: "HTTP/1.1 with a path that does not end",
      bytes: Array("GET /".utf8) + Array(repeating: 97, count: 200_000), answer: "431 "),
    Rubbish(
      name: "two lengths that differ", bytes: post("Content-Length: 5\r\nContent-Length: 6"),
      answer: "400 Bad Request"),
    Rubbish(
      name: "a length and chunks", bytes: post("Content-Length: 5\r\nTransfer-Encoding: chunked"),
      answer: "400 Bad Request"),
    Rubbish(
      name: "a body announced as too large", bytes: post("Content-Length: 99999999"),
      answer: "413 "),
    Rubbish(
      name: "noise after the HTTP/2 preface",
      bytes: preface + (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 91 &+ 5) }, answer: ""),
    Rubbish(
      name: "DATA on a stream that was never opened",
      bytes: preface + settings + [0, 0, 1, 0, 0, 0, 0, 0, 1, 0x78], answer: ""),
    Rubbish(
      name: "a frame longer than allowed",
      bytes: preface + settings + [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
      answer: ""),
    Rubbish(
      name: "HPACK that points nowhere",
      bytes: preface + settings + [0, 0, 2, 1, 5, 0, 0, 0, 1, 0xff, 0xff], answer: ""),
    Rubbish(
      name: "SETTINGS on a stream", bytes: preface + [0, 0, 0, 4, 0, 0, 0, 0, 3], answer: ""),
  ]

  @Test(arguments: rubbish) func endsWithinItsBound(_ rubbish: Rubbish) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let bystander = Call.json(
      "Lock", #"{"resource":{"key":"k","owner":"o","type":"lock"},"ttl_in_seconds":60}"#)
    #expect(try await HTTPVersion.http2.send(bystander, port: server.port).status == 200)

    let connection = try await RawConnection.open(port: server.port)
    connection.send(rubbish.bytes)
    // The server closes: nothing else ends this wait.
    let received = try await connection.receive { _ in false }
    connection.close()
    let text = String(decoding: received, as: UTF8.self)
    #expect(rubbish.answer.isEmpty || text.contains(rubbish.answer), "got \(text.prefix(200))")
    if text.hasPrefix("HTTP/1.1") {
      #expect(text.contains("latchkey-wire: \(WireVersions.spoken.headerValue)"))
    }

    for version in HTTPVersion.allCases {
      let fetch = Call.json("Fetch", #"{"key":"k"}"#)
      #expect(try await version.send(fetch, port: server.port).status == 200)
    }
    try await server.stop()
  }

  @Test func aConnectionThatSaysNothingIsClosed() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let connection = try await RawConnection.open(port: server.port)
    connection.send(Array("PRI * HT".utf8))
    #expect(try await connection.receive { _ in false }.isEmpty)
    try await server.stop()
  }

  /// One that stays open, and has its place.
  private func servedConnection(port: Int) async throws -> RawConnection {
    let connection = try await RawConnection.open(port: port)
    connection.send(Array("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
    let answer = try await connection.receive {
      String(decoding: $0, as: UTF8.self).hasSuffix("ok\n")
    }
    #expect(String(decoding: answer, as: UTF8.self).hasPrefix("HTTP/1.1 200"))
    return connection
  }

  @Test func moreConnectionsThanAllowedAreClosedAtOnce() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file) {
      $0.limits.connectionsMax = 1
      $0.limits.watchersMax = 0
    }
    let first = try await servedConnection(port: server.port)
    let second = try await RawConnection.open(port: server.port)
    #expect(try await second.receive { _ in false }.isEmpty)
    first.close()
    try await server.stop()
  }

  /// Clients that take all connections do not keep out who watches the server.
  @Test(arguments: HTTPVersion.allCases)
  func howItIsIsToldWhereAllConnectionsAreTaken(_ http: HTTPVersion) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file) {
      $0.limits.connectionsMax = 1
      $0.limits.watchersMax = 1
    }
    let client = try await servedConnection(port: server.port)
    for path in ["/healthz", "/readyz", "/status"] {
      // Each leaves the place to the next, in a moment.
      var status = 0
      while status == 0 {
        status =
          (try? await http.send(
            Call(method: "GET", path: path, headers: [], body: []), port: server.port))?.status ?? 0
      }
      #expect(status == 200, "\(path)")
    }
    var refused: Answer?
    while refused == nil {
      refused = try? await http.send(
        .json("Get", #"{"key":"k"}"#, wire: 3), port: server.port)
    }
    #expect(refused?.status == 503)
    let words = String(decoding: refused?.body ?? [], as: UTF8.self)
    #expect(words.contains("--max-connections"))
    client.close()
    try await server.stop()
  }
}
