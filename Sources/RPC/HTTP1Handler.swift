import HTTP2
package import NIOCore
import NIOHTTP1

/// The bounds of one HTTP/1.1 connection.
package struct HTTP1Limits: Sendable {
  /// The largest body of a request, in bytes.
  package var requestBodyBytesMax = 524_288
  /// Path, names and values of a request's header fields together, in bytes.
  package var headerListBytesMax = 16_384
  /// Header fields of one request: as many as the same bound over HTTP/2 lets through, where each
  /// field counts 32 bytes more (RFC 9113 6.5.2).
  package var headerFieldsMax = 512
  /// How long a request may take to arrive, from its first byte to its last; where others were served
  /// on the connection before, from its header fields on.
  package var requestTimeout = TimeAmount.seconds(30)
  /// How long a connection may be idle between two requests, or before the first.
  package var idleTimeout = TimeAmount.seconds(75)
  /// How long an answer may wait without ``writeProgressBytesMin`` of it, or all, getting out.
  package var writeTimeout = TimeAmount.seconds(30)
  /// What a peer has to read within ``writeTimeout``, in bytes, if it does not read all there is.
  package var writeProgressBytesMin = 1_048_576
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
    /// The first bytes of the first request are here. Next: receiving.
    case opening(since: NIODeadline)
    /// Next: receiving.
    case idle(since: NIODeadline)
    /// Next: answering, or writing where the request is refused before it is complete.
    case receiving(head: HTTPRequestHead, since: NIODeadline)
    /// The receiver has the request; how long it takes is its own business. Next: writing.
    case answering
    /// At `since` some of the answer had last got out, and `left` bytes waited in the channel. What
    /// is still received is dropped. Next: idle, or the end.
    case writing(left: Int, since: NIODeadline)
  }

  private let receiver: any RequestReceiver
  private let limits: HTTP1Limits
  private let rejections: HTTP2Rejections
  private var state = State.opening(since: .now())
  private var body: [UInt8] = []
  /// Whether the request in hand is of HTTP/1.0, where keeping the connection has to be said.
  private var isOldClient = false
  /// Told when the exchange in hand ends, and then forgotten.
  fileprivate var watcher: (any ExchangeWatcher)?
  private var context: ChannelHandlerContext?
  private var timer: RepeatedTask?
  private var isDraining = false

  init(
    receiver: any RequestReceiver, limits: HTTP1Limits, rejections: HTTP2Rejections
  ) {
    self.receiver = receiver
    self.limits = limits
    self.rejections = rejections
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    state = .opening(since: context.eventLoop.now)
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleRepeatedTask(
      initialDelay: limits.checkInterval, delay: limits.checkInterval
    ) { _ in bound.value.checkTime() }
  }

  func handlerRemoved(context: ChannelHandlerContext) { end() }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  fileprivate var isConnected: Bool { context != nil }
  fileprivate var connectionID: ObjectIdentifier? { context.map { ObjectIdentifier($0.channel) } }

  private func end() {
    timer?.cancel()
    timer = nil
    context = nil
    exchangeEnded()
  }

  private func exchangeEnded() {
    let watcher = watcher
    self.watcher = nil
    watcher?.exchangeEnded()
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
    guard Self.namesOneHost(head) else { return refuse(rejections.malformed) }
    isOldClient = head.version == .http1_0
    state = .receiving(head: head, since: context.eventLoop.now)
    if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
      let goOn = HTTPResponseHead(version: head.version, status: .continue)
      context.writeAndFlush(wrapOutboundOut(.head(goOn)), promise: nil)
    }
  }

  /// RFC 9112 3.2: without it, or with several, a proxy may see another request than this server.
  private static func namesOneHost(_ head: HTTPRequestHead) -> Bool {
    head.version == .http1_0 || head.headers["host"].count == 1
  }

  private func receive(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) {
    guard case .receiving = state else { return }
    guard body.count + buffer.readableBytes <= limits.requestBodyBytesMax else {
      return refuse(rejections.bodyTooLarge)
    }
    body.append(contentsOf: buffer.readableBytesView)
  }

  private func receiveEnd(_ context: ChannelHandlerContext) {
    guard case .receiving(let head, _) = state else { return }
    state = .answering
    let body = body
    self.body = []
    var block = HeaderBlock()
    block.append(":method", head.method.rawValue)
    block.append(":path", Self.path(of: head.uri))
    for (name, value) in head.headers { block.append(name.lowercased(), value) }
    let exchange = HTTP1Exchange(
      handler: self, eventLoop: context.eventLoop, isKeptAlive: head.isKeepAlive,
      isHead: head.method == .HEAD)
    receiver.receive(block, body: body, exchange: exchange)
  }

  /// The path in a target of absolute form (RFC 9112 3.2.2), such as proxies send; others as they are.
  private static func path(of target: String) -> String {
    guard let scheme = ["http://", "https://"].first(where: { target.hasPrefix($0) }) else {
      return target
    }
    let path = target.dropFirst(scheme.count).drop { $0 != "/" }
    return path.isEmpty ? "/" : String(path)
  }

  /// Answers before the request is complete. Its rest is not waited for: the connection closes.
  private func refuse(_ rejection: HTTP2Rejections.Rejection) {
    body = []
    write(rejection.headers, body: rejection.body, isKeptAlive: false, isHead: false)
  }

  fileprivate func write(
    _ headers: ResponseHeaders, body: [UInt8], isKeptAlive: Bool, isHead: Bool
  ) {
    guard let context else { return }
    state = .writing(left: .max, since: context.eventLoop.now)
    let isKeptAlive = isKeptAlive && !isDraining
    var head = HTTPResponseHead(
      version: .http1_1, status: HTTPResponseStatus(statusCode: headers.status))
    for (name, value) in headers.fields { head.headers.add(name: name, value: value) }
    head.headers.add(name: "content-length", value: String(body.count))
    if !isKeptAlive {
      head.headers.add(name: "connection", value: "close")
    } else if isOldClient {
      head.headers.add(name: "connection", value: "keep-alive")
    }
    let written = context.eventLoop.makePromise(of: Void.self)
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    written.futureResult.whenComplete { _ in bound.value.wasWritten(isKeptAlive: isKeptAlive) }
    if isHead || body.isEmpty {
      context.writeAndFlush(wrapOutboundOut(.head(head)), promise: written)
    } else {
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      let buffer = context.channel.allocator.buffer(bytes: body)
      context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: written)
    }
  }

  /// The answer is out. Only now is its end told, which lets the next request in: a peer that sends
  /// many and reads nothing has one answer waiting, not all.
  private func wasWritten(isKeptAlive: Bool) {
    exchangeEnded()
    guard let context else { return }
    guard isKeptAlive, !isDraining else { return context.close(promise: nil) }
    state = .idle(since: context.eventLoop.now)
    context.write(wrapOutboundOut(.end(nil)), promise: nil)
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
    case .opening(let since) where now - since > limits.requestTimeout,
      .receiving(_, let since) where now - since > limits.requestTimeout:
      context.close(promise: nil)
    case .writing(let left, let since):
      let buffered = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
      if left - buffered >= limits.writeProgressBytesMin {
        state = .writing(left: buffered, since: now)
      } else if now - since >= limits.writeTimeout {
        context.close(promise: nil)
      }
    default: break
    }
  }

  /// What is no HTTP gets one answer.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch state {
    case .opening, .idle, .receiving:
      switch error as? HTTPParserError {
      case .headerOverflow: refuse(rejections.headersTooLarge)
      case .some: refuse(rejections.malformed)
      case nil: context.close(promise: nil)
      }
    case .answering, .writing: context.close(promise: nil)
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

  var isOpen: Bool { handler?.isConnected ?? false }
  var connectionID: ObjectIdentifier? { handler?.connectionID }

  func tellEnd(to watcher: any ExchangeWatcher) {
    if isOpen { handler?.watcher = watcher } else { watcher.exchangeEnded() }
  }

  func askForSignOfLife(_ completion: @escaping (SignOfLife) -> Void) {
    completion(isOpen ? .untold : .gone)
  }

  func respond(_ headers: ResponseHeaders, body: [UInt8]) {
    let handler = handler
    self.handler = nil
    handler?.write(headers, body: body, isKeptAlive: isKeptAlive, isHead: isHead)
  }
}
