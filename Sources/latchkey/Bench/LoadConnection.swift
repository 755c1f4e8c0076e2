import HTTP
import LatchkeyClient
import NIOCore
import WireSchema

/// A connection and the requests that it keeps under way. It connects again when it breaks.
///
/// `@unchecked Sendable`: everything but `eventLoop` is touched only on it.
final class LoadConnection: @unchecked Sendable {
  /// What the slots do.
  private enum Phase {
    case idle
    /// Each slot goes over its keys once.
    case pass(toHold: Bool)
    case load
  }

  /// What waits for its answer.
  private struct Request {
    var step: LoadSlot.Step
    /// When it was sent, or was due: what a slow server delays counts as its latency.
    var begun: NIODeadline
    var sent: NIODeadline
    /// Part of the measurement, not of what comes before and after.
    var isMeasured: Bool
  }

  /// How often a load with a rate looks what is due.
  private static let paceInterval = TimeAmount.milliseconds(1)
  private static let reconnectDelay = TimeAmount.milliseconds(100)
  /// How often in an answer's timeout the answers are looked for.
  private static let looksPerTimeout: Int64 = 10

  let eventLoop: any EventLoop
  /// Opens a connection in the place of one that is broken.
  private let replace: @Sendable () async throws -> RawConnection
  private let workload: Workload
  private let recorder: LoadRecorder
  private let answerTimeout: TimeAmount

  private var connection: RawConnection?
  /// Nil where each slot sends as soon as it can.
  private var pace: Pace?
  private var paceTimer: RepeatedTask?
  private var slots: [LoadSlot]
  /// The slot whose turn it is, where there is a pace: so the keys are gone over evenly.
  private var turn = 0
  private var phase = Phase.idle
  /// By slot.
  private var requests: [Request?]
  private var requestCount = 0
  private var finished: EventLoopPromise<Void>?
  private var watch: RepeatedTask?
  /// Requests that may still be sent once the recording has begun; nil for no bound.
  private var budget: Int?
  private var isRecording = false
  private var isClosed = false

  /// - Parameters:
  ///   - connection: On the event loop of `recorder`.
  ///   - slots: The numbers of the slots that this connection serves.
  ///   - answerTimeout: How long to wait for an answer. The connection is replaced then.
  init(
    _ connection: RawConnection, slots: Range<Int>, workload: Workload,
    recorder: LoadRecorder, answerTimeout: TimeAmount
  ) {
    eventLoop = connection.eventLoop
    self.connection = connection
    replace = { try await connection.again() }
    self.workload = workload
    self.recorder = recorder
    self.answerTimeout = answerTimeout
    pace = workload.rate.map { Pace(perSecond: $0 / Double(workload.connections)) }
    self.slots = slots.map { LoadSlot(number: $0, workload: workload) }
    requests = Array(repeating: nil, count: slots.count)
  }

  // MARK: - Phases, each until its future succeeds

  /// Claims all keys, or releases all that are held; what cannot be done is left.
  func pass(toHold: Bool) -> EventLoopFuture<Void> {
    begin(.pass(toHold: toHold)) {
      for index in self.slots.indices { self.slots[index].rewind() }
    }
  }

  /// Puts load on the server until ``stop()``, or the end of the budget.
  func load() -> EventLoopFuture<Void> {
    begin(.load) {
      guard self.pace != nil else { return }
      self.pace?.begin(at: .now())
      self.paceTimer = self.eventLoop.scheduleRepeatedTask(
        initialDelay: Self.paceInterval, delay: Self.paceInterval
      ) { _ in self.sendDue() }
    }
  }

  /// Records from now on, and ends after `budget` requests (nil: no end).
  func record(budget: Int?) {
    eventLoop.execute {
      self.isRecording = true
      self.budget = budget
    }
  }

  /// Ends the load when the answers that are still missing have come, or not in time.
  func stop() {
    eventLoop.execute {
      guard self.isLoad else { return }
      self.phase = .idle
      self.finishIfIdle()
    }
  }

  /// How many requests succeeded and failed on all connections of this event loop so far.
  func counts() -> EventLoopFuture<(succeeded: Int, failed: Int)> {
    eventLoop.submit { (self.recorder.succeeded, self.recorder.failed) }
  }

  func record() -> EventLoopFuture<LoadRecord> { eventLoop.submit { self.recorder.record } }

  func heldKeys() -> EventLoopFuture<Int> {
    eventLoop.submit { self.slots.reduce(0) { $0 + $1.heldCount } }
  }

  func close() async {
    let connection = try? await eventLoop.submit {
      self.isClosed = true
      self.watch?.cancel()
      return self.connection
    }.get()
    await connection?.close()
  }

