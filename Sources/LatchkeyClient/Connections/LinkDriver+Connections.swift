import HTTP
import Logging
import NIOCore
import WireSchema

// Connections: opening them, listening to them, watching them, closing them.
extension LinkDriver {
  // MARK: - What the state decides

  func perform(_ actions: [LinkState.Action]) {
    for action in actions {
      switch action {
      case .resolve(let endpoint): resolve(endpoint)
      case .connect(let id, let endpoint, let address):
        connect(id, to: Place(endpoint: configuration.endpoints[endpoint], address: address))
      case .hurry(let id): hurry(id)
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
    var pause = pauses.take(randomBits: environment.randomBits())
    let waiting = attempts.values.lazy.filter { $0.flight == nil }
    if let longest = waiting.compactMap(\.terms.pauseMax).min() {
      pause = min(pause, jittered(longest))
    }
    log(.debug, "all servers failed in turn", ["next": "in \(pause)"])
    endPause(at: time.now + pause)
    outage.goesOn()
    allFailed()
  }

  /// Somebody has come who cannot wait for so long.
  func shortenPause(for attempt: Attempt) {
    guard let longest = attempt.terms.pauseMax, let current = pauseEnd else { return }
    let end = time.now + jittered(longest)
    if end < current.time { endPause(at: end) }
  }

  private func jittered(_ longest: Duration) -> Duration {
    longest.jittered(percent: 50...150, randomBits: environment.randomBits())
  }

  private func endPause(at end: Instant) {
    pauseEnd?.alarm.cancel()
    let this = NIOLoopBound(self, eventLoop: loop)
    let alarm = time.schedule(at: end, on: loop) {
      let driver = this.value
      driver.pauseEnd = nil
      driver.perform(driver.state.pauseEnded())
    }
    pauseEnd = (end, alarm)
  }

  private func hurry(_ id: LinkState.ConnectionID) {
    let this = NIOLoopBound(self, eventLoop: loop)
    // Nothing to cancel: it does nothing once the connection is there, or another one is tried.
    _ = time.schedule(at: time.now + ClientLimits.connectPatience, on: loop) {
      this.value.perform(this.value.state.connectIsSlow(id))
    }
  }

  private func connect(_ id: LinkState.ConnectionID, to place: Place) {
    let this = NIOLoopBound(self, eventLoop: loop)
    let spoken = negotiation.spoken
    let timeout = configuration.connectTimeout
    let shown = token.prepare(for: place.endpoint, at: place.address, on: loop)
    let session = shown.flatMap { [tls, loop] in tls.session(with: place.endpoint, on: loop) }
    let opened = session.flatMap { [loop] session in
      Transport.connect(to: place.address, session, on: loop, timeout: timeout) { channel in
        let driver = this.value
        let connection = Connection(
          id, to: place, over: channel,
          offer: HandshakeOffer(client: spoken, grease: driver.environment.randomBits()),
          grease: driver.grease, driver: driver,
          watch: driver.newWatch)
        driver.connections[id] = connection
        try channel.pipeline.syncOperations.addHandler(connection.handler)
      }
    }
    opened.whenComplete { result in
      switch result {
      case .success: this.value.connected(id)
      case .failure(let error): this.value.connectFailed(id, place, error)
      }
    }
  }

  private func connected(_ id: LinkState.ConnectionID) {
    guard let connection = connections[id] else { return perform(state.connectFailed(id)) }
    guard state.phase != .closed else { return connection.channel.close(promise: nil) }
    log(.debug, "connected", ["server": "\(connection.place)"])
    // From when the server could say something.
    connection.watch = newWatch
    look(at: connection)
    perform(state.connected(id))
  }

  private var newWatch: PeerWatch {
    PeerWatch(openedAt: time.now, firstWordWithin: configuration.connectTimeout)
  }

  private func connectFailed(
    _ id: LinkState.ConnectionID, _ place: Place, _ error: any Error
  ) {
    connections[id] = nil
    log(.debug, "cannot connect", ["server": "\(place)", "error": "\(error)"])
    if state.phase == .connecting {
      let failure = LatchkeyError(
        .unavailable, "cannot reach \(place): \(Transport.reason(of: error))", cause: error)
      failures.note(failure, of: place.endpoint)
    }
    perform(state.connectFailed(id))
  }

  // MARK: - What connections say

  /// A server said its first word: what kept the client from it before is over.
  func reached(_ connection: Connection) {
    failures.forget(connection.place.endpoint)
    outage.reached(at: time.now)
  }

  func learned(_ range: WireRange, of connection: Connection) {
    negotiation.learn(range, of: connection.place.address, at: time.now)
  }

  func drained(_ connection: Connection, code: UInt32) {
    connection.handler.beginDrain()
    perform(state.unusable(connection.id, isFault: false))
  }

  func closed(_ connection: Connection, _ reason: HTTP2ConnectionEnd) {
    connection.nextLook?.alarm.cancel()
    connections[connection.id] = nil
    log(
      .debug, "connection ended", ["server": "\(connection.place)", "reason": "\(reason)"])
    perform(state.unusable(connection.id, isFault: false))
  }

  /// Has the connection's watch look at its peer when it is time.
  func look(at connection: Connection) {
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
        self.look(at: connection)
      }
    case .dead:
      log(
        .notice, "no sign of life, closing the connection",
        ["server": "\(connection.place)"])
      return connection.handler.abandon("no sign of life in time")
    }
    look(at: connection)
  }

