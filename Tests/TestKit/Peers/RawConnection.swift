import NIOCore
import NIOPosix

/// A TCP connection that sends whatever bytes a test likes and keeps all that it gets.
package final class RawConnection: Sendable {
  private let channel: any Channel

  private init(_ channel: any Channel) { self.channel = channel }

  package static func open(port: Int) async throws -> RawConnection {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(ReceivedBytes())
        }
      }
      .connect(host: InProcessServer.host, port: port).get()
    return RawConnection(channel)
  }

  /// Sends `bytes`. A peer that has closed is noticed by ``receive(until:)``.
  package func send(_ bytes: [UInt8]) {
    channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
  }

  /// All bytes that have come since the connection opened, as soon as `isEnough` says so of them or
  /// the peer has closed.
  package func receive(until isEnough: @escaping @Sendable ([UInt8]) -> Bool) async throws
    -> [UInt8]
  {
    try await channel.eventLoop.flatSubmit { [channel] in
      do {
        let received = try channel.pipeline.syncOperations.handler(type: ReceivedBytes.self)
        return received.wait(until: isEnough, channel.eventLoop)
      } catch {
        return channel.eventLoop.makeFailedFuture(error)
      }
    }.get()
  }

  package func close() { channel.close(promise: nil) }
}

private final class ReceivedBytes: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private var bytes: [UInt8] = []
  private var isClosed = false
  private var waiter: (isEnough: ([UInt8]) -> Bool, promise: EventLoopPromise<[UInt8]>)?

  func wait(
    until isEnough: @escaping ([UInt8]) -> Bool, _ loop: any EventLoop
  ) -> EventLoopFuture<[UInt8]> {
    precondition(waiter == nil, "one test waits at a time")
    let promise = loop.makePromise(of: [UInt8].self)
    waiter = (isEnough, promise)
    look()
    return promise.futureResult
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    bytes.append(contentsOf: unwrapInboundIn(data).readableBytesView)
    look()
  }

  func channelInactive(context: ChannelHandlerContext) {
    isClosed = true
    look()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  private func look() {
    guard let (isEnough, promise) = waiter, isClosed || isEnough(bytes) else { return }
    waiter = nil
    promise.succeed(bytes)
  }
}
