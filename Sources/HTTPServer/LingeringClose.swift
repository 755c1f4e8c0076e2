import HTTP
import NIOCore

/// Closes a connection after an answer that its peer may not have read yet, though it goes on sending.
///
/// Where bytes come that nobody reads, the system resets the connection, and the peer may lose the answer
/// with it. So this side is closed alone, and what still comes is read and dropped: until the peer closes
/// its side as well, and within bounds.
///
/// Source: RFC 9112, section 9.6.
final class LingeringClose: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let limits: HTTP1Limits
  private var droppedBytes = 0
  private var context: ChannelHandlerContext?
  private var timer: Scheduled<Void>?

  private init(_ limits: HTTP1Limits) { self.limits = limits }

  /// Closes the connection of `context`, in front of all of its handlers.
  static func begin(on context: ChannelHandlerContext, _ limits: HTTP1Limits) -> LingeringClose? {
    let handler = LingeringClose(limits)
    do {
      try context.pipeline.syncOperations.addHandler(handler, position: .first)
      return handler
    } catch {
      context.closeSoon()
      return nil
    }
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    close(in: limits.lingerTimeout)
    let channel = context.channel
    // In a turn of its own: where the peer has closed its side already, this closes all of it.
    context.eventLoop.execute { channel.close(mode: .output, promise: nil) }
    context.read()
  }

  func handlerRemoved(context: ChannelHandlerContext) { end() }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  private func end() {
    timer?.cancel()
    timer = nil
    context = nil
  }

  /// Nobody waits long for those who do not listen.
  func beginDrain() { close(in: limits.lingerDrainTimeout) }

  private func close(in time: TimeAmount) {
    guard let context else { return }
    timer?.cancel()
    let channel = context.channel
    timer = context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    droppedBytes += unwrapInboundIn(data).readableBytes
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    guard droppedBytes <= limits.lingerBytesMax else { return context.closeSoon() }
    context.read()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed? = event as? ChannelEvent { context.closeSoon() }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.closeSoon() }
}