  // MARK: - Attempts without an answer

  /// Has the server asked for a sign of life halfway to when the attempt is overdue, so that one
  /// that is only slow is told from one that is not there.
  func watchForAnswer(_ id: LinkState.AttemptID, _ attempt: Attempt, sentAt: Instant) {
    guard let patience = attempt.terms.overdueAfter else { return }
    plan(attempt, at: sentAt + patience / 2) { driver in
      if let flight = attempt.flight, flight.isSilent { flight.connection.probe() }
      driver.plan(attempt, at: sentAt + patience) { driver in
        driver.overdue(attempt, again: sentAt + patience * 2)
      }
    }
  }

  private func plan(
    _ attempt: Attempt, at time: Instant, _ action: @escaping (LinkDriver) -> Void
  ) {
    let this = NIOLoopBound((self, attempt, action), eventLoop: loop)
    attempt.overdueAlarm = self.time.schedule(at: time, on: loop) {
      let (driver, attempt, action) = this.value
      if attempt.flight != nil { action(driver) }
    }
  }

  /// The next request goes elsewhere where the server is silent. One that lives but has not
  /// answered by `again` is left too, where there is another. What is on its way stays on its way.
  private func overdue(_ attempt: Attempt, again: Instant) {
    if let flight = attempt.flight, flight.isSilent {
      perform(state.silent(flight.connection.id))
    }
    if state.hasAlternatives {
      plan(attempt, at: again) { driver in
        guard let flight = attempt.flight else { return }
        driver.perform(driver.state.silent(flight.connection.id))
      }
    }
    attempt.becameOverdue()
  }

  // MARK: - The end

  /// Ends what is not about something held, now and from now on.
  func beginClosing() {
    isClosing = true
    for id in attempts.keys.sorted() where attempts[id]?.terms.isOfHold == false {
      giveUp(id, Self.closedFailure.error)
    }
  }

  /// Fails what is under way and closes; complete when all connections are closed.
  func close() -> EventLoopFuture<Void> {
    state.close()
    pauseEnd?.alarm.cancel()
    outageAlarm?.cancel()
    for name in names.values { name.alarm?.cancel() }
    for id in attempts.keys.sorted() { giveUp(id, Self.closedFailure.error) }
    let closed = connections.values.map { connection in
      connection.nextLook?.alarm.cancel()
      connection.channel.close(promise: nil)
      return connection.channel.closeFuture
    }
    return EventLoopFuture.andAllComplete(closed, on: loop)
  }
}
