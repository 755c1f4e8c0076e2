/// Decides when a user hears that no server serves: once that has lasted for a while, from then on
/// now and then, and when it is over.
struct Outage: Equatable {
  /// When somebody wanted a server and there was none; nil while all is well.
  private(set) var since: Instant?
  /// When somebody who wants a server last came, or went without one.
  private var wantedAt: Instant?
  /// When a server was there again, of which no useful answer has come yet: whoever waits in line gets
  /// none for long.
  private var reachedAt: Instant?
  /// Whether the user heard of it.
  private(set) var isSaid = false

  /// There is no server for somebody who wants one: who comes, and who gives up.
  mutating func missed(at now: Instant) {
    since = since ?? now
    wantedAt = now
  }

  /// A server is there.
  mutating func reached(at now: Instant) { if since != nil { reachedAt = reachedAt ?? now } }

  /// All servers have failed, those that were there too.
  mutating func goesOn() { reachedAt = nil }

  /// How long to wait until it is looked at again.
  var patience: Duration { isSaid ? ClientLimits.outageReminder : ClientLimits.outageMin }

  /// Time has passed.
  ///
  /// - Parameter isWanted: Whether somebody waits for a server now. Who paused between two tries,
  ///   as callers do, does too.
  /// - Returns: For how long there has been none, where the user is to hear of it.
  mutating func isToBeSaid(at now: Instant, isWanted: Bool) -> Duration? {
    guard let since, let wantedAt else { return nil }
    guard isWanted || now - wantedAt <= ClientLimits.outageMin else {
      // Who comes next begins anew, but does hear of the end.
      self.since = isSaid ? since : nil
      return nil
    }
    isSaid = true
    return now - since
  }

  /// A server serves.
  ///
  /// - Returns: How long it took, where the user had heard that none did.
  mutating func ended(at now: Instant) -> Duration? {
    defer { self = Outage() }
    return isSaid ? since.map { (reachedAt ?? now) - $0 } : nil
  }
}
