import Logging
import NIOCore

// Telling the user that there is no server, and that there is one again.
extension LinkDriver {
  /// Somebody wants a server, and none is known to serve.
  func noteOutage() {
    outage.missed(at: time.now)
    if outageAlarm == nil { lookAtOutage() }
  }

  /// Has the outage looked at when it is time.
  private func lookAtOutage() {
    outageAlarm?.cancel()
    let this = NIOLoopBound(self, eventLoop: loop)
    outageAlarm = time.schedule(at: time.now + outage.patience, on: loop) {
      this.value.outageDue()
    }
  }

  /// A server is there. Whoever waits in line gets no answer for long, but is to hear of it.
  func outageMayBeOver() {
    outage.reached(at: time.now)
    if outage.isSaid { lookAtOutage() }
  }

  private func outageDue() {
    outageAlarm = nil
    if let place = reachedPlace {
      if outage.isSaid { return outageEnded(by: place) }
      return attempts.isEmpty ? () : lookAtOutage()
    }
    guard let duration = outage.isToBeSaid(at: time.now, isWanted: !attempts.isEmpty) else {
      return
    }
    let tried = configuration.endpoints[state.endpoint]
    let reason = failures.all()?.message ?? "cannot reach \(tried): no answer yet"
    log(
      .warning, "no server serves, trying on",
      ["reason": "\(reason)", "for": "\(duration)"]
    ) { [onOutage = configuration.onOutage] in
      onOutage?(reason)
    }
    lookAtOutage()
  }

  /// A server that nothing is wrong with but that its first answer takes long.
  private var reachedPlace: Place? {
    guard case .ready(let id) = state.phase, let connection = connections[id],
      connection.watch.hasSpoken, failures.latest(of: connection.place.endpoint) == nil
    else { return nil }
    return connection.place
  }

  /// A server gave a useful answer, or has been there for a while.
  func outageEnded(by place: Place) {
    outageAlarm?.cancel()
    outageAlarm = nil
    guard let duration = outage.ended(at: time.now) else { return }
    log(.notice, "a server serves again", ["server": "\(place)", "after": "\(duration)"])
  }
}
