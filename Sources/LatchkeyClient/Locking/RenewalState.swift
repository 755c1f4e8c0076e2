/// Decides when a lease is renewed. Does no I/O: every event returns what is to be done.
///
/// An attempt that is not answered in time is followed by another, while it stays on its way: its
/// answer counts whenever it comes.
struct RenewalState: Equatable {
  /// Attempts are numbered in the order in which they begin.
  typealias Attempt = Int

  enum Action: Equatable {
    /// The answer is of no use after `deadline`. What was planned before is not to be done.
    case send(Attempt, deadline: Instant)
    case cancel(Attempt)
    /// Calls ``due(at:)`` then, instead of what was planned before.
    case plan(Instant)
  }

  let plan: RenewalPlan
  /// Those that may extend the lease, the oldest first.
  private(set) var inFlight: [Attempt] = []
  /// Those that were sent before one that was accepted, the oldest first. They cannot extend the
  /// lease, but where there are no tokens they may tell that somebody else has held the key.
  private(set) var overtaken: [Attempt] = []
  private var latest: Attempt = 0
  /// Whether the latest attempt is in flight and overdue.
  private var isOverdue = false

  init(lease: Duration) { plan = RenewalPlan(lease: lease) }

  /// - Parameter sentAt: When the claim was sent that was granted.
  func begin(sentAt: Instant, randomBits: UInt64) -> [Action] {
    [.plan(plan.next(after: sentAt, randomBits: randomBits))]
  }

  /// The time has come that was planned.
  mutating func due(at now: Instant) -> [Action] {
    guard inFlight.count < ClientLimits.renewalsInFlightMax else { return [] }
    latest += 1
    inFlight.append(latest)
    isOverdue = false
    return [.send(latest, deadline: now + plan.lease)]
  }

  /// An attempt was sent and has been unanswered for ``RenewalPlan/overdueAfter``.
  mutating func overdue(_ attempt: Attempt, at now: Instant) -> [Action] {
    guard attempt == inFlight.last else { return [] }
    isOverdue = true
    return due(at: now)
  }

  /// An attempt that was sent at `sentAt` was accepted.
  mutating func accepted(
    _ attempt: Attempt, sentAt: Instant, at now: Instant, randomBits: UInt64
  ) -> [Action] {
    guard inFlight.contains(attempt) else {
      overtaken.removeAll { $0 == attempt }
      return []
    }
    overtaken += inFlight.filter { $0 < attempt }
    inFlight.removeAll { $0 <= attempt }
    let excess = max(overtaken.count - ClientLimits.renewalsInFlightMax, 0)
    let obsolete = overtaken.prefix(excess).map(Action.cancel)
    overtaken.removeFirst(excess)
    if inFlight.isEmpty {
      isOverdue = false
      return obsolete + [.plan(plan.next(after: sentAt, randomBits: randomBits))]
    }
    // There may have been no room for another one when it was due.
    return obsolete + (isOverdue ? due(at: now) : [])
  }

  /// - Parameters:
  ///   - isMoving: Whether the link has moved on, so that there is no need for a pause.
  ///   - isDenied: Whether it is not allowed, which a server does not think better of at once.
  mutating func failed(
    _ attempt: Attempt, isMoving: Bool, isDenied: Bool = false, at now: Instant,
    randomBits: UInt64
  ) -> [Action] {
    let wasLatest = attempt == inFlight.last
    inFlight.removeAll { $0 == attempt }
    overtaken.removeAll { $0 == attempt }
    guard wasLatest else { return isOverdue ? due(at: now) : [] }
    isOverdue = false
    let pause = plan.pause(isDenied: isDenied, randomBits: randomBits)
    return [.plan(isMoving ? now : now + pause)]
  }

  /// The lease is over, or given back.
  mutating func end() -> [Action] {
    defer {
      overtaken = []
      inFlight = []
    }
    return (overtaken + inFlight).map(Action.cancel)
  }
}

/// The times of a lease's renewals.
struct RenewalPlan: Equatable {
  let lease: Duration

  /// When the first attempt is due after a claim or renewal that was sent at `sentAt`.
  func next(after sentAt: Instant, randomBits: UInt64) -> Instant {
    sentAt
      + (lease / ClientLimits.renewAfterDivisor).jittered(percent: 90...110, randomBits: randomBits)
  }

  /// After how long without an answer another attempt follows, and goes elsewhere where the server
  /// is silent.
  var overdueAfter: Duration {
    max(
      lease / ClientLimits.renewalOverdueDivisor,
      min(ClientLimits.renewalOverdueMin, lease / ClientLimits.renewAfterDivisor))
  }

  /// The longest pause between two attempts, before jitter: what is left of a lease is not slept
  /// away while a server may be there again.
  var pauseMax: Duration {
    min(lease / ClientLimits.renewPauseDivisor, ClientLimits.renewPauseMax)
  }

  /// The pause after an attempt that was not allowed, before jitter: a few tries in what is left of a lease, in case
  /// the right is given back, however long it is.
  var pauseOfDenied: Duration { max(pauseMax, lease / ClientLimits.renewDeniedDivisor) }

  /// The pause after an attempt that failed.
  func pause(isDenied: Bool = false, randomBits: UInt64) -> Duration {
    (isDenied ? pauseOfDenied : pauseMax).jittered(percent: 50...150, randomBits: randomBits)
  }
}
