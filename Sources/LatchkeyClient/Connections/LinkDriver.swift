import HTTP2
import Logging
import NIOCore
import WireSchema

/// Carries out what ``LinkState``, ``Negotiation`` and ``PeerWatch`` decide. Belongs to one event
/// loop, on which everything here is called.
///
/// The way of an attempt: `submit` → (a connection) → `send` → `received` → `complete`.
final class LinkDriver {
  let loop: any EventLoop
  let configuration: LatchkeyClient.Configuration
  let environment: ClientEnvironment
  private let grease: Grease

  private var state: LinkState
  private var negotiation: Negotiation
  private var connections: [LinkState.ConnectionID: Connection] = [:]
  private var attempts: [LinkState.AttemptID: Attempt] = [:]
  private var pauses: DoublingDelay
  private var pauseAlarm: Alarm?
  /// Why there is no connection, where that is so.
  private var latestFailure: LatchkeyError?

  var time: any TimeSource { environment.time }
  var logger: Logger { configuration.logger }

  init(
    _ configuration: LatchkeyClient.Configuration, _ environment: ClientEnvironment,
    loop: any EventLoop
  ) {
    self.loop = loop
    self.configuration = configuration
    self.environment = environment
    grease = Grease(source: environment.randomBits)
    let count = configuration.endpoints.count
    let first =
      configuration.shufflesEndpoints ? Int(environment.randomBits() % UInt64(max(count, 1))) : 0
    state = LinkState(endpointCount: count, first: first)
    negotiation = Negotiation(spoken: environment.dialects.range)
    pauses = DoublingDelay(configuration.backoff)
  }

  // MARK: - An attempt

  func submit(_ id: LinkState.AttemptID, _ attempt: Attempt) {
    if state.phase == .closed {
      return attempt.complete(.failed(Self.closedFailure))
    }
    guard attempts.count < ClientLimits.attemptsMax else {
      let error = LatchkeyError(.overloaded, "\(attempts.count) calls are under way already")
      return attempt.complete(
        .failed(AttemptFailure(error: error, mayHaveHappened: false)))
    }
    attempts[id] = attempt
    let this = NIOLoopBound(self, eventLoop: loop)
    attempt.alarm = time.schedule(at: attempt.deadline, on: loop) { this.value.expired(id) }
    perform(state.want(id))
  }

  /// The caller does not want it any more.
  func cancel(_ id: LinkState.AttemptID) {
    giveUp(id, LatchkeyError(.cancelled, "the task was cancelled"))
  }

  private func expired(_ id: LinkState.AttemptID) {
    guard let attempt = attempts[id] else { return }
    guard let flight = attempt.flight else {
      let error = LatchkeyError(
        .unavailable, "no server could be reached in time", cause: latestFailure)
      return giveUp(id, error)
    }
    giveUp(
      id, LatchkeyError(.deadlineExceeded, "\(flight.connection.endpoint) gave no answer in time"))
    if flight.connection.watch.heardAt <= flight.sentAt {
      perform(state.silent(flight.connection.id))
    }
  }

  private func giveUp(_ id: LinkState.AttemptID, _ error: LatchkeyError) {
    guard let attempt = attempts[id] else { return }
    let flight = attempt.flight
    state.forget(id)
    complete(id, .failed(AttemptFailure(error: error, mayHaveHappened: flight?.request != nil)))
    guard let flight, let request = flight.request else { return }
    flight.connection.handler.cancel(request)
    if flight.connection.handler.requestCount == 0 { flight.connection.watch.becameIdle() }
  }

  private func complete(_ id: LinkState.AttemptID, _ outcome: AttemptOutcome) {
    attempts.removeValue(forKey: id)?.complete(outcome)
  }

  // MARK: - A request and its response

  private func send(_ id: LinkState.AttemptID, on connection: Connection) {
    guard let attempt = attempts[id] else { return }
    let now = time.now
    switch attempt.question {
    case .introduction:
      attempt.flight = Attempt.Flight(connection: connection, request: nil, sentAt: now)
      connection.handler.ping { self.introduced(id, by: connection, $0) }
    case .page(let path):
      send(id, attempt, method: "GET", EncodedCall(path: path, body: []), nil, connection, now)
    case .call(let call):
      switch negotiation.choose(for: connection.endpoint, offered: connection.offered) {
      case .nothingInCommon(let range):
        let error = noCommonVersion(with: range, at: connection.endpoint)
        complete(id, .failed(AttemptFailure(error: error, mayHaveHappened: false)))
      case .version(let version):
        do throws(LatchkeyError) {
          let encoded = try environment.dialects.dialect(of: version).encode(call)
          send(id, attempt, method: "POST", encoded, version, connection, now)
        } catch {
          complete(id, .failed(AttemptFailure(error: error, mayHaveHappened: false)))
        }
      }
    }
  }

