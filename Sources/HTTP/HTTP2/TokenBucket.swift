import NIOCore

/// How much of something a peer may still make us do.
struct TokenBucket {
  private let allowance: HTTP2Limits.Allowance
  private var tokens: Int
  private var refilled: NIODeadline

  init(_ allowance: HTTP2Limits.Allowance, at now: NIODeadline) {
    self.allowance = allowance
    tokens = allowance.burst
    refilled = now
  }

  /// Takes `count` tokens; false where there are not as many.
  mutating func take(_ count: Int = 1, at now: NIODeadline) -> Bool {
    if tokens < allowance.burst { refill(at: now) }
    guard tokens >= count else { return false }
    tokens -= count
    return true
  }

  /// Ordinary work was done, which gives the peer credit.
  @inline(__always)
  mutating func earn() {
    if tokens < allowance.burst { tokens = min(allowance.burst, tokens + allowance.earned) }
  }

  private mutating func refill(at now: NIODeadline) {
    guard allowance.perSecond > 0 else { return }
    let perToken = max(1, 1_000_000_000 / Int64(allowance.perSecond))
    let elapsed = (now - refilled).nanoseconds
    let earned = elapsed / perToken
    guard earned > 0 else { return }
    if earned >= Int64(allowance.burst - tokens) {
      tokens = allowance.burst
      refilled = now
    } else {
      tokens += Int(earned)
      refilled = refilled + .nanoseconds(earned * perToken)
    }
  }
}
