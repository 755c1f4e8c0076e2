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

  private init(_ channel: any Channel, _ handler: NIOLoopBound<HTTP2ClientHandler>) {
    eventLoop = channel.eventLoop
    self.channel = channel
    self.handler = handler
  }

  /// Connects to the first address of the endpoint that can be reached, and sends the handshake.
  ///
  /// - Throws: What the system or NIO says where none can be reached, each within `connectTimeout`.
  package static func connect(
    to endpoint: Endpoint, on group: any EventLoopGroup, connectTimeout: Duration = .seconds(2)
  ) async throws -> RawConnection {
    let loop = group.next()
    var failure: any Error = NameFailure(code: EAI_NONAME, errno: 0)
    for address in try await SystemResolver().addresses(of: endpoint, on: loop).get().inTurn {
      do {
        return try await connect(to: endpoint, at: address, on: loop, timeout: connectTimeout)
      } catch {
        failure = error
      }
    }
    throw failure
  }

  private static func connect(
    to endpoint: Endpoint, at address: SocketAddress, on loop: any EventLoop, timeout: Duration
  ) async throws -> RawConnection {
    let connected = Transport.connect(to: address, on: loop, timeout: timeout) { channel in
      let offer = HandshakeOffer(
        client: WireVersions.spoken, grease: UInt64.random(in: .min ... .max))
      try channel.pipeline.syncOperations.addHandler(
        HTTP2ClientHandler(
          authority: endpoint.description, offer: offer, limits: HTTP2Limits(), grease: .system,
          events: NoEvents()))
    }
    return try await connected.flatMapThrowing { channel in
      let handler = try channel.pipeline.syncOperations.handler(type: HTTP2ClientHandler.self)
      return RawConnection(channel, NIOLoopBound(handler, eventLoop: channel.eventLoop))
    }.get()
  }

  /// Sends a call with a protobuf body. To be called on ``eventLoop``, where `completion` is called
  /// exactly once: where nothing can be sent any more, before this returns.
  package func call(
    path: String, body: [UInt8],
    completion: @escaping (Result<HTTP2Response, HTTP2ClientError>) -> Void
  ) {
    handler.value.send(
      method: "POST", path: path, fields: CallFields.plain, body: body, completion: completion)
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
