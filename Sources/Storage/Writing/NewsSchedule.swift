import LockCore

/// When to ask what other servers have changed, where the engine keeps an account of it.
struct NewsSchedule {
  private let limits: StoreLimits
  private(set) var mark: ChangeMark?
  /// How often the answer was that anything may have changed.
  private(set) var unknowns: Int64 = 0
  private var latestEnd: MonotonicTime
  /// How long the latest answer took.
  private var nanoseconds: Int64 = 0
  private var isAsking = false
  private var hasAsked = false

  init(limits: StoreLimits, now: MonotonicTime) {
    self.limits = limits
    latestEnd = now
  }

  /// When to ask next; nil while an answer is awaited.
  func due(isAnyWaiting: Bool) -> MonotonicTime? {
    guard !isAsking else { return nil }
    guard hasAsked else { return latestEnd }
    let interval =
      isAnyWaiting ? limits.waitedLookNanoseconds : limits.scanIntervalNanoseconds
    // Asking takes a tenth of the time at most.
    return latestEnd + max(interval, 9 * nanoseconds)
  }

  mutating func ask() {
    isAsking = true
    hasAsked = true
  }

  /// - Parameter changes: Nil where there was no answer.
  mutating func ended(_ changes: ChangesByOthers?, at now: MonotonicTime, nanoseconds: Int64) {
    isAsking = false
    latestEnd = now
    self.nanoseconds = nanoseconds
    if let changes { mark = changes.mark }
    if let changes, changes.rows == nil { unknowns += 1 }
  }
}
