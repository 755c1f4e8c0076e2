import NIOCore
import NIOPosix
import Exclusion

/// A TCP connection that sends whatever bytes a test likes and keeps all that it gets.
package final class RawConnection: Sendable {
  private let channel: any Channel
  private let received: ReceivedBytes

  private init(_ channel: any Channel, _ received: ReceivedBytes) {
    self.channel = channel
    self.received = received
  }

  package static func open(port: Int) async throws -> RawConnection {
    let received = ReceivedBytes()
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(received)
        }
      }
      .connect(host: InProcessServer.host, port: port).get()
    return RawConnection(channel, received)
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
    await received.wait(until: isEnough)
  }

  /// Sends `bytes` and then no more, but goes on reading.
  package func sendLast(_ bytes: [UInt8]) {
    channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { [channel] _ in
      channel.close(mode: .output, promise: nil)
    }
  }

  package func close() { channel.close(promise: nil) }
}

/// What has come, even when the connection is gone by the time that a test asks.
private final class ReceivedBytes: ChannelInboundHandler, Sendable {
  typealias InboundIn = ByteBuffer

  private struct State: Sendable {
    var bytes: [UInt8] = []
    var isClosed = false
    var waiter: Waiter?
  }

  private struct Waiter: Sendable {
    var isEnough: @Sendable ([UInt8]) -> Bool
    var continuation: CheckedContinuation<[UInt8], Never>
  }

  private let state = Mutex(State())

  func wait(until isEnough: @escaping @Sendable ([UInt8]) -> Bool) async -> [UInt8] {
    await withCheckedContinuation { continuation in
      change { state in
        precondition(state.waiter == nil, "one test waits at a time")
        state.waiter = Waiter(isEnough: isEnough, continuation: continuation)
      }
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    change { $0.bytes.append(contentsOf: buffer.readableBytesView) }
  }

  func channelInactive(context: ChannelHandlerContext) { change { $0.isClosed = true } }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  private func change(_ body: (inout State) -> Void) {
    let done = state.withLock { state -> (waiter: Waiter, bytes: [UInt8])? in
      body(&state)
      guard let waiter = state.waiter, state.isClosed || waiter.isEnough(state.bytes) else {
        return nil
      }
      state.waiter = nil
      return (waiter, state.bytes)
    }
    done?.waiter.continuation.resume(returning: done?.bytes ?? [])
  }
}
