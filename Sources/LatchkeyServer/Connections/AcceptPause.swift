import Glibc
import NIOCore

/// Takes no new connections for a moment when the system has nothing left for them, such as file
/// descriptors. Tried again at once, it would keep a core busy.
///
/// NIO's own `AcceptBackoffHandler` puts the next read off, but leaves the listening socket in the
/// poll, which then reports it without a pause.
final class AcceptPause: ChannelInboundHandler {
  typealias InboundIn = any Channel

  static let length = TimeAmount.milliseconds(200)

  private let failures: ConnectionFailures
  private var resumption: Scheduled<Void>?

  init(failures: ConnectionFailures) { self.failures = failures }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    failures.note(.accept, error: error)
    guard let error = error as? IOError,
      [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode)
    else { return context.fireErrorCaught(error) }
    guard resumption == nil, let options = context.channel.syncOptions else { return }
    try? options.setOption(.autoRead, value: false)
    resumption = context.eventLoop.assumeIsolated().scheduleTask(in: Self.length) {
      self.resumption = nil
      try? options.setOption(.autoRead, value: true)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    resumption?.cancel()
    resumption = nil
    context.fireChannelInactive()
  }
}
