import Glibc
import TestKit
import Testing

/// What the system is told of the connections that a server accepts.
@Suite struct AcceptedSocketTests {
  /// A peer that vanished is noticed within a minute: the system's own times are two hours, and a
  /// quarter of one.
  @Test func theSystemGivesUpOnADeadPeerWithinAMinute() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try PlainSocket(port: server.port)
    client.send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    // The server has done all that it does with a new connection.
    #expect(!client.read { $0.count > 8 }.isEmpty)
    let accepted = try #require(socketAccepted(at: server.port))
    #expect(option(SOL_SOCKET, SO_KEEPALIVE, of: accepted) == 1)
    let idle = option(Int32(IPPROTO_TCP), TCP_KEEPIDLE, of: accepted)
    let interval = option(Int32(IPPROTO_TCP), TCP_KEEPINTVL, of: accepted)
    let probes = option(Int32(IPPROTO_TCP), TCP_KEEPCNT, of: accepted)
    #expect(idle + interval * probes <= 60)
    #expect((1...60_000).contains(option(Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, of: accepted)))
    withExtendedLifetime(client) {}
    try await server.stop()
  }

  /// The socket of the only connection to a port of this process, at its side.
  private func socketAccepted(at port: Int) -> Int32? {
    (3..<1_024 as Range<Int32>).first { descriptor in
      self.port(of: descriptor, getsockname) == port
        && self.port(of: descriptor, getpeername) != nil
    }
  }

  /// The port of an end of a connection over IPv4; nil of anything else.
  private func port(
    of descriptor: Int32,
    _ end: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
  ) -> Int? {
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { end(descriptor, $0, &size) }
    }
    guard code == 0, address.sin_family == sa_family_t(AF_INET) else { return nil }
    return Int(in_port_t(bigEndian: address.sin_port))
  }

  private func option(_ level: Int32, _ name: Int32, of descriptor: Int32) -> Int32 {
    var value: Int32 = -1
    var size = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(descriptor, level, name, &value, &size) == 0 ? value : -1
  }
}
