import HTTP2
import LockCore
import NIOCore
import RPC
import Storage
import WireSchema

/// What one event loop owns: its connections, the calls in hand, its prepared answers. Touched only
/// there, except for ``deliver(_:)``.
///
/// `@unchecked Sendable`: everything mutable is used on `eventLoop` only, which is asserted where
/// other threads could get in.
final class EventLoopContext: ReplyTarget, @unchecked Sendable {
  /// How often calls with a deadline are looked at, and the loop gives a sign of life.
  static let tick = TimeAmount.milliseconds(100)

  let eventLoop: any EventLoop
  let store: Store
  let clock: @Sendable () -> MonotonicTime
  private(set) var offer: WireOffer
  var answers: PreparedAnswers { offer.answers }
  /// Who asks for all metrics.
  let metricsReaders: SharedAnswer
  let heavyRequests: HeavyRequests
  let turns: Turns
  private let longAnswers: AnswerBudgets
  private var longAnswersOfConnections: [ObjectIdentifier: AnswerBudgets.Kinds<AnswerBudget>] = [:]
  private let pulse: Pulse
  private var timed: [any TimedCall] = []
  private var connections: [ObjectIdentifier: any ServerPipeline.Connection] = [:]
  /// Those of connections on which a call waits, or has.
  private var waitingPeers: [ObjectIdentifier: WaitingPeer] = [:]
  private var timers: [RepeatedTask] = []
  private(set) var isDraining = false

  init(
    eventLoop: any EventLoop, store: Store, clock: @escaping @Sendable () -> MonotonicTime,
    offer: WireOffer, longAnswers: AnswerBudgets, bodyBytesMax: Int
  ) {
    self.eventLoop = eventLoop
    self.store = store
    self.clock = clock
    self.offer = offer
    self.longAnswers = longAnswers
    metricsReaders = SharedAnswer(eventLoop: eventLoop)
    heavyRequests = HeavyRequests(eventLoop: eventLoop, bodyBytesMax: bodyBytesMax)
    turns = Turns(eventLoop: eventLoop)
    pulse = Pulse(at: clock())
    store.watch(pulse)
  }

  /// On the event loop.
  func start() {
    eventLoop.assertInEventLoop()
    repeats(every: Self.tick) { [unowned self] in tick() }
  }

  /// Does `body` now and then every `interval`, until ``stop()``. On the event loop.
  func repeats(every interval: TimeAmount, _ body: @escaping () -> Void) {
    eventLoop.assertInEventLoop()
    let bound = NIOLoopBound(body, eventLoop: eventLoop)
    timers.append(
      eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: interval) { _ in bound.value() })
  }

  /// On the event loop, which may end when what is returned is done.
  func stop() -> EventLoopFuture<Void> {
    eventLoop.assertInEventLoop()
    for timer in timers { timer.cancel() }
    timers = []
    return heavyRequests.end()
  }

  private func tick() {
    let now = clock()
    pulse.beat(at: now)
    // Answering one call may bring the next, which is then watched as well.
    let looked = timed
    timed = []
    let left = looked.filter { !$0.isOver(at: now) }
    timed = left + timed
  }

  /// Sees to it that `call` is answered when its deadline has passed, whatever the store does.
  func watchDeadline(of call: any TimedCall) { timed.append(call) }

  /// One task for a whole batch, on a thread of the store.
  func deliver(_ replies: [Reply]) {
    eventLoop.execute {
      for reply in replies { reply.complete() }
    }
  }

  // MARK: - Connections

  /// Notes whom to ask when `channel` is to be drained, in the place of whom it was before.
  func opened(_ connection: any ServerPipeline.Connection, on channel: any Channel) {
    connections[ObjectIdentifier(channel)] = connection
    if isDraining { connection.beginDrainAfterFirstRequest() }
  }

  /// Offers something else from now on, on the connections that are open as well.
  ///
  /// - Parameter handshake: Makes what stands in the frames of one connection.
  func change(_ offer: WireOffer, _ handshake: () -> HandshakeOffer) {
    eventLoop.assertInEventLoop()
    self.offer = offer
    for connection in connections.values { connection.update(offer: handshake()) }
  }

  func closed(_ channel: any Channel) {
    connections[ObjectIdentifier(channel)] = nil
    longAnswersOfConnections[ObjectIdentifier(channel)] = nil
    waitingPeers[ObjectIdentifier(channel)] = nil
  }

  /// The other side of the connection of `exchange`, which has just sent a request that may wait.
  func waitingPeer(of exchange: any Exchange, at now: MonotonicTime) -> WaitingPeer? {
    guard let id = exchange.connectionID else { return nil }
    guard let known = waitingPeers[id] else {
      let new = WaitingPeer(heardAt: now)
      waitingPeers[id] = new
      return new
    }
    if known.showsLife(at: now) { store.heard(known) }
    return known
  }

  /// Asks for a sign of life of `peer`, to whom `exchange` belongs.
  func askForSignOfLife(of peer: WaitingPeer, through exchange: any Exchange) {
    // The request was answered or reset by now; others may wait on its connection, which says nothing.
    guard exchange.connectionID != nil else { return store.notAsked(peer) }
    exchange.askForSignOfLife { [self] sign in
      let isNews =
        switch sign {
        // Its connection is ending: nobody is granted anything who is gone.
        case .given, .gone: peer.showsLife(at: clock())
        case .untold: peer.cannotBeAsked()
        }
      if isNews { store.heard(peer) }
    }
  }

  /// What long answers of a kind may take on the connection of `exchange`.
  func answerBudget(
    _ kind: KeyPath<AnswerBudgets.Kinds<AnswerBudget>, AnswerBudget>, of exchange: any Exchange
  ) -> AnswerBudget {
    // Without a connection there is nobody to answer.
    guard let id = exchange.connectionID else { return longAnswers.ofConnection()[keyPath: kind] }
    if let known = longAnswersOfConnections[id] { return known[keyPath: kind] }
    let new = longAnswers.ofConnection()
    longAnswersOfConnections[id] = new
    return new[keyPath: kind]
  }

  /// Lets every connection finish what it has in hand.
  func beginDrain() {
    eventLoop.assertInEventLoop()
    isDraining = true
    for connection in connections.values { connection.beginDrain() }
  }
}

/// A call that its event loop answers by itself where the store does not do so in time.
protocol TimedCall: AnyObject {
  /// Whether the call needs no more watching; answers it where its deadline has passed.
  func isOver(at now: MonotonicTime) -> Bool
}

/// The heads of the answers that are sent all the time, built once.
final class PreparedAnswers: Sendable {
  private let commonFields: [(String, String)]
  private let jsonOK: ResponseHeaders
  private let protoOK: ResponseHeaders

  init(commonFields: [(String, String)]) {
    self.commonFields = commonFields
    jsonOK = ResponseHeaders(
      status: 200, fields: [("content-type", Codec.json.contentType)] + commonFields)
    protoOK = ResponseHeaders(
      status: 200, fields: [("content-type", Codec.proto.contentType)] + commonFields)
  }

  func ok(_ codec: Codec) -> ResponseHeaders { codec == .json ? jsonOK : protoOK }

  func headers(
    status: Int, contentType: String, _ more: [(String, String)] = []
  ) -> ResponseHeaders {
    ResponseHeaders(
      status: status, fields: [("content-type", contentType)] + commonFields + more)
  }

  func refuse(_ exchange: any Exchange, _ error: RPCError, _ more: [(String, String)] = []) {
    exchange.respond(
      headers(status: error.httpStatus, contentType: Codec.json.contentType, more),
      body: error.json)
  }
}