  private func send(
    _ id: LinkState.AttemptID, _ attempt: Attempt, method: String, _ encoded: EncodedCall,
    _ version: UInt32?, _ connection: Connection, _ now: Instant
  ) {
    // Before it is sent, which may complete it at once.
    attempt.flight = Attempt.Flight(connection: connection, request: nil, sentAt: now)
    let left = max((attempt.deadline - now).milliseconds, 1)
    connection.watch.sent(at: now)
    let request = connection.handler.send(
      method: method, path: encoded.path,
      fields: version == nil ? [] : CallFields.withTimeout(milliseconds: left),
      body: encoded.body
    ) { result in
      switch result {
      case .success(let response):
        self.received(id, response, version, sentAt: now, on: connection)
      case .failure(let error): self.failed(id, error, on: connection)
      }
    }
    attempt.flight?.request = request
    look(at: connection)
  }

  private func received(
    _ id: LinkState.AttemptID, _ response: HTTP2Response, _ version: UInt32?, sentAt: Instant,
    on connection: Connection
  ) {
    connection.watch.heard(at: time.now, isBusy: connection.handler.requestCount > 0)
    if let range = WireRange(headersOf: response) {
      negotiation.learn(range, of: connection.endpoint)
    }
    switch Verdict(response, version: version) {
    case .success:
      served(connection)
      complete(
        id, .answered(Answered(body: response.body, version: version, sentAt: sentAt)))
    case .speaks(let range):
      served(connection)
      negotiation.learn(range, of: connection.endpoint)
      connection.corrected(range)
      let error = noCommonVersion(with: range, at: connection.endpoint)
      complete(
        id,
        .failed(
          AttemptFailure(error: error, mayHaveHappened: false, retry: .inAnotherVersion)))
    case .unavailable(let error):
      latestFailure = error
      // The pause is decided on before the caller can come back.
      perform(state.unavailable(connection.id))
      complete(id, .failed(AttemptFailure(error: error, mayHaveHappened: true, retry: .again)))
    case .refused(let error):
      served(connection)
      complete(id, .failed(AttemptFailure(error: error, mayHaveHappened: false)))
    }
  }

  private func failed(
    _ id: LinkState.AttemptID, _ error: HTTP2ClientError, on connection: Connection
  ) {
    let failure = AttemptFailure(error, at: connection.endpoint)
    if error.code == .connectionClosed { connection.hasLostRequests = true }
    if failure.retry == .again {
      latestFailure = failure.error
      // Where the connection is over, that follows at once; where it is not, its server refuses.
      if connection.handler.isUsable { perform(state.unavailable(connection.id)) }
    }
    complete(id, .failed(failure))
  }

  private func introduced(
    _ id: LinkState.AttemptID, by connection: Connection, _ isThere: Bool
  ) {
    guard isThere else {
      let error = LatchkeyError(.unavailable, "\(connection.endpoint) closed the connection")
      let failure = AttemptFailure(error: error, mayHaveHappened: false, retry: .again)
      return complete(id, .failed(failure))
    }
    connection.watch.heard(at: time.now, isBusy: connection.handler.requestCount > 0)
    served(connection)
    complete(
      id, .introduced(ConnectionInfo(connection, negotiation: negotiation)))
  }

  private func served(_ connection: Connection) {
    state.answered(connection.id)
    latestFailure = nil
  }

  private func noCommonVersion(with range: WireRange, at endpoint: Endpoint) -> LatchkeyError {
    LatchkeyError(
      .noCommonVersion,
      "\(endpoint) speaks wire \(range), this client (\(Release.version)) speaks "
        + "\(negotiation.spoken)")
  }

  static let closedFailure = AttemptFailure(
    error: LatchkeyError(.closed, "the client was shut down"), mayHaveHappened: false)

  // MARK: - What the state decides

  private func perform(_ actions: [LinkState.Action]) {
    for action in actions {
      switch action {
      case .connect(let id, let endpoint): connect(id, to: configuration.endpoints[endpoint])
      case .use(let connection, let waiting):
        guard let connection = connections[connection] else { continue }
        for attempt in waiting { send(attempt, on: connection) }
      case .pause(let isFirst): pause(isFirst: isFirst)
      case .drain(let connection): connections[connection]?.handler.beginDrain()
      }
    }
  }