  private func begin(
    _ phase: Phase, _ prepare: @escaping @Sendable () -> Void
  ) -> EventLoopFuture<Void> {
    eventLoop.flatSubmit {
      self.phase = phase
      prepare()
      let finished = self.eventLoop.makePromise(of: Void.self)
      self.finished = finished
      self.watchAnswers()
      self.sendAll()
      self.finishIfIdle()
      return finished.futureResult
    }
  }

  private func finishIfIdle() {
    guard requestCount == 0, !mayGoOn else { return }
    phase = .idle
    isRecording = false
    paceTimer?.cancel()
    paceTimer = nil
    finished?.succeed()
    finished = nil
  }

  /// Whether requests may follow although none is under way: the next is not due yet, or the
  /// connection comes back.
  private var mayGoOn: Bool { isLoad && budget != 0 && (connection == nil || pace != nil) }

  private var isLoad: Bool {
    if case .load = phase { true } else { false }
  }

  // MARK: - Requests

  private func sendAll() {
    for index in slots.indices where requests[index] == nil { sendNext(index) }
  }

  /// Sends the slot's next request, unless it has to wait until that is due.
  private func sendNext(_ index: Int) {
    if isLoad, pace != nil { return }
    send(index, begun: .now())
  }

  private func sendDue() {
    guard isLoad, connection != nil else { return }
    let now = NIODeadline.now()
    while requests[turn] == nil, let due = pace?.take(at: now) {
      send(turn, begun: due)
      turn = (turn + 1) % slots.count
    }
    finishIfIdle()
  }

  private func send(_ index: Int, begun: NIODeadline) {
    guard let connection, let step = nextStep(index) else { return }
    let slot = slots[index]
    let call = workload.call(step.operation, key: Int(slot.keys[step.index]), slot: slot.number)
    requests[index] = Request(
      step: step, begun: begun, sent: .now(), isMeasured: isRecording)
    requestCount += 1
    connection.call(path: call.path, body: call.body) { result in
      self.received(result, index, connection)
    }
  }

  private func nextStep(_ index: Int) -> LoadSlot.Step? {
    switch phase {
    case .idle: return nil
    case .pass(let toHold): return slots[index].nextStep(toHold: toHold)
    case .load:
      if isRecording, let left = budget {
        guard left > 0 else { return nil }
        budget = left - 1
      }
      return slots[index].nextStep(of: workload.mix)
    }
  }

  private func received(
    _ result: Result<HTTP2Response, HTTP2ClientError>, _ index: Int, _ connection: RawConnection
  ) {
    // A connection that was given up on may still have its say.
    guard connection === self.connection else { return }
    switch result {
    case .success(let response):
      complete(
        index, error: response.status == 200 ? nil : Self.code(of: response), isAnswered: true)
      sendNext(index)
    case .failure(let error):
      reconnect(becauseOf: error.code.rawValue)
    }
    finishIfIdle()
  }

  private func complete(_ index: Int, error: String?, isAnswered: Bool) {
    guard let request = requests[index] else { return }
    requests[index] = nil
    requestCount -= 1
    slots[index].finished(request.step, succeeded: error == nil, isAnswered: isAnswered)
    if request.isMeasured {
      recorder.note(request.step.operation, begun: request.begun, error: error)
    }
  }

  private static func code(of response: HTTP2Response) -> String {
    RPCError(json: response.body, httpStatus: response.status).code.rawValue
  }

  /// Gives up on requests without an answer in time, and on their connection.
  private func watchAnswers() {
    guard watch == nil else { return }
    let interval = TimeAmount.nanoseconds(answerTimeout.nanoseconds / Self.looksPerTimeout)
    watch = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
      let oldest = NIODeadline.now() - self.answerTimeout
      let late = self.requests.indices.filter { index in
        self.requests[index].map { $0.sent < oldest } ?? false
      }
      guard !late.isEmpty else { return }
      for index in late { self.complete(index, error: "unanswered", isAnswered: false) }
      self.reconnect(becauseOf: HTTP2ClientError.Code.cancelled.rawValue)
      self.finishIfIdle()
    }
  }

  // MARK: - Connecting again

  /// Replaces the connection, with which all that is under way fails by the code `error`.
  private func reconnect(becauseOf error: String) {
    guard let broken = connection else { return }
    connection = nil
    for index in requests.indices { complete(index, error: error, isAnswered: false) }
    Task { await broken.close() }
    reconnectLater()
  }

  private func reconnectLater() {
    guard !isClosed else { return }
    eventLoop.scheduleTask(in: Self.reconnectDelay) {
      Task {
        let connection = try? await self.replace()
        self.eventLoop.execute { self.connected(connection) }
      }
    }
  }

  private func connected(_ connection: RawConnection?) {
    guard let connection else { return reconnectLater() }
    guard !isClosed else {
      Task { await connection.close() }
      return
    }
    self.connection = connection
    sendAll()
    finishIfIdle()
  }
}
