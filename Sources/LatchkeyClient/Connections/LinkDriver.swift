import HTTP
import NIOCore
import WireSchema

/// Carries out what ``LinkState``, ``Negotiation`` and ``PeerWatch`` decide. Belongs to one event
/// loop, on which everything here is called.
///
/// The way of an attempt: `submit` → (a connection) → `send` → `received` → `complete`. Where it is
/// completed, its caller may come back at once: what follows for the link is decided on before.
final class LinkDriver {
  let loop: any EventLoop
  let configuration: LatchkeyClient.Configuration
  let environment: ClientEnvironment
  let log: ClientLog
  let tls: ClientTLS
  let token: ClientToken
  let grease: Grease

  var state: LinkState
  var negotiation: Negotiation
  var connections: [LinkState.ConnectionID: Connection] = [:]
  var attempts: [LinkState.AttemptID: Attempt] = [:]
  var pauses: DoublingDelay
  /// The end of the pause that is under way.
  var pauseEnd: (time: Instant, alarm: Alarm)?
  private var latestAttempt: LinkState.AttemptID = 0
  /// Whether only what is held is served any more: the client shuts down.
  var isClosing = false
  /// By endpoint.
  var names: [Int: KnownName] = [:]
  /// Which address of a name comes first.
  let firstAddress: Int
  var outage = Outage()
  var outageAlarm: Alarm?
  /// Why there is no connection, where that is so.
  var failures = Failures()

  var time: any TimeSource { environment.time }

  init(
    _ configuration: LatchkeyClient.Configuration, _ environment: ClientEnvironment,
    _ log: ClientLog, loop: any EventLoop
  ) {
    self.loop = loop
    self.log = log
    tls = ClientTLS(configuration.tls, log: log)
    token = ClientToken(configuration.token, time: environment.time)
    self.configuration = configuration
    self.environment = environment
    grease = Grease(source: environment.randomBits)
    let count = configuration.endpoints.count
    let first =
      configuration.shufflesEndpoints ? Int(environment.randomBits() % UInt64(max(count, 1))) : 0
    firstAddress =
      configuration.shufflesEndpoints
      ? Int(environment.randomBits() % UInt64(ClientLimits.addressesMax)) : 0
    state = LinkState(endpointCount: count, first: first)
    negotiation = Negotiation(spoken: environment.versions.range)
    pauses = DoublingDelay(configuration.backoff)
  }

  // MARK: - An attempt

  func nextAttemptID() -> LinkState.AttemptID {
    latestAttempt += 1
    return latestAttempt
  }

  func submit(_ id: LinkState.AttemptID, _ attempt: Attempt) {
    if state.phase == .closed || isClosing && !attempt.terms.isOfHold {
      return attempt.complete(.failed(Self.closedFailure))
    }
    guard attempts.count < ClientLimits.attemptsMax else {
      let error = LatchkeyError(.overloaded, "\(attempts.count) calls are under way already")
      return attempt.complete(
        .failed(AttemptFailure(error: error, mayHaveHappened: false)))
    }
    attempts[id] = attempt
    let this = NIOLoopBound(self, eventLoop: loop)
    attempt.alarm = time.schedule(at: attempt.terms.deadline, on: loop) {
      this.value.expired(id)
    }
    perform(state.want(id))
    if !state.isServing { noteOutage() }
    if state.isPausing { shortenPause(for: attempt) }
    guard let patienceEnd = attempt.terms.patienceEnd, attempts[id] != nil, attempt.flight == nil
    else { return }
    if patienceEnd <= time.now { return patienceEnded(id) }
    attempt.patienceAlarm = time.schedule(at: patienceEnd, on: loop) {
      this.value.patienceEnded(id)
    }
  }

  /// Whoever waits for a connection gives up, once all endpoints have failed in turn.
  private func patienceEnded(_ id: LinkState.AttemptID) {
    guard let attempt = attempts[id], attempt.flight == nil else { return }
    if state.isPausing || attempt.hasSeenAllFail { giveUp(id, unreachable) }
  }

