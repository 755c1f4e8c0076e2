import HTTP
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

  enum State {
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
  let limits: HTTP1Limits
  let rejections: HTTP1Rejections
  private let turns: Turns
  private let account = Turns.Account()
  var state: State
  private let reader: HTTP1RequestReader
  /// What has come and is not understood yet: some of a line, or requests whose turn has not come.
  var pending = ByteBuffer()
  /// What is kept of requests that are arriving, as the budget of all connections counts it.
  private var arriving: RoomBudget.Share
  /// What the answer takes that waits to be written, where nobody else counts it.
  var answering: RoomBudget.Share
  /// Nothing comes any more: the peer has ended its side of the connection, or
  /// ``HTTP1Limits/aheadBytesMax`` was passed, or what was ahead was dropped. What is whole of what is
  /// here is still answered.
  var isInputEnded = false
  /// Somebody asked to read while there was enough to do.
  private var isReadWanted = false
  private var isAdvancing = false
  /// Whether others are served before the next request.
  private var isTurnOver = false
  /// Whether the connection may go on after the answer to the request in hand.
  var isKeptAlive = true
  /// Whether something that the peer sends is not read.
  var isRestUnread = false
  weak var lingering: LingeringClose?
  /// The request in hand, until its answer is out.
  var exchange: HTTP1Exchange?
  /// Told when the exchange in hand ends, and then forgotten.
  private var watcher: (any ExchangeWatcher)?
  var context: ChannelHandlerContext?
  private var timer: RepeatedTask?
  var isDraining = false

  /// - Parameters:
  ///   - reader: Stands right behind this handler.
  ///   - turns: Of the connection's event loop.
  ///   - arrivals: The budget of all connections of the server for requests that are arriving.
  ///   - answers: Theirs for answers that wait to be written.
  ///   - now: When the first bytes of the first request came.
  init(
    reader: HTTP1RequestReader, receiver: any RequestReceiver, limits: HTTP1Limits,
    rejections: HTTP1Rejections, turns: Turns, arrivals: RoomBudget, answers: RoomBudget,
    at now: NIODeadline
  ) {
    self.turns = turns
    // What this connection alone may keep is bounded part by part.
    arriving = RoomBudget.Share(of: arrivals, bytesMax: .max)
    answering = RoomBudget.Share(of: answers, bytesMax: .max)
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
  var isGone: Bool { context == nil }

  private func end() {
    timer?.cancel()
    timer = nil
    context = nil
    state = .ended
    pending = ByteBuffer()
    _ = keep(0)
    exchangeEnded()
  }

  func exchangeEnded() {
    answering.giveBack(answering.bytesUsed)
    let watcher = watcher
    self.watcher = nil
    exchange = nil
    watcher?.exchangeEnded()
  }

  func close() {
    state = .ended
    forgetRequest()
    context?.closeSoon()
  }

  /// Nothing that has come is looked at any more.
  func forgetRequest() {
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
      isRestUnread = true
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
  func advance(isTurn: Bool = false) {
    // Whoever answers in place comes by here from within the loop below, which then goes on.
    guard !isAdvancing else { return }
    isAdvancing = true
    defer { isAdvancing = false }
    var turn = Turn(isAwaited: isTurn, timeMax: turns.turnTime)
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
    turns.wait(account) { [weak self] in
      guard let self else { return }
      isTurnOver = false
      advance(isTurn: true)
    }
  }

  private func waitForMore(_ context: ChannelHandlerContext) {
    guard !isInputEnded else { return isRestUnread ? closeAfterAnswer(context) : close() }
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
    case .writing where answering.isAboveItsPart: close()
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
