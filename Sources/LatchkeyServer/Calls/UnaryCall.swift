import HTTP
import LockCore
import RPC
import Storage
import Synchronization
import WireSchema

/// A call on its way through the store.
///
/// `@unchecked Sendable`: used on its event loop only; the store's threads carry it, and ask whether
/// it is wanted.
final class UnaryCall: StoreCall, TimedCall, ExchangeWatcher, @unchecked Sendable {
  /// What it asks of the store.
  enum Kind {
    case command(Command)
    case get(key: String)
    case list(ResourceList)
  }

  private let kind: Kind
  private let exchange: any Exchange
  private let connection: Connection
  private var loop: EventLoopContext { connection.loop }
  /// Nil where the call does not wait.
  let peer: WaitingPeer?
  private let endpoint: Endpoint
  private let codec: Codec
  private let metrics: MethodMetrics
  private let account: CallAccount
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
  /// Who asks, where the call may wait: long enough to be allowed less in the end.
  private let waitingAsker: Asker?

  init(
    _ kind: Kind, _ endpoint: Endpoint, _ context: CallContext, _ request: UnaryRequest,
    share: AnswerBudget.Share? = nil
  ) {
    self.kind = kind
    self.endpoint = endpoint
    exchange = context.exchange
    connection = context.connection
    codec = request.codec
    metrics = context.metrics
    account = context.account
    waitingAsker = kind.mayWait ? context.asker : nil
    start = context.time
    self.share = share
    peer = kind.mayWait ? context.connection.waitingPeer(at: context.time) : nil
    deadline = request.timeoutMilliseconds.map { context.time + $0 * 1_000_000 }
    if !mayTakeLong, let patience = loop.store.patienceNanoseconds {
      patienceEnd = context.time + patience
    }
    if deadline != nil || patienceEnd != nil { loop.watchDeadline(of: self) }
    exchange.tellEnd(to: self)
  }

  /// Turns what the store says into the body of an answer in the call's wire version.
  private func body(of outcome: Outcome) throws(RPCError) -> [UInt8] {
    switch kind {
    case .command(let command):
      let body = try endpoint.written(
        { () throws(WireError) in try Locks.answer(to: command, outcome) }, codec)
      // Most owners are shorter than they may be, and a peer that is slow to read keeps it.
      share?.keep(body.count)
      return body
    case .get(let key):
      // Before it is encoded: what there is no room for shall cost nothing.
      var estimate = 0
      if case .found(let record?) = outcome, let holder = record.holder {
        estimate = holder.byteCount
        try makeRoom(for: estimate)
      }
      let body = try endpoint.written(
        { () throws(WireError) in try Locks.answer(toGet: key, outcome) }, codec)
      // Some versions have more to say of it, and JSON says it at length.
      if body.count > estimate { try makeRoom(for: body.count) }
      return body
    case .list(let list):
      guard case .listed(let end) = outcome else {
        throw endpoint.refusal(WireError(refusal: outcome, key: ""))
      }
      return try list.takeBody(end)
    }
  }

  /// Whether the call may stand in the store's waiting room.
  private var mayWait: Bool { kind.mayWait }

  /// Whether the answer may take long though nothing is wrong.
  private var mayTakeLong: Bool { if case .list = kind { true } else { mayWait } }

  var replyTarget: any ReplyTarget { loop }
  var isWaiting: Bool { mayWait && !isAnswered }
  var isWanted: Bool { !hasEnded.load(ordering: .relaxed) }

  func askForSignOfLife() {
    loop.eventLoop.execute { [self] in
      if let peer { connection.askForSignOfLife(of: peer, through: exchange) }
    }
  }

  func exchangeEnded() {
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
  func inputEnded() {
    guard mayWait, !isAnswered else { return }
    hasEnded.store(true, ordering: .relaxed)
    leaveWaitingRoom()
    refuse(
      RPCError(.canceled, "who waits has to keep its side of the connection open meanwhile"))
  }

  /// Takes what an answer with a resource of `bytes` needs until it is written.
  ///
  /// - Throws: `resourceExhausted` where other answers wait to be read and leave too little.
  private func makeRoom(for bytes: Int) throws(RPCError) {
    share = try connection.share(of: \.resources, ofAnswer: bytes)
  }

  private func leaveWaitingRoom() {
    if mayWait, !isAnswered { loop.store.abandon(self) }
  }

  func complete(_ result: StoreResult) {
    guard !isAnswered else {
      if case .success(let outcome) = result { undo(outcome) }
      return
    }
    do throws(RPCError) {
      switch result {
      case .success(let outcome):
        try lookAgain(before: outcome)
        let body = try body(of: outcome)
        if mayWait { told = outcome }
        if case .command(let command) = kind { account.denied(outcome, of: command) }
        answer(body)
      case .failure(let error): throw RPCError(error)
      }
    } catch {
      refuse(error)
    }
  }

  /// Who may not hold any more what it waited for is not told of it either, and what it was granted is given back.
  private func lookAgain(before outcome: Outcome) throws(RPCError) {
    guard let waitingAsker, case .command(let command) = kind, let key = command.key else { return }
    do throws(RPCError) {
      try connection.lookAgain(at: waitingAsker, hold: key)
    } catch {
      undo(outcome)
      throw error
    }
  }

  /// Takes back what the store did for a peer that did not learn of it. A call that does not wait may have been
  /// repeated elsewhere by then, and what it did stands.
  private func undo(_ outcome: Outcome) {
    guard case .command(let done) = kind, let command = Locks.undoing(done, outcome) else { return }
    loop.store.submitAlways(command, call: InternalCall(loop) { _ in })
  }

  func isOver(at now: MonotonicTime) -> Bool {
    if isAnswered { return true }
    guard let deadline, deadline <= now else {
      guard let patienceEnd, patienceEnd <= now else { return false }
      // Before the answer leaves: who has it may go on elsewhere.
      hasEnded.store(true, ordering: .relaxed)
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
    account.refused(error)
    loop.answers.refuse(exchange, error)
  }
}

extension UnaryCall.Kind {
  fileprivate var mayWait: Bool {
    if case .command(.claimWaiting) = self { true } else { false }
  }
}

extension Connection {
  /// What an answer of `bytes` takes of the room for its kind; nil where it is not long.
  ///
  /// - Throws: `resourceExhausted` where there is less left.
  func share(
    of kind: @autoclosure () -> KeyPath<AnswerBudgets.Kinds<AnswerBudget>, AnswerBudget>,
    ofAnswer bytes: Int
  ) throws(RPCError) -> AnswerBudget.Share? {
    guard bytes > AnswerBudget.shortAnswerBytesMax else { return nil }
    let share = answerBudget(kind()).share()
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
      case .unavailable, .tooOldServer, .unusable, .missing, .conflict: .unavailable
      case .overloaded: .resourceExhausted
      case .deadlineExceeded: .deadlineExceeded
      case .unwanted: .canceled
      case .damaged: .dataLoss
      }
    self.init(code, error.message)
  }
}