  /// All endpoints have failed in turn.
  func allFailed() {
    for (id, attempt) in attempts.sorted(by: { $0.key < $1.key }) where attempt.flight == nil {
      attempt.hasSeenAllFail = true
      if let end = attempt.terms.patienceEnd, end <= time.now { giveUp(id, unreachable) }
    }
  }

  private var unreachable: LatchkeyError {
    if let latest = failures.latest, latest.code == .noCommonVersion { return latest }
    return LatchkeyError(
      .unavailable, "no server could be reached in time at \(endpointNames)", cause: failures.all())
  }

  /// The caller does not want it any more.
  func cancel(_ id: LinkState.AttemptID) {
    giveUp(id, Self.cancelledFailure.error)
  }

  private func expired(_ id: LinkState.AttemptID) {
    guard let attempt = attempts[id] else { return }
    guard let flight = attempt.flight else { return giveUp(id, unreachable) }
    let error = LatchkeyError(
      .deadlineExceeded, "\(flight.connection.place) gave no answer in time",
      cause: failures.all(but: flight.connection.place.endpoint))
    if flight.isSilent, time.now - flight.sentAt >= ClientLimits.suspicionMin {
      perform(state.silent(flight.connection.id))
    }
    giveUp(id, error)
  }

  func giveUp(_ id: LinkState.AttemptID, _ error: LatchkeyError) {
    guard let attempt = attempts.removeValue(forKey: id) else { return }
    state.forget(id)
    // Also where it ends at the moment in which the outage is looked at.
    if state.phase != .closed, !state.isServing,
      attempt.flight?.connection.watch.hasSpoken != true
    {
      noteOutage()
    }
    let request = attempt.flight?.request
    if let flight = attempt.flight, let request {
      flight.connection.handler.cancel(request)
      if flight.connection.handler.requestCount == 0 { flight.connection.watch.becameIdle() }
    }
    attempt.complete(
      .failed(AttemptFailure(error: error, mayHaveHappened: request != nil)))
  }

  private func complete(_ id: LinkState.AttemptID, _ outcome: AttemptOutcome) {
    attempts.removeValue(forKey: id)?.complete(outcome)
  }

  // MARK: - A request and its response

