import NIOCore

/// Tells TLS, HTTP/2, HTTP/1.1 and what is neither by the first bytes of a connection, and steps aside.
///
/// Source: RFC 9113, section 3.4 (the client connection preface).
final class ProtocolDetector: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  enum Found {
    case http1, http2, tls
    case foreign(ForeignProtocol)
    /// HTTP/2 in clear text where TLS is spoken.
    case clearHTTP2
  }

  /// What a connection may begin with.
  struct Expected {
    /// What is told by how it begins.
    let beginnings: [(found: Found, bytes: [UInt8])]
    /// What it is taken for that begins otherwise.
    let otherwise: Found

    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static let http = Expected(
      beginnings: [(.http2, preface)] + ForeignProtocol.beginnings.map { (.foreign($0), $1) },
      otherwise: .http1)
    static let tls = Expected(
      beginnings: [(.clearHTTP2, preface)]
        + ForeignProtocol.beginnings.map { ($0 == .tls ? .tls : .foreign($0), $1) },
      otherwise: .foreign(.clearText))
  }

  /// How long the first bytes may take.
  static let timeout = TimeAmount.seconds(10)
  /// How long they may still take when the server shuts down: a request may be on its way.
  static let drainTimeout = TimeAmount.seconds(1)

  private let expected: Expected
  private let configure: (Found, any Channel) throws -> Void
  private let failed: (any Error) -> Void
  private var received = ByteBuffer()
  /// Whether all that comes is for those behind.
  private var isPassing = false
  private var context: ChannelHandlerContext?
  private var timer: Scheduled<Void>?

  /// - Parameters:
  ///   - configure: Adds the handlers of the protocol behind this one.
  ///   - failed: Told what ended the connection while this handler had it: an error of the channel, or
  ///     of `configure`.
  init(
    _ expected: Expected, _ configure: @escaping (Found, any Channel) throws -> Void,
    failed: @escaping (any Error) -> Void
  ) {
    self.expected = expected
    self.configure = configure
    self.failed = failed
  }

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
    guard !isPassing else { return context.fireChannelRead(data) }
    var buffer = unwrapInboundIn(data)
    received.writeBuffer(&buffer)
    // Handlers are being added behind this one, and where one of them writes in vain, NIO reads what is left
    // at once.
    guard self.context != nil else { return }
    let seen = received.readableBytesView
    let possible = expected.beginnings.filter {
      seen.prefix($0.bytes.count).elementsEqual($0.bytes.prefix(seen.count))
    }
    if let beginning = possible.first(where: { $0.bytes.count <= seen.count }) {
      found(beginning.found, context)
    } else if possible.isEmpty {
      found(expected.otherwise, context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // Whoever came after is told of what comes after.
    guard self.context != nil else { return context.fireErrorCaught(error) }
    failed(error)
    context.close(promise: nil)
  }

  private func found(_ found: Found, _ context: ChannelHandlerContext) {
    end()
    do {
      try configure(found, context.channel)
    } catch {
      failed(error)
      return context.close(promise: nil)
    }
    isPassing = true
    let received = received
    self.received = ByteBuffer()
    context.fireChannelRead(wrapInboundOut(received))
    context.fireChannelReadComplete()
    context.pipeline.syncOperations.removeHandler(self, promise: nil)
  }
}
