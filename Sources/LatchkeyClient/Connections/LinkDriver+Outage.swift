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
    let this = NIOLoopBound(self, eventLoop: loop)
    outageAlarm = time.schedule(at: time.now + outage.patience, on: loop) {
      this.value.outageDue()
    }
  }

  private func outageDue() {
    outageAlarm = nil
    if isReached { return attempts.isEmpty ? () : lookAtOutage() }
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

  /// Whether there is a server that nothing is wrong with but that its first answer takes long.
  private var isReached: Bool {
    guard case .ready(let id) = state.phase, let connection = connections[id] else { return false }
    return connection.watch.hasSpoken && failures.latest(of: connection.place.endpoint) == nil
  }

  /// A server gave a useful answer.
  func outageEnded(by place: Place) {
    outageAlarm?.cancel()
    outageAlarm = nil
    guard let duration = outage.ended(at: time.now) else { return }
    log(.notice, "a server serves again", ["server": "\(place)", "after": "\(duration)"])
  }
}
