import Glibc
import HTTP
import NIOCore
import NIOPosix
import WireSchema

/// Opens connections: a socket, TLS where it is asked for, then HTTP/2 by prior knowledge (RFC 9113 3.3). One is there
/// when the server has proved by TLS who it is.
enum Transport {
  /// - Parameter configure: Given the channel, on its event loop; what it puts into the pipeline gets
  ///   the connection from the first byte.
  static func connect(
    to address: SocketAddress, _ tls: TLSSession?, on loop: any EventLoop, timeout: Duration,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) -> EventLoopFuture<any Channel> {
    ClientBootstrap(group: loop)
      .connectTimeout(TimeAmount(timeout))
      // Nothing is read before the pipeline is set up.
      .channelOption(.autoRead, value: false)
      .connect(to: address)
      .flatMap { channel in
        let ready = channel.eventLoop.makePromise(of: Void.self)
        do {
          if case .unixDomainSocket = address {} else { try TCPKeepAlive.set(on: channel) }
          try tls?.secure(channel, ready, timeout: TimeAmount(timeout))
          try configure(channel)
          try channel.syncOptions?.setOption(.autoRead, value: true)
          if tls == nil { ready.succeed() }
        } catch {
          ready.fail(error)
        }
        ready.futureResult.whenFailure { _ in channel.close(promise: nil) }
        return ready.futureResult.map { channel }
      }
  }

  /// Why a connection did not come about, in the words of the operating system.
  static func reason(of error: any Error) -> String {
    switch error {
    case let error as IOError: return String(cString: strerror(error.errnoCode))
    case ChannelError.connectTimeout: return "no answer in time"
    default: return "\(error)"
    }
  }
}

extension HandshakeOffer {
  /// What a client says of itself.
  init(client wire: WireRange, grease: UInt64) {
    let hello = Latchkey_Handshake_V1_Hello.with {
      $0.software = Release.version
      $0.wire = wire.message
    }
    self.init(
      settingsValue: wire.settingsValue, hello: HelloFrame.encode(hello, grease: grease))
  }
}

/// The header fields of a call (Connect protocol, "Unary-Request").
enum CallFields {
  /// Without a deadline.
  static let plain = [
    ("content-type", "application/proto"),
    ("connect-protocol-version", "1"),
    ("user-agent", "latchkey-swift/\(Release.version)"),
  ]

  static func withTimeout(milliseconds: Int64) -> [(String, String)] {
    plain + [("connect-timeout-ms", String(milliseconds))]
  }
}
