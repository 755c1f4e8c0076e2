import HTTP2
import LatchkeyClient
import NIOCore
import RPC

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

  private static let reconnectDelay = TimeAmount.milliseconds(100)

  let eventLoop: any EventLoop
  private let endpoint: Endpoint
  private let workload: Workload
  private let recorder: LoadRecorder
  private let answerTimeout: TimeAmount

  private var connection: RawConnection?
  private var slots: [LoadSlot]
  private var phase = Phase.idle
  private var outstanding: [Int: (step: LoadSlot.Step, sent: NIODeadline)] = [:]
  private var finished: EventLoopPromise<Void>?
  /// Requests that may still be sent once the recording has begun; nil for no bound.
  private var budget: Int?
  private var isRecording = false
  private var isClosed = false
  /// Answers to requests of an earlier generation have been given up on.
  private var generation = 0

  /// - Parameters:
  ///   - connection: On the event loop of `recorder`.
  ///   - slots: The numbers of the slots that this connection serves.
  ///   - answerTimeout: How long to wait for answers at the end of a phase.
  init(
    _ connection: RawConnection, to endpoint: Endpoint, slots: Range<Int>, workload: Workload,
    recorder: LoadRecorder, answerTimeout: TimeAmount
  ) {
    eventLoop = connection.eventLoop
    self.connection = connection
    self.endpoint = endpoint
    self.workload = workload
    self.recorder = recorder
    self.answerTimeout = answerTimeout
    self.slots = slots.map { LoadSlot(number: $0, workload: workload) }
  }

  // MARK: - Phases, each until its future succeeds

  /// Claims all keys, or releases all that are held; what cannot be done is left.
  func pass(toHold: Bool) -> EventLoopFuture<Void> {
    begin(.pass(toHold: toHold)) {
      for index in self.slots.indices { self.slots[index].rewind() }
    }
  }

  /// Puts load on the server until ``stop()``, or the end of the budget.
  func load() -> EventLoopFuture<Void> { begin(.load) {} }

  /// Records from now on, and ends after `budget` requests (nil: no end).
  func record(from start: NIODeadline, budget: Int?) {
    eventLoop.execute {
      self.recorder.begin(at: start)
      self.isRecording = true
      self.budget = budget
    }
  }

  /// Ends the load when the answers that are still missing have come, or not in time.
  func stop() {
    eventLoop.execute {
      guard case .load = self.phase else { return }
      self.phase = .idle
      self.finishIfIdle()
      let generation = self.generation
      self.eventLoop.scheduleTask(in: self.answerTimeout) {
        if self.generation == generation { self.giveUpAnswers() }
      }
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
      return self.connection
    }.get()
    await connection?.close()
  }

  private func begin(
    _ phase: Phase, _ prepare: @escaping @Sendable () -> Void
  ) -> EventLoopFuture<Void> {
    eventLoop.flatSubmit {
      self.phase = phase
      self.generation += 1
      prepare()
      let finished = self.eventLoop.makePromise(of: Void.self)
      self.finished = finished
      self.sendAll()
      self.finishIfIdle()
      return finished.futureResult
    }
  }

  private func finishIfIdle() {
    guard outstanding.isEmpty, !mayGoOn else { return }
    finished?.succeed()
    finished = nil
  }

  /// Whether requests may follow although none is under way: the connection comes back.
  private var mayGoOn: Bool {
    if case .load = phase { budget != 0 && connection == nil } else { false }
  }

  private func giveUpAnswers() {
    generation += 1
    for (index, request) in outstanding {
      complete(index, request, error: "unanswered", isAnswered: false)
    }
    outstanding = [:]
    finishIfIdle()
  }

  // MARK: - Requests

  private func sendAll() {
    for index in slots.indices where outstanding[index] == nil { send(index) }
  }

  private func send(_ index: Int) {
    guard let connection, let step = nextStep(index) else { return }
    let slot = slots[index]
    let body = workload.body(step.operation, key: Int(slot.keys[step.index]), slot: slot.number)
    let sent = NIODeadline.now()
    let generation = generation
    outstanding[index] = (step, sent)
    connection.call(path: workload.path(step.operation), body: body) { result in
      guard generation == self.generation else { return }
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
    guard let request = outstanding.removeValue(forKey: index) else { return }
    switch result {
    case .success(let response):
      let error = response.status == 200 ? nil : Self.code(of: response)
      complete(index, request, error: error, isAnswered: true)
      send(index)
    case .failure(let error):
      complete(index, request, error: error.code.rawValue, isAnswered: false)
      reconnect(after: connection)
    }
    if outstanding.isEmpty { finishIfIdle() }
  }

  private func complete(
    _ index: Int, _ request: (step: LoadSlot.Step, sent: NIODeadline), error: String?,
    isAnswered: Bool
  ) {
    slots[index].finished(request.step, succeeded: error == nil, isAnswered: isAnswered)
    recorder.note(request.step.operation, sent: request.sent, error: error)
  }

  private static func code(of response: HTTP2Response) -> String {
    RPCError(json: response.body, httpStatus: response.status).code.rawValue
  }

  // MARK: - Connecting again

  /// Replaces `broken`, once, however many of its requests failed.
  private func reconnect(after broken: RawConnection) {
    guard connection === broken else { return }
    connection = nil
    Task {
      await broken.close()
    }
    reconnectLater()
  }

  private func reconnectLater() {
    guard !isClosed else { return }
    eventLoop.scheduleTask(in: Self.reconnectDelay) {
      Task {
        let connection = try? await RawConnection.connect(to: self.endpoint, on: self.eventLoop)
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
