import HTTP
import LockCore
import NIOCore
import HTTPServer
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
  let handshakes = Handshakes()
  let longAnswers: AnswerBudgets
  private let pulse: Pulse
  private var timed: [any TimedCall] = []
  private var connections: [ObjectIdentifier: Connection] = [:]
  private var timers: [RepeatedTask] = []
  /// Whether the server was told to end. Nobody new is to come.
  var isLeaving = false
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

  func opened(_ connection: Connection) { connections[ObjectIdentifier(connection)] = connection }

  func closed(_ connection: Connection) {
    connections[ObjectIdentifier(connection)] = nil
    connection.closed()
  }

  /// Offers something else from now on, on the connections that are open as well.
  func change(_ offer: WireOffer) {
    eventLoop.assertInEventLoop()
    self.offer = offer
    for connection in connections.values { connection.update(offer: offer) }
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

/// One value for each event loop of a group, to be used there only.
///
/// `@unchecked Sendable`: each value is reached only through its own event loop, which is asserted.
final class LoopLocal<Value>: @unchecked Sendable {
  private let values: [(loop: any EventLoop, value: Value)]

  init(_ values: [Value], loops: [EventLoopContext]) {
    self.values = zip(loops, values).map { ($0.eventLoop, $1) }
  }

  subscript(loop: any EventLoop) -> Value {
    loop.assertInEventLoop()
    return values.first { $0.loop === loop }!.value
  }
}
