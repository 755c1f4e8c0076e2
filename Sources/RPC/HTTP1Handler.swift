import HTTP2
package import NIOCore
import NIOHTTP1

/// The bounds of one HTTP/1.1 connection.
package struct HTTP1Limits: Sendable {
  /// The largest body of a request, in bytes.
  package var requestBodyBytesMax = 524_288
  /// How long a request may take to arrive, from its first byte to its last.
  package var requestTimeout = TimeAmount.seconds(30)
  /// How long a connection may be idle between two requests, or before the first.
  package var idleTimeout = TimeAmount.seconds(75)
  /// How long the peer may take to read an answer.
  package var writeTimeout = TimeAmount.seconds(30)
  /// How often the connection's one timer looks.
  package var checkInterval = TimeAmount.seconds(5)

  package init() {}
}

/// Serves HTTP/1.1: collects a request, hands it on as HTTP/2's would be, and writes the answer.
///
/// One request at a time: pipelined ones are held back by NIO's pipeline handler in front.
final class HTTP1Handler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    case idle(since: NIODeadline)
    case receiving(head: HTTPRequestHead, body: [UInt8], since: NIODeadline)
    /// The request was refused before it was complete; the rest of it is dropped.
    case dropping
    case answering(since: NIODeadline)
  }

  private let receiver: any RequestReceiver
  private let limits: HTTP1Limits
  private let rejections: HTTP2Rejections
  private var state = State.idle(since: .now())
  private var context: ChannelHandlerContext?
  private var timer: RepeatedTask?
  private var isDraining = false
  /// What came behind the request in hand is no HTTP.
  private var isPeerBroken = false

  init(
    receiver: any RequestReceiver, limits: HTTP1Limits, rejections: HTTP2Rejections
  ) {
    self.receiver = receiver
    self.limits = limits
    self.rejections = rejections
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    state = .idle(since: context.eventLoop.now)
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleRepeatedTask(
      initialDelay: limits.checkInterval, delay: limits.checkInterval
    ) { _ in bound.value.checkTime() }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    timer = nil
    self.context = nil
  }

  func channelInactive(context: ChannelHandlerContext) {
    timer?.cancel()
    timer = nil
    self.context = nil
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): receive(head, context)
    case .body(let buffer): receive(buffer, context)
    case .end: receiveEnd(context)
    }
  }

  private func receive(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let length = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
    guard length <= limits.requestBodyBytesMax else { return refuse(rejections.bodyTooLarge) }
    state = .receiving(head: head, body: [], since: context.eventLoop.now)
    if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
      let goOn = HTTPResponseHead(version: head.version, status: .continue)
      context.writeAndFlush(wrapOutboundOut(.head(goOn)), promise: nil)
    }
  }

  private func receive(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) {
    guard case .receiving(let head, var body, let since) = state else { return }
    state = .dropping
    guard body.count + buffer.readableBytes <= limits.requestBodyBytesMax else {
      return refuse(rejections.bodyTooLarge)
    }
    body.append(contentsOf: buffer.readableBytesView)
    state = .receiving(head: head, body: body, since: since)
  }

  private func receiveEnd(_ context: ChannelHandlerContext) {
    guard case .receiving(let head, let body, _) = state else { return }
    state = .answering(since: context.eventLoop.now)
    var block = HeaderBlock()
    block.append(":method", head.method.rawValue)
    block.append(":path", head.uri)
    for (name, value) in head.headers { block.append(name.lowercased(), value) }
    let exchange = HTTP1Exchange(
      handler: self, eventLoop: context.eventLoop, isKeptAlive: head.isKeepAlive,
      isHead: head.method == .HEAD)
    receiver.receive(block, body: body, exchange: exchange)
  }

  /// Answers before the request is complete. Its rest is not waited for: the connection closes.
  private func refuse(_ rejection: HTTP2Rejections.Rejection) {
    state = .dropping
    write(rejection.headers, body: rejection.body, isKeptAlive: false, isHead: false)
  }

  fileprivate func write(
    _ headers: ResponseHeaders, body: [UInt8], isKeptAlive: Bool, isHead: Bool
  ) {
    guard let context else { return }
    let isKeptAlive = isKeptAlive && !isDraining
    var head = HTTPResponseHead(
      version: .http1_1, status: HTTPResponseStatus(statusCode: headers.status))
    for (name, value) in headers.fields { head.headers.add(name: name, value: value) }
    head.headers.add(name: "content-length", value: String(body.count))
    if !isKeptAlive { head.headers.add(name: "connection", value: "close") }
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if !isHead && !body.isEmpty {
      let buffer = context.channel.allocator.buffer(bytes: body)
      context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
    }
    let written = context.eventLoop.makePromise(of: Void.self)
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    written.futureResult.whenComplete { _ in bound.value.wasWritten(isKeptAlive: isKeptAlive) }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: written)
  }

  private func wasWritten(isKeptAlive: Bool) {
    guard isKeptAlive, !isDraining else {
      context?.close(promise: nil)
      return
    }
    if isPeerBroken { return refuse(rejections.malformed) }
    if case .answering = state, let context { state = .idle(since: context.eventLoop.now) }
  }

  /// Finishes the request in hand, then closes.
  func beginDrain() {
    isDraining = true
    if case .idle = state { context?.close(promise: nil) }
  }

  func beginDrainAfterFirstRequest() { isDraining = true }

  private func checkTime() {
    guard let context else { return }
    let now = context.eventLoop.now
    switch state {
    case .idle(let since) where now - since > limits.idleTimeout: context.close(promise: nil)
    case .receiving(_, _, let since) where now - since > limits.requestTimeout:
      context.close(promise: nil)
    // Only the writing is timed: how long an answer may take is the business of its receiver.
    case .answering(let since)
    where !context.channel.isWritable && now - since > limits.writeTimeout:
      context.close(promise: nil)
    default: break
    }
  }

  /// What is no HTTP gets one answer, unless another one is under way.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch state {
    case .idle where error is HTTPParserError, .receiving where error is HTTPParserError:
      refuse(rejections.malformed)
    // It comes between the answer's last write and the flush: closing now would lose the answer.
    case .answering where error is HTTPParserError: isPeerBroken = true
    default: context.close(promise: nil)
    }
  }
}

/// A request of HTTP/1.1 that waits for its answer.
private final class HTTP1Exchange: Exchange {
  private weak var handler: HTTP1Handler?
  let eventLoop: any EventLoop
  private let isKeptAlive: Bool
  private let isHead: Bool

  init(handler: HTTP1Handler, eventLoop: any EventLoop, isKeptAlive: Bool, isHead: Bool) {
    self.handler = handler
    self.eventLoop = eventLoop
    self.isKeptAlive = isKeptAlive
    self.isHead = isHead
  }

  var isOpen: Bool { handler != nil }

  func respond(_ headers: ResponseHeaders, body: [UInt8]) {
    let handler = handler
    self.handler = nil
    handler?.write(headers, body: body, isKeptAlive: isKeptAlive, isHead: isHead)
  }
}
