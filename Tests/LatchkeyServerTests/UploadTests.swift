import Glibc
import TestKit
import Testing

/// Bodies that are larger than the server takes, over HTTP/1.1.
@Suite struct UploadTests {
  /// Larger than what the sockets of both sides keep.
  private static let uploadBytes = 50 << 20
  private static let piece = [UInt8](repeating: 0x61, count: 1 << 20)

  private static func post(_ fields: String) -> String {
    "POST /latchkey.v3.Locks/Acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
      + fields + "\r\n\r\n"
  }

  @Test(arguments: [
    post("Content-Length: \(uploadBytes)"),
    post("Content-Length: \(uploadBytes)\r\nExpect: 100-continue"),
    post("Transfer-Encoding: chunked") + "\(String(uploadBytes, radix: 16))\r\n",
  ])
  func whoSendsAllBeforeItReadsGetsTheAnswer(_ head: String) async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    let peer = try PlainSocket(port: server.port)
    peer.send(head)
    var sent = 0
    while sent < Self.uploadBytes, case let count = peer.send(Self.piece), count > 0 {
      sent += count
    }
    #expect(sent == Self.uploadBytes)
    let answer = String(decoding: peer.readToEnd(), as: UTF8.self)
    #expect(answer.hasPrefix("HTTP/1.1 413 "), "\(answer)")
    try await server.end()
  }

  @Test func whoSendsWithoutEndIsCutOffAndHoldsUpNoShutdown() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    let endless = try PlainSocket(port: server.port, sendSeconds: 5)
    endless.send(Self.post("Content-Length: 999999999999"))
    var sent = 0
    while sent < 10 * Self.uploadBytes, case let count = endless.send(Self.piece), count > 0 {
      sent += count
    }
    #expect(sent < 10 * Self.uploadBytes)
    // It says no more, and does not close.
    let silent = try PlainSocket(port: server.port)
    silent.send(Self.post("Content-Length: 999999999999"))
    #expect(String(decoding: silent.readToEnd(), as: UTF8.self).hasPrefix("HTTP/1.1 413 "))
    try await server.end()
    let log = try await server.program.errors.all()
    #expect(log.contains { $0.contains("shutting down") })
    #expect(!log.contains { $0.contains("not finished in time") })
  }
}
