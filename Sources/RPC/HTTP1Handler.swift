import HTTP2
import NIOCore
import NIOHTTP1

/// Serves HTTP/1.1: collects a request, hands it on as HTTP/2's would be, and writes the answer.
///
/// One request at a time. What a peer pipelines behind it stays bytes until its turn, and while
/// there is any of it nothing more is read. Nothing here calls itself for what a peer sends: one
/// loop, ``advance()``, takes request after request, and whatever ends a request comes back to it.
final class HTTP1Handler: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = Never
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    /// Nothing of a request is here. Next: receiving.
    case idle(since: NIODeadline)
    /// Next: answering, or writing where the request is refused before it is complete.
    case receiving(since: NIODeadline)
    /// The receiver has the request; how long it takes is its own business. Next: writing.
    case answering
    /// At `since` some of the answer had last got out, and `left` bytes waited in the channel.
    /// Next: idle, or ended.
    case writing(left: Int, since: NIODeadline)
    /// The connection closes.
    case ended
  }

  private let receiver: any RequestReceiver
  private let limits: HTTP1Limits
  private let rejections: HTTP1Rejections
  private let turns: Turns
  private var state: State
  private let reader: HTTP1RequestReader
  /// What has come and is not understood yet: some of a line, or requests whose turn has not come.
  private var pending = ByteBuffer()
  /// What is kept of requests that are arriving, as the budget of all connections counts it.
  private var arriving: ArrivalBudget.Share
  /// What the answer takes that waits to be written, where nobody else counts it.
  private var answering: ArrivalBudget.Share
  /// Nothing comes any more: the peer has ended its side of the connection, or
  /// ``HTTP1Limits/aheadBytesMax`` was passed, or what was ahead was dropped. What is whole of what is
  /// here is still answered.
  private var isInputEnded = false
  /// Somebody asked to read while there was enough to do.
  private var isReadWanted = false
  private var isAdvancing = false
  /// Whether others are served before the next request.
  private var isTurnOver = false
  /// Whether the connection may go on after the answer to the request in hand.
  private var isKeptAlive = true
  /// Whether something that the peer sends is not read.
  private var isRestUnread = false
  private weak var lingering: LingeringClose?
  /// The request in hand, until its answer is out.
  private var exchange: HTTP1Exchange?
  /// Told when the exchange in hand ends, and then forgotten.
  private var watcher: (any ExchangeWatcher)?
  private var context: ChannelHandlerContext?
  private var timer: RepeatedTask?
  private var isDraining = false

  /// - Parameters:
  ///   - reader: Stands right behind this handler.
  ///   - turns: Of the connection's event loop.
  ///   - arrivals: The budget of all connections of the server for requests that are arriving.
  ///   - answers: Theirs for answers that wait to be written.
  ///   - now: When the first bytes of the first request came.
  init(
    reader: HTTP1RequestReader, receiver: any RequestReceiver, limits: HTTP1Limits,
    rejections: HTTP1Rejections, turns: Turns, arrivals: ArrivalBudget, answers: ArrivalBudget,
    at now: NIODeadline
  ) {
    self.turns = turns
    // What this connection alone may keep is bounded part by part.
    arriving = ArrivalBudget.Share(of: arrivals, bytesMax: .max)
    answering = ArrivalBudget.Share(of: answers, bytesMax: .max)
    self.receiver = receiver
    self.limits = limits
    self.rejections = rejections
    state = .receiving(since: now)
    self.reader = reader
  }

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
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

  var isConnected: Bool { context != nil }
  var connectionID: ObjectIdentifier? { context.map { ObjectIdentifier($0.channel) } }

  private func end() {
    timer?.cancel()
    timer = nil
    context = nil
    state = .ended
    pending = ByteBuffer()
    _ = keep(0)
    exchangeEnded()
  }

  private func exchangeEnded() {
    answering.giveBack(answering.bytesUsed)
    let watcher = watcher
    self.watcher = nil
    exchange = nil
    watcher?.exchangeEnded()
  }

  private func close() {
    state = .ended
    forgetRequest()
    context?.closeSoon()
  }

  /// Nothing that has come is looked at any more.
  private func forgetRequest() {
    pending = ByteBuffer()
    reader.forgetRequest()
    _ = keep(0)
  }

  // MARK: - What comes

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    // Nobody will ask for what follows the last request of a connection.
    guard !isInputEnded, isKeptAlive else { return }
    let ahead = pending.readableBytes + bytes.readableBytes
    let isRoom = keep(ahead + reader.keptBytes)
    if mayTakeRequest {
      guard isRoom else { return refuse(.noRoom) }
      append(&bytes)
      advance()
    } else if isRoom, ahead <= limits.aheadBytesMax {
      append(&bytes)
      keepSmall()
    } else {
      isInputEnded = true
    }
  }

  /// Counts what is kept of requests that are arriving: all of it, always here. False where there
  /// is no room for as much; then it counts as before.
  private func keep(_ bytes: Int) -> Bool {
    let more = bytes - arriving.bytesUsed
    guard more < 0 else { return arriving.take(more) }
    arriving.giveBack(-more)
    return true
  }

  private func append(_ bytes: inout ByteBuffer) {
    if pending.readableBytes == 0 {
      pending = bytes
    } else {
      pending.discardReadBytes()
      pending.writeBuffer(&bytes)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed? = event as? ChannelEvent {
      isInputEnded = true
      if case .answering = state { watcher?.inputEnded() }
      advance()
    }
    context.fireUserInboundEventTriggered(event)
  }

  /// The channel's wish to read more is granted once there is nothing left to do.
  func read(context: ChannelHandlerContext) {
    guard mayTakeRequest else { return isReadWanted = true }
    context.read()
  }

  private var mayTakeRequest: Bool {
    switch state {
    case .idle, .receiving: !isTurnOver
    case .answering, .writing, .ended: false
    }
  }

  /// Takes requests, one after the other, as long as each is answered at once.
  private func advance() {
    // Whoever answers in place comes by here from within the loop below, which then goes on.
    guard !isAdvancing else { return }
    isAdvancing = true
    defer { isAdvancing = false }
    var turn = Turn()
    while mayTakeRequest, let context {
      guard !turn.isOver(on: context.eventLoop, limits) else { return endTurn() }
      switch reader.next(&pending, context) {
      case .request(let request):
        turn.begins(on: context.eventLoop)
        begin(request, context)
      case .continueExpected:
        let goOn = HTTPResponseHead(version: .http1_1, status: .continue)
        context.writeAndFlush(wrapOutboundOut(.head(goOn)), promise: nil)
      case .refused(let refusal):
        refuse(refusal)
      case .needsMore:
        return waitForMore(context)
      }
    }
    keepSmall()
  }

  /// Lets other connections be served before the next request.
  private func endTurn() {
    isTurnOver = true
    turns.wait { [weak self] in
      guard let self else { return }
      isTurnOver = false
      advance()
    }
  }

  private func waitForMore(_ context: ChannelHandlerContext) {
    guard !isInputEnded else { return close() }
    if case .idle = state, reader.isWithinRequest {
      state = .receiving(since: context.eventLoop.now)
    }
    keepSmall()
    if isReadWanted {
      isReadWanted = false
      context.read()
    }
  }

  /// Lets go of the room in which much was read, where little of it is left, and counts what stays.
  private func keepSmall() {
    let left = pending.readableBytes
    if left == 0 {
      pending = ByteBuffer()
    } else if pending.storageCapacity > 2 * left + Self.spareBytesMax {
      pending = ByteBuffer(bytes: pending.readableBytesView)
    }
    let isRoom = keep(pending.storageCapacity + reader.keptBytes)
    if isRequestInHand, !isRoom || arriving.isRoomScarce { dropAhead() }
  }

  private var isRequestInHand: Bool {
    switch state {
    case .answering, .writing: true
    case .idle, .receiving, .ended: false
    }
  }

  /// Drops what waits behind the request in hand, which may wait for an hour: the connection ends
  /// after its answer.
  private func dropAhead() {
    isInputEnded = true
    isRestUnread = true
    pending = ByteBuffer()
    _ = keep(0)
  }

  /// Room that is not worth the copy, in bytes.
  private static let spareBytesMax = 1_024

  private func begin(_ request: HTTP1Request, _ context: ChannelHandlerContext) {
    state = .answering
    isKeptAlive = request.head.isKeptAlive
    let exchange = HTTP1Exchange(
      handler: self, eventLoop: context.eventLoop, isHead: request.head.isHead,
      isOld: request.head.isOld)
    self.exchange = exchange
    receiver.receive(request.head.block, body: request.body, exchange: exchange)
  }

  /// Tells `watcher` of the exchange in hand, of its end above all.
  func tell(_ watcher: any ExchangeWatcher) {
    self.watcher = watcher
    guard isInputEnded, !isRestUnread, let context else { return }
    // In a turn of its own: who has just begun to watch may not be ready to hear.
    let bound = NIOLoopBound((self, watcher), eventLoop: context.eventLoop)
    context.eventLoop.execute {
      let (handler, watcher) = bound.value
      if handler.watcher === watcher, case .answering = handler.state { watcher.inputEnded() }
    }
  }

  // MARK: - Answers

  private func refuse(_ refusal: HTTP1Refusal) { refuse(rejections[refusal]) }

  /// Answers what is no HTTP at all, in place of any request.
  func refuse(_ foreign: ForeignProtocol) { refuse(rejections[foreign]) }

  /// Answers before the request is complete. Its rest is not waited for: the connection closes
  /// (``LingeringClose``).
  private func refuse(_ rejection: HTTP2Rejections.Rejection) {
    isKeptAlive = false
    isRestUnread = true
    forgetRequest()
    write(rejection.headers, body: rejection.body, isBodyCounted: false, isHead: false)
  }

  func write(
    _ headers: ResponseHeaders, body: [UInt8], isBodyCounted: Bool, isHead: Bool,
    isOld: Bool = false
  ) {
    guard let context else { return }
    guard isBodyCounted || answering.takeAnswer(body.count) else { return close() }
    state = .writing(left: .max, since: context.eventLoop.now)
    if isDraining || (isInputEnded && pending.readableBytes == 0) { isKeptAlive = false }
    let head = HTTPResponseHead(
      headers, bodyBytes: body.count, isKeptAlive: isKeptAlive, isOld: isOld)
    let written = context.eventLoop.makePromise(of: Void.self)
    let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
    written.futureResult.whenComplete { result in
      switch result {
      case .success: bound.value.wasWritten()
      case .failure: bound.value.couldNotWrite()
      }
    }
    if isHead || body.isEmpty {
      context.writeAndFlush(wrapOutboundOut(.head(head)), promise: written)
    } else {
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      let buffer = context.channel.allocator.buffer(bytes: body)
      context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: written)
    }
  }

  /// The answer is out. Only now is its end told, and only now comes the next request: a peer that
  /// sends many and reads nothing has one answer waiting, not all.
  private func wasWritten() {
    exchange?.isAnswerSent = true
    exchangeEnded()
    guard let context else { return }
    guard isKeptAlive, !isDraining else { return closeAfterAnswer(context) }
    state = .idle(since: context.eventLoop.now)
    advance()
  }

  /// The peer shall get to read the answer, whatever it sends meanwhile.
  private func closeAfterAnswer(_ context: ChannelHandlerContext) {
    guard isRestUnread || pending.readableBytes > 0 else { return close() }
    state = .ended
    forgetRequest()
    lingering = LingeringClose.begin(on: context, limits)
    if isDraining { lingering?.beginDrain() }
  }

  /// Nobody reads: nothing that is pending has to be answered.
  private func couldNotWrite() {
    exchangeEnded()
    close()
  }

  /// Finishes the request in hand, then closes.
  func beginDrain() {
    isDraining = true
    if case .idle = state { close() }
    lingering?.beginDrain()
  }

  func beginDrainAfterFirstRequest() { isDraining = true }

  private func checkTime() {
    guard let context else { return }
    let now = context.eventLoop.now
    switch state {
    case .idle(let since) where now - since > limits.idleTimeout: close()
    case .receiving(let since) where now - since > limits.requestTimeout: close()
    case .receiving where arriving.isAboveItsPart: refuse(.noRoom)
    case .answering where arriving.isRoomScarce: dropAhead()
    case .writing(let left, let since):
      if arriving.isRoomScarce { dropAhead() }
      let buffered = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
      if left - buffered >= limits.writeProgressBytesMin {
        state = .writing(left: buffered, since: now)
      } else if now - since >= limits.writeTimeout {
        close()
      }
    case .idle, .receiving, .answering, .ended: break
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { close() }
}
