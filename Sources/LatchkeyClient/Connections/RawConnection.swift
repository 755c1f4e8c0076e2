import Glibc
package import HTTP
package import NIOCore
import WireSchema

/// One connection without retries, deadlines or fail-over, for load generators: callbacks on its
/// event loop, and no hop between threads for each request.
package final class RawConnection: Sendable {
  package let eventLoop: any EventLoop
  private let channel: any Channel
  private let handler: NIOLoopBound<HTTP2ClientHandler>
  private let target: Target

  private struct Target {
    let endpoint: Endpoint
    let tls: ClientTLS
    let token: ClientToken
    let connectTimeout: Duration
  }

  private init(
    _ channel: any Channel, _ handler: NIOLoopBound<HTTP2ClientHandler>, to target: Target
  ) {
    eventLoop = channel.eventLoop
    self.channel = channel
    self.handler = handler
    self.target = target
  }

  /// Connects to the first address of the endpoint that can be reached, and sends the handshake.
  ///
  /// - Throws: What the system or NIO says where none can be reached, each within `connectTimeout`.
  package static func connect(
    to endpoint: Endpoint, _ tls: LatchkeyClient.TLS = .init(), token: BearerToken? = nil,
    on group: any EventLoopGroup, connectTimeout: Duration = .seconds(2)
  ) async throws -> RawConnection {
    let target = Target(
      endpoint: endpoint, tls: ClientTLS(tls), token: ClientToken(token, time: MachineTime()),
      connectTimeout: connectTimeout)
    return try await connect(to: target, on: group.next())
  }

  /// One more connection to the same endpoint, on the same event loop.
  package func again() async throws -> RawConnection {
    try await Self.connect(to: target, on: eventLoop)
  }

  private static func connect(
    to target: Target, on loop: any EventLoop
  ) async throws -> RawConnection {
    let session = try await target.tls.session(with: target.endpoint, on: loop).get()
    var failure: any Error = NameFailure(code: EAI_NONAME, errno: 0)
    let addresses = SystemResolver().addresses(of: target.endpoint, on: loop)
    for address in try await addresses.get().inTurn {
      do {
        return try await connect(to: target, at: address, session, on: loop)
      } catch {
        failure = error
      }
    }
    throw failure
  }

  private static func connect(
    to target: Target, at address: SocketAddress, _ tls: TLSSession?, on loop: any EventLoop
  ) async throws -> RawConnection {
    try await target.token.prepare(for: target.endpoint, at: address, on: loop).get()
    let connected = Transport.connect(
      to: address, tls, on: loop, timeout: target.connectTimeout
    ) { channel in
      let offer = HandshakeOffer(
        client: WireVersions.spoken, grease: UInt64.random(in: .min ... .max))
      try channel.pipeline.syncOperations.addHandler(
        HTTP2ClientHandler(
          authority: target.endpoint.authority, offer: offer, limits: HTTP2Limits(),
          grease: .system,
          events: NoEvents()))
    }
    return try await connected.flatMapThrowing { channel in
      let handler = try channel.pipeline.syncOperations.handler(type: HTTP2ClientHandler.self)
      return RawConnection(
        channel, NIOLoopBound(handler, eventLoop: channel.eventLoop), to: target)
    }.get()
  }

  /// Sends a call with a protobuf body. To be called on ``eventLoop``, where `completion` is called
  /// exactly once: where nothing can be sent any more, before this returns.
  package func call(
    path: String, body: [UInt8],
    completion: @escaping (Result<HTTP2Response, HTTP2ClientError>) -> Void
  ) {
    let shown = target.token.field.map { [$0] } ?? []
    handler.value.send(
      method: "POST", path: path, fields: CallFields.plain + shown, body: body,
      completion: completion)
  }

  /// Closes at once: what is under way fails.
  package func close() async {
    channel.close(promise: nil)
    try? await channel.closeFuture.get()
  }
}

/// Load generators send one wire version and hear of the connection's end through their requests.
private final class NoEvents: HTTP2ClientEvents {
  func peerOffered(settingsValue: UInt32) {}
  func peerHello(_ payload: [UInt8]) {}
  func bytesReceived() {}
  func goAway(lastStream: Int32, code: UInt32) {}
  func closed(reason: HTTP2ConnectionEnd) {}
}
