/// Decides when a silent peer is asked for a sign of life, and when it counts as dead.
struct PeerWatch: Equatable {
  enum Verdict: Equatable {
    /// All is well; look again then.
    case fine(nextLook: Instant)
    /// Send a PING, and look again then.
    case ping(nextLook: Instant)
    case dead
  }

  /// When the peer was last heard.
  private(set) var heardAt: Instant
  /// When the first request went out after all others had been answered; nil while none is under way.
  private var busySince: Instant?
  /// When it was sent a PING that it has not answered; nil where there is none, or something else came
  /// from it since.
  private(set) var pingedAt: Instant?
  /// When the peer must have said its first word, which the opening of the connection asks for
  /// (RFC 9113, section 3.4); nil once it has.
  private var firstWordDue: Instant?

  /// - Parameter firstWordWithin: How long the peer may take to say anything at all: more than that
  ///   of a PING does not count.
  init(openedAt: Instant, firstWordWithin: Duration) {
    heardAt = openedAt
    let longest = ClientLimits.unansweredMax + ClientLimits.pingTimeout
    firstWordDue = openedAt + min(firstWordWithin, longest)
  }

  /// Whether the peer has said anything yet.
  var hasSpoken: Bool { firstWordDue == nil }

  /// The peer gave an answer.
  ///
  /// - Parameter isBusy: Whether more requests are under way.
  mutating func heard(at now: Instant, isBusy: Bool) {
    heardSomething(at: now)
    busySince = isBusy ? (busySince ?? now) : nil
  }

  /// Something came from the peer, if only a part of an answer: it lives.
  mutating func heardSomething(at now: Instant) {
    heardAt = now
    pingedAt = nil
    firstWordDue = nil
  }

  mutating func sent(at now: Instant) { if busySince == nil { busySince = now } }

  /// The last request under way was given up.
  mutating func becameIdle() { busySince = nil }

  mutating func look(at now: Instant) -> Verdict {
    let next = nextLook
    guard next <= now else { return .fine(nextLook: next) }
    if pingedAt != nil || firstWordDue != nil { return .dead }
    pingedAt = now
    return .ping(nextLook: nextLook)
  }

  /// When ``look(at:)`` next has something to say.
  var nextLook: Instant {
    if let firstWordDue { return firstWordDue }
    if let pingedAt { return pingedAt + ClientLimits.pingTimeout }
    let silence = heardAt + ClientLimits.silentMax
    guard let busySince else { return silence }
    return min(silence, max(busySince, heardAt) + ClientLimits.unansweredMax)
  }
}