  func send(_ id: LinkState.AttemptID, on connection: Connection) {
    guard let attempt = attempts[id] else { return }
    let now = time.now
    switch attempt.question {
    case .introduction:
      attempt.flight = Attempt.Flight(connection: connection, request: nil, sentAt: now)
      connection.introduce { self.introduced(id, by: connection, $0) }
    case .page(let path):
      send(id, attempt, method: "GET", EncodedCall(path: path, body: []), nil, connection, now)
    case .call(let call):
      switch negotiation.choose(
        for: connection.place.address, offered: connection.offered, at: now)
      {
      case .nothingInCommon(let range): foundNothingInCommon(id, with: range, on: connection)
      case .version(let version):
        do throws(LatchkeyError) {
          let encoded = try environment.versions.version(version).encode(call)
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
    let left = max((attempt.terms.deadline - now).milliseconds, 1)
    connection.watch.sent(at: now)
    var fields = version == nil ? [] : CallFields.withTimeout(milliseconds: left)
    let shown = token.field
    if let shown { fields.append(shown) }
    let request = connection.handler.send(
      method: method, path: encoded.path, fields: fields, body: encoded.body
    ) { result in
      switch result {
      case .success(let response):
        self.received(id, response, version, shown, sentAt: now, on: connection)
      case .failure(let error): self.failed(id, error, on: connection)
      }
    }
    attempt.flight?.request = request
    look(at: connection)
    if attempts[id] != nil { watchForAnswer(id, attempt, sentAt: now) }
  }

  private func received(
    _ id: LinkState.AttemptID, _ response: HTTP2Response, _ version: UInt32?,
    _ shown: (String, String)?, sentAt: Instant, on connection: Connection
  ) {
    let now = time.now
    connection.watch.heard(at: now, isBusy: connection.handler.requestCount > 0)
    if let range = WireRange(headersOf: response) {
      negotiation.learn(range, of: connection.place.address, at: now)
    }
    switch Verdict(response, version: version.map { environment.versions.version($0) }) {
    case .success:
      served(connection)
      complete(
        id, .answered(Answered(body: response.body, version: version, sentAt: sentAt)))
    case .speaks(let range):
      negotiation.learn(range, of: connection.place.address, at: now)
      connection.corrected(range)
      guard negotiation.spoken.newestCommon(with: range) != nil else {
        return foundNothingInCommon(id, with: range, on: connection)
      }
      served(connection)
      let error = noCommonVersion(with: range, at: connection.place)
      complete(
        id,
        .failed(
          AttemptFailure(error: error, mayHaveHappened: false, retry: .inAnotherVersion)))
    case .unavailable(let error):
      failures.note(error, of: connection.place.endpoint)
      // The pause is decided on before the caller can come back.
      perform(state.unavailable(connection.id))
      complete(id, .failed(AttemptFailure(error: error, mayHaveHappened: true, retry: .again)))
    case .refused(let error, let mayHaveHappened):
      served(connection)
      let failure = AttemptFailure(
        error: error, mayHaveHappened: mayHaveHappened, version: version)
      guard error.code == .unauthenticated, let replaced = token.replace(shown, on: loop) else {
        return complete(id, .failed(failure))
      }
      replaced.assumeIsolated().whenSuccess { isAnother in
        var failure = failure
        if isAnother { failure.retry = .withAnotherToken }
        self.complete(id, .failed(failure))
      }
    }
  }

  /// Another server of the fleet may be of another release: it is asked where there is one.
  private func foundNothingInCommon(
    _ id: LinkState.AttemptID, with range: WireRange, on connection: Connection
  ) {
    let error = noCommonVersion(with: range, at: connection.place)
    var failure = AttemptFailure(error: error, mayHaveHappened: false)
    if state.hasAlternatives {
      failure.retry = .again
      failures.note(error, of: connection.place.endpoint)
      perform(state.unavailable(connection.id))
    }
    complete(id, .failed(failure))
  }

  private func failed(
    _ id: LinkState.AttemptID, _ error: HTTP2ClientError, on connection: Connection
  ) {
    let failure = AttemptFailure(
      error, at: connection.place, hasSpoken: connection.handler.peerSettingsValue != nil)
    if failure.retry == .again {
      failures.note(failure.error, of: connection.place.endpoint)
      // Decided on before the caller can come back: it must not meet the same connection again.
      let isOver = !connection.handler.isUsable
      let isFault = error.code == .connectionClosed
      perform(
        isOver
          ? state.unusable(connection.id, isFault: isFault) : state.unavailable(connection.id))
    }
    complete(id, .failed(failure))
  }

  private func introduced(
    _ id: LinkState.AttemptID, by connection: Connection, _ isThere: Bool
  ) {
    guard isThere else {
      let error = LatchkeyError(.unavailable, "\(connection.place) closed the connection")
      let failure = AttemptFailure(error: error, mayHaveHappened: false, retry: .again)
      return complete(id, .failed(failure))
    }
    connection.watch.heard(at: time.now, isBusy: connection.handler.requestCount > 0)
    served(connection)
    complete(
      id, .introduced(ConnectionInfo(connection, negotiation: negotiation, at: time.now)))
  }

  private func served(_ connection: Connection) {
    state.answered(connection.id)
    failures.clear()
    if outage.since != nil { outageEnded(by: connection.place) }
  }

  private func noCommonVersion(with range: WireRange, at place: Place) -> LatchkeyError {
    LatchkeyError(
      .noCommonVersion,
      "\(place) speaks wire \(range), this client (\(Release.version)) speaks "
        + "\(negotiation.spoken)")
  }

  var endpointNames: String {
    let namesMax = 3
    let names = configuration.endpoints.prefix(namesMax).map(\.description).joined(separator: ", ")
    return names + (configuration.endpoints.count > namesMax ? ", …" : "")
  }

  static let cancelledFailure = AttemptFailure(
    error: LatchkeyError(.cancelled, "the task was cancelled"), mayHaveHappened: false)

  static let closedFailure = AttemptFailure(
    error: LatchkeyError(.closed, "the client was shut down"), mayHaveHappened: false)
}
