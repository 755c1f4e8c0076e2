import LatchkeyClient
import NIOCore
import NIOPosix
import Exclusion
import struct Synchronization.Atomic

/// Takes connections and whatever comes, and never says a word, or not more than its first one: a
/// host that was cut off.
final class BlackHole: Sendable {
  private final class Swallow: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    let hole: BlackHole

    init(_ hole: BlackHole) { self.hole = hole }

    func channelActive(context: ChannelHandlerContext) {
      guard !hole.firstWord.isEmpty else { return }
      context.writeAndFlush(NIOAny(ByteBuffer(bytes: hole.firstWord)), promise: nil)
    }

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

  private let firstWord: [UInt8]

  /// An empty SETTINGS frame (RFC 9113 6.5).
  static let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]

  /// - Parameter firstWord: What each connection gets when it opens.
  init(firstWord: [UInt8] = [], host: String = "127.0.0.1") async throws {
    self.firstWord = firstWord
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Swallow(self))
        }
      }
      .bind(host: host, port: 0).get()
    listener.withLock { $0 = channel }
  }

  var address: SocketAddress { listener.withLock { $0 }!.localAddress! }
  var endpoint: Endpoint { try! Endpoint("\(address.ipAddress!):\(address.port!)") }

  func stop() async throws { try await listener.withLock { $0 }?.close() }
}