  private func pause(isFirst: Bool) {
    if isFirst { pauses.reset() }
    let pause = pauses.take(randomBits: environment.randomBits())
    logger.debug("all servers failed in turn", metadata: ["next": "in \(pause)"])
    let this = NIOLoopBound(self, eventLoop: loop)
    pauseAlarm = time.schedule(at: time.now + pause, on: loop) {
      this.value.perform(this.value.state.pauseEnded())
    }
  }

  private func connect(_ id: LinkState.ConnectionID, to endpoint: Endpoint) {
    let this = NIOLoopBound(self, eventLoop: loop)
    let spoken = negotiation.spoken
    Transport.connect(to: endpoint, on: loop, timeout: configuration.connectTimeout) { channel in
      let driver = this.value
      let connection = Connection(
        id, to: endpoint, over: channel,
        offer: HandshakeOffer(client: spoken, grease: driver.environment.randomBits()),
        grease: driver.grease, driver: driver, openedAt: driver.time.now)
      driver.connections[id] = connection
      try channel.pipeline.syncOperations.addHandler(connection.handler)
    }.whenComplete { result in
      switch result {
      case .success: this.value.connected(id)
      case .failure(let error): this.value.connectFailed(id, endpoint, error)
      }
    }
  }

  private func connected(_ id: LinkState.ConnectionID) {
    guard let connection = connections[id] else { return perform(state.connectFailed(id)) }
    guard state.phase != .closed else { return connection.channel.close(promise: nil) }
    logger.debug("connected", metadata: ["endpoint": "\(connection.endpoint)"])
    look(at: connection)
    perform(state.connected(id))
  }

  private func connectFailed(
    _ id: LinkState.ConnectionID, _ endpoint: Endpoint, _ error: any Error
  ) {
    connections[id] = nil
    latestFailure = LatchkeyError(.unavailable, "cannot connect to \(endpoint)", cause: error)
    logger.debug("cannot connect", metadata: ["endpoint": "\(endpoint)", "error": "\(error)"])
    perform(state.connectFailed(id))
  }

  // MARK: - What connections say

  func learned(_ range: WireRange, of connection: Connection) {
    negotiation.learn(range, of: connection.endpoint)
  }

  func drained(_ connection: Connection, code: UInt32) {
    connection.handler.beginDrain()
    perform(state.unusable(connection.id, isFault: false))
  }

  func closed(_ connection: Connection, _ reason: HTTP2ConnectionEnd) {
    connection.nextLook?.alarm.cancel()
    connections[connection.id] = nil
    logger.debug(
      "connection ended",
      metadata: ["endpoint": "\(connection.endpoint)", "reason": "\(reason)"])
    perform(state.unusable(connection.id, isFault: connection.hasLostRequests))
  }

  /// Has the connection's watch look at its peer when it is time.
  private func look(at connection: Connection) {
    let next = connection.watch.nextLook
    if let planned = connection.nextLook {
      if planned.time <= next { return }
      planned.alarm.cancel()
    }
    let this = NIOLoopBound((self, connection), eventLoop: loop)
    let alarm = time.schedule(at: next, on: loop) {
      let (driver, connection) = this.value
      connection.nextLook = nil
      driver.lookDue(at: connection)
    }
    connection.nextLook = (next, alarm)
  }

  private func lookDue(at connection: Connection) {
    guard connections[connection.id] != nil else { return }
    switch connection.watch.look(at: time.now) {
    case .fine: break
    case .ping:
      connection.handler.ping { isThere in
        guard isThere else { return }
        connection.watch.heard(
          at: self.time.now, isBusy: connection.handler.requestCount > 0)
      }
    case .dead:
      logger.notice(
        "no sign of life, closing the connection",
        metadata: ["endpoint": "\(connection.endpoint)"])
      return connection.channel.close(promise: nil)
    }
    look(at: connection)
  }

  // MARK: - The end

  /// Fails what is under way and closes; complete when all connections are closed.
  func close() -> EventLoopFuture<Void> {
    state.close()
    pauseAlarm?.cancel()
    for id in attempts.keys.sorted() { giveUp(id, Self.closedFailure.error) }
    let closed = connections.values.map { connection in
      connection.nextLook?.alarm.cancel()
      connection.channel.close(promise: nil)
      return connection.channel.closeFuture
    }
    return EventLoopFuture.andAllComplete(closed, on: loop)
  }
}
