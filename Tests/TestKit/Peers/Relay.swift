import NIOCore
import NIOPosix

/// A relay at a port of its own between clients and a server.
struct Relay: Sendable {
  /// What becomes of what one end says; nil for nothing.
  typealias Pass = @Sendable (ByteBuffer) -> ByteBuffer?

  let port: Int
  private let listener: any Channel

  /// - Parameter connected: Told of a new client. Gives what becomes of what the server says, and of what the
  ///   client says, on this connection.
  static func start(
    to serverPort: Int,
    _ connected: @escaping @Sendable (_ client: any Channel) -> (ofServer: Pass, ofClient: Pass)
  ) async throws -> Relay {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { client in
        let passes = connected(client)
        // It reads nothing before this is complete.
        return ClientBootstrap(group: client.eventLoop)
          .channelInitializer { server in
            server.eventLoop.makeCompletedFuture {
              try server.pipeline.syncOperations.addHandler(
                RelayEnd(to: client, passes.ofServer))
            }
          }
          .connect(host: InProcessServer.host, port: serverPort)
          .flatMapThrowing { server in
            try client.pipeline.syncOperations.addHandler(RelayEnd(to: server, passes.ofClient))
          }
      }
      .bind(host: InProcessServer.host, port: 0).get()
    return Relay(port: listener.localAddress!.port!, listener: listener)
  }

  func stop() async throws { try await listener.close() }
}

/// Passes on what comes from one end to the other.
private final class RelayEnd: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let other: any Channel
  private let pass: Relay.Pass

  init(to other: any Channel, _ pass: @escaping Relay.Pass) {
    self.other = other
    self.pass = pass
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if let bytes = pass(unwrapInboundIn(data)) { other.writeAndFlush(bytes, promise: nil) }
  }

  func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
