import LatchkeyClient
import NIOCore
import NIOPosix
import Synchronization

/// Takes connections and whatever comes, and never says a word: a host that was cut off.
final class BlackHole: Sendable {
  private final class Swallow: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    let hole: BlackHole

    init(_ hole: BlackHole) { self.hole = hole }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      hole.bytes.wrappingAdd(Self.unwrapInboundIn(data).readableBytes, ordering: .relaxed)
    }

    func channelInactive(context: ChannelHandlerContext) {
      hole.closed.wrappingAdd(1, ordering: .relaxed)
    }
  }

  let bytes = Atomic<Int>(0)
  let closed = Atomic<Int>(0)
  private let listener = Mutex<(any Channel)?>(nil)

  init() async throws {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Swallow(self))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    listener.withLock { $0 = channel }
  }

  var endpoint: Endpoint {
    try! Endpoint("127.0.0.1:\(listener.withLock { $0 }!.localAddress!.port!)")
  }

  func stop() async throws { try await listener.withLock { $0 }?.close() }
}
