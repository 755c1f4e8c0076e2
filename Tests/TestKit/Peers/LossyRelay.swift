import NIOCore
import NIOPosix
import Synchronization

/// A relay at a port of its own in front of a server, as a network that loses something when a test says so:
/// a connection on which nothing arrives any more, and which nobody closes.
package final class LossyRelay: Sendable {
  package enum Loss: Sendable {
    /// What the client says next does not reach the server.
    case ofQuestion
    /// It does, and the client hears nothing of what came of it.
    case ofAnswer
  }

  package let port: Int
  private let listener: any Channel
  private let network: Network

  private init(port: Int, listener: any Channel, network: Network) {
    self.port = port
    self.listener = listener
    self.network = network
  }

  package static func start(to serverPort: Int) async throws -> LossyRelay {
    let network = Network()
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { client in
        network.connections.withLock { $0 += 1 }
        let line = Line(network)
        // It reads nothing before this is complete.
        return ClientBootstrap(group: client.eventLoop)
          .channelInitializer { server in
            server.eventLoop.makeCompletedFuture {
              try server.pipeline.syncOperations.addHandler(
                LineEnd(to: client) { !line.isSilent })
            }
          }
          .connect(host: InProcessServer.host, port: serverPort)
          .flatMapThrowing { server in
            try client.pipeline.syncOperations.addHandler(
              LineEnd(to: server) { line.passesQuestion() })
          }
      }
      .bind(host: InProcessServer.host, port: 0).get()
    return LossyRelay(port: listener.localAddress!.port!, listener: listener, network: network)
  }

  /// How many there have been.
  package var connections: Int { network.connections.withLock(\.self) }

  /// From what some client says next on, its connection is lost.
  package func lose(_ loss: Loss) { network.next.withLock { $0 = loss } }

  package func stop() async throws { try await listener.close() }
}

private final class Network: Sendable {
  let connections = Mutex(0)
  let next = Mutex<LossyRelay.Loss?>(nil)
}

/// One connection.
private final class Line: Sendable {
  private let network: Network
  private let loss = Mutex<LossyRelay.Loss?>(nil)

  init(_ network: Network) { self.network = network }

  var isSilent: Bool { loss.withLock { $0 != nil } }

  /// Whether what the client says reaches the server.
  func passesQuestion() -> Bool {
    loss.withLock { loss in
      if loss == nil {
        loss = network.next.withLock { next in
          defer { next = nil }
          return next
        }
      }
      return loss != .ofQuestion
    }
  }
}

/// Passes on what comes from one end to the other, or not.
private final class LineEnd: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let other: any Channel
  private let passes: () -> Bool

  init(to other: any Channel, _ passes: @escaping () -> Bool) {
    self.other = other
    self.passes = passes
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if passes() { other.writeAndFlush(unwrapInboundIn(data), promise: nil) }
  }

  func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
