import HTTP2
import LockCore
import RPC
import Storage
import Synchronization
import WireSchema

/// A request that has come, before it is a call: who waits for its answer, where, and since when.
struct Arrival {
  let exchange: any Exchange
  let loop: EventLoopContext
  let metrics: MethodMetrics
  let time: MonotonicTime
}

/// A call on its way through the store. What it answers is its subclass's.
///
/// `@unchecked Sendable`: used on its event loop only; the store's threads carry it, and ask whether
/// it is wanted.
class UnaryCall: StoreCall, TimedCall, ExchangeWatcher, @unchecked Sendable {
  private let exchange: any Exchange
  private let loop: EventLoopContext
  /// Nil where the call does not wait.
  final let peer: WaitingPeer?
  let endpoint: Endpoint
  let codec: Codec
  private let metrics: MethodMetrics
  private let start: MonotonicTime
  let deadline: MonotonicTime?
  /// Until when the store is waited for, where it may be cut off; nil for as long as it takes.
  private var patienceEnd: MonotonicTime?
  private var isAnswered = false
  /// What a call that may wait was answered with, until its end.
  private var told: Outcome?
  private let hasEnded = Atomic<Bool>(false)
  /// What a long answer may take, until it is written or nobody waits for it.
  private var share: AnswerBudget.Share?

  init(
    _ endpoint: Endpoint, _ arrival: Arrival, _ request: UnaryRequest,
    share: AnswerBudget.Share? = nil, peer: WaitingPeer? = nil
  ) {
    self.endpoint = endpoint
    self.peer = peer
    exchange = arrival.exchange
    loop = arrival.loop
    codec = request.codec
    metrics = arrival.metrics
    start = arrival.time
    self.share = share
    deadline = request.timeoutMilliseconds.map { arrival.time + $0 * 1_000_000 }
    if !mayTakeLong, let patience = loop.store.patienceNanoseconds {
      patienceEnd = arrival.time + patience
    }
    if deadline != nil || patienceEnd != nil { loop.watchDeadline(of: self) }
    exchange.tellEnd(to: self)
  }

  /// Turns what the store says into the body of an answer in the call's wire version.
  func body(of outcome: Outcome) throws(RPCError) -> [UInt8] {
    preconditionFailure("a kind of call says what it answers")
  }

  /// Whether the call may stand in the store's waiting room.
  var mayWait: Bool { false }

  /// Whether the answer may take long though nothing is wrong.
  var mayTakeLong: Bool { mayWait }

  /// The command that undoes what the store did for a peer that is gone; nil where there is nothing to
  /// be undone. A call that does not wait may have been repeated elsewhere by then, and what it did
  /// stands.
  func undoing(_ outcome: Outcome) -> Command? { nil }

  final var replyTarget: any ReplyTarget { loop }
  final var isWaiting: Bool { mayWait && !isAnswered }
  final var isWanted: Bool { !hasEnded.load(ordering: .relaxed) }

  final func askForSignOfLife() {
    loop.eventLoop.execute { [self] in
      if let peer { loop.askForSignOfLife(of: peer, through: exchange) }
    }
  }

  final func exchangeEnded() {
    hasEnded.store(true, ordering: .relaxed)
    share = nil
    leaveWaitingRoom()
    guard !isAnswered else {
      // Its stream ended with the answer still here.
      if let told, !exchange.isAnswerSent { undo(told) }
      return told = nil
    }
    isAnswered = true
    metrics.answered(.canceled, nanoseconds: loop.clock() - start, mayWait: mayWait)
  }

  /// A call that waits in line leaves it: a client that may be gone is not to be granted what others wait
  /// for. Everything else is answered.
  final func inputEnded() {
    guard mayWait, !isAnswered else { return }
    hasEnded.store(true, ordering: .relaxed)
    leaveWaitingRoom()
    refuse(
      RPCError(.canceled, "who waits has to keep its side of the connection open meanwhile"))
  }

  /// Takes what an answer with a resource of `bytes` needs until it is written.
  ///
  /// - Throws: `resourceExhausted` where other answers wait to be read and leave too little.
  final func makeRoom(for bytes: Int) throws(RPCError) {
    share = try loop.share(of: \.resources, ofAnswer: bytes, on: exchange)
  }

  /// Gives back what an answer of `bytes` does not need.
  final func keepRoom(for bytes: Int) { share?.keep(bytes) }

  private func leaveWaitingRoom() {
    if mayWait, !isAnswered { loop.store.abandon(self) }
  }

  final func complete(_ result: StoreResult) {
    guard !isAnswered else {
      if case .success(let outcome) = result { undo(outcome) }
      return
    }
    do throws(RPCError) {
      switch result {
      case .success(let outcome):
        let body = try body(of: outcome)
        if mayWait { told = outcome }
        answer(body)
      case .failure(let error): throw RPCError(error)
      }
    } catch {
      refuse(error)
    }
  }

  /// Takes back what the store did for a peer that did not learn of it.
  private func undo(_ outcome: Outcome) {
    guard let command = undoing(outcome) else { return }
    loop.store.submitAlways(command, call: InternalCall(loop) { _ in })
  }

  final func isOver(at now: MonotonicTime) -> Bool {
    if isAnswered { return true }
    guard let deadline, deadline <= now else {
      guard let patienceEnd, patienceEnd <= now else { return false }
      refuse(
        RPCError(
          .unavailable, "the store gives no answer; the change may or may not be made"))
      return true
    }
    hasEnded.store(true, ordering: .relaxed)
    leaveWaitingRoom()
    refuse(
      RPCError(
        .deadlineExceeded,
        "the deadline passed before the store answered; the change may or may not be made"))
    return true
  }

  private func answer(_ body: [UInt8]) {
    guard !isAnswered else { return }
    isAnswered = true
    metrics.answered(nil, nanoseconds: loop.clock() - start, mayWait: mayWait)
    exchange.respond(loop.answers.ok(codec), body: body, isBodyCounted: share != nil)
  }

  private func refuse(_ error: RPCError) {
    guard !isAnswered else { return }
    isAnswered = true
    metrics.answered(error.code, nanoseconds: loop.clock() - start, mayWait: mayWait)
    loop.answers.refuse(exchange, error)
  }
}

extension EventLoopContext {
  /// What an answer of `bytes` takes of the room for its kind; nil where it is not long.
  ///
  /// - Throws: `resourceExhausted` where there is less left.
  func share(
    of kind: @autoclosure () -> KeyPath<AnswerBudgets.Kinds<AnswerBudget>, AnswerBudget>,
    ofAnswer bytes: Int, on exchange: any Exchange
  ) throws(RPCError) -> AnswerBudget.Share? {
    guard bytes > AnswerBudget.shortAnswerBytesMax else { return nil }
    let share = answerBudget(kind(), of: exchange).share()
    guard share.take(bytes) else { throw RPCError.noRoom }
    return share
  }
}

extension RPCError {
  static let noRoom = RPCError(
    .resourceExhausted, "answers that wait to be read take all the room there is")

  /// What the store's failure means to a caller.
  init(_ error: StoreError) {
    let code: Code =
      switch error.code {
      case .unavailable, .tooOldServer, .unusable, .conflict: .unavailable
      case .overloaded: .resourceExhausted
      case .deadlineExceeded: .deadlineExceeded
      case .unwanted: .canceled
      case .damaged: .dataLoss
      }
    self.init(code, error.message)
  }
}
