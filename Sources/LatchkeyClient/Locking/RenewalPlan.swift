/// When a lease is renewed, and how long an attempt may take.
struct RenewalPlan {
  let lease: Duration
  /// The longest time for one attempt, whatever the lease.
  let requestTimeout: Duration

  /// When the first attempt is due after a claim or renewal that was sent at `sentAt`.
  func next(after sentAt: Instant, randomBits: UInt64) -> Instant {
    sentAt
      + (lease / ClientLimits.renewAfterDivisor).jittered(percent: 90...110, randomBits: randomBits)
  }

  /// When an attempt that begins at `now` is given up, so that one dead server does not cost the
  /// lease, nor anything done after the lease is over.
  func attemptDeadline(at now: Instant, leaseDeadline: Instant) -> Instant {
    let part = max(
      lease / ClientLimits.renewTimeoutDivisor,
      min(ClientLimits.renewTimeoutMin, lease / ClientLimits.renewAfterDivisor))
    return min(now + min(part, requestTimeout), leaseDeadline)
  }

  /// The pause after an attempt that failed.
  func pause(randomBits: UInt64) -> Duration {
    min(lease / ClientLimits.renewPauseDivisor, ClientLimits.renewPauseMax)
      .jittered(percent: 50...150, randomBits: randomBits)
  }
}
