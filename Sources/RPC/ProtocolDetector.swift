import NIOCore

/// Tells HTTP/2 from HTTP/1.1 by the first bytes of a connection, and steps aside.
///
/// Source: RFC 9113, section 3.4 (the client connection preface).
final class ProtocolDetector: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  enum Found { case http1, http2 }

  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  /// How long the first bytes may take.
  static let timeout = TimeAmount.seconds(10)
  /// How long they may still take when the server shuts down: a request may be on its way.
  static let drainTimeout = TimeAmount.seconds(1)

  private let configure: (Found, any Channel) throws -> Void
  private var received = ByteBuffer()
  private var context: ChannelHandlerContext?
  private var timer: Scheduled<Void>?

  /// - Parameter configure: Adds the handlers of the protocol behind this one.
  init(_ configure: @escaping (Found, any Channel) throws -> Void) { self.configure = configure }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    close(in: Self.timeout)
  }

  func handlerRemoved(context: ChannelHandlerContext) { end() }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  /// Waits no longer than ``drainTimeout``.
  func beginDrain() { close(in: Self.drainTimeout) }

  private func close(in time: TimeAmount) {
    guard let context else { return }
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    timer?.cancel()
    timer = context.eventLoop.scheduleTask(in: time) { bound.value.close(promise: nil) }
  }

  private func end() {
    timer?.cancel()
    timer = nil
    context = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var buffer = unwrapInboundIn(data)
    received.writeBuffer(&buffer)
    let seen = received.readableBytesView
    guard seen.prefix(Self.preface.count).elementsEqual(Self.preface.prefix(seen.count)) else {
      return found(.http1, context)
    }
    if seen.count >= Self.preface.count { found(.http2, context) }
  }

  private func found(_ found: Found, _ context: ChannelHandlerContext) {
    end()
    do {
      try configure(found, context.channel)
    } catch {
      context.close(promise: nil)
      return
    }
    let received = received
    self.received = ByteBuffer()
    context.fireChannelRead(wrapInboundOut(received))
    context.fireChannelReadComplete()
    context.pipeline.syncOperations.removeHandler(self, promise: nil)
  }
}
