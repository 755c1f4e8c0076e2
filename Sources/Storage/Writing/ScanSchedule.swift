import LockCore

/// When to look for what other servers wrote.
struct ScanSchedule {
  private let limits: StoreLimits
  private var nextLook: MonotonicTime
  private var changes: Int64?
  private var isRunning = false

  init(limits: StoreLimits, now: MonotonicTime) {
    self.limits = limits
    nextLook = now
  }

  func isDue(at now: MonotonicTime) -> Bool { !isRunning && now >= nextLook }

  /// - Parameter changes: What ``StoreWriter/changesByOthers()`` says now. The first time, every
  ///   row is news.
  mutating func shouldStart(changes: Int64, at now: MonotonicTime) -> Bool {
    nextLook = now + limits.scanIntervalNanoseconds
    guard changes != self.changes else { return false }
    self.changes = changes
    isRunning = true
    return true
  }

  mutating func ended(at now: MonotonicTime, nanoseconds: Int64, isComplete: Bool) {
    isRunning = false
    if !isComplete { changes = nil }
    // A scan takes a tenth of the time at most, however many rows there are.
    nextLook = now + max(limits.scanIntervalNanoseconds, 10 * nanoseconds)
  }

  /// Every row is news again.
  mutating func invalidate() { changes = nil }
}
