import Glibc

/// A TCP socket as it is, for peers that do what no library would: read nothing, end one side.
///
/// Its calls block, each for no longer than ``patience``.
package final class PlainSocket: Sendable {
  /// In seconds: generous, for a machine that stands still now and then.
  private static let patience = 30

  private let descriptor: Int32

  /// - Parameters:
  ///   - receiveBytes: SO_RCVBUF, so that a peer that is not read from notices early.
  ///   - sendSeconds: How long a peer that reads nothing is tried.
  package init(port: Int, receiveBytes: Int32? = nil, sendSeconds: Int? = nil) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw PeerFault(message: "no socket: \(errno)") }
    if var receiveBytes {
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBytes, 4)
    }
    for (option, seconds) in [
      (SO_RCVTIMEO, Self.patience), (SO_SNDTIMEO, sendSeconds ?? Self.patience),
    ] {
      var time = timeval(tv_sec: seconds, tv_usec: 0)
      setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = inet_addr(InProcessServer.host)
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard code == 0 else { throw PeerFault(message: "no connection: \(errno)") }
  }

  deinit { Glibc.close(descriptor) }

  /// Sends `bytes`. Returns how many of them the system took before the peer was gone, or took no
  /// more.
  @discardableResult
  package func send(_ bytes: [UInt8]) -> Int {
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { break }
      sent += count
    }
    return sent
  }

  @discardableResult
  package func send(_ text: String) -> Int { send(Array(text.utf8)) }

  /// Ends what is sent; what comes can still be read.
  package func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Reads to the end of the connection.
  package func readToEnd() -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = recv(descriptor, &chunk, chunk.count, 0), count > 0 {
      bytes += chunk[..<count]
    }
    return bytes
  }

  /// Reads until `isEnough` says so of all that has come, or the connection ends.
  package func read(until isEnough: ([UInt8]) -> Bool) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while !isEnough(bytes), case let count = recv(descriptor, &chunk, chunk.count, 0), count > 0 {
      bytes += chunk[..<count]
    }
    return bytes
  }
}
