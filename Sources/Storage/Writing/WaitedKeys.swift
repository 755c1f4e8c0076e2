import LockCore

/// Notices that another server may have freed keys that are waited for here.
///
/// A reader looks at them, outside of the write lock that all servers of the store share; only keys at
/// which something has changed are looked at in a transaction.
struct WaitedKeys {
  private let limits: StoreLimits
  private var changes: Int64?
  private var nextLook: MonotonicTime
  private var isLooking = false
  private var isEverythingPending = false
  /// Keys that are to be looked at in a transaction.
  private var pending: [String] = []

  init(limits: StoreLimits, now: MonotonicTime) {
    self.limits = limits
    nextLook = now
  }

  /// When there is something to be done next, while anybody waits; nil where a look is under way.
  func due(at now: MonotonicTime) -> MonotonicTime? {
    pending.isEmpty && !isEverythingPending ? (isLooking ? nil : nextLook) : now
  }

  /// Whether a reader is to look now.
  ///
  /// - Parameter changesByOthers: As ``StoreWriter/changesByOthers()``; asked only when it is time.
  mutating func shouldLook(
    at now: MonotonicTime, changesByOthers: () throws(StoreError) -> Int64
  ) throws(StoreError) -> Bool {
    guard !isLooking, now >= nextLook else { return false }
    nextLook = now + limits.waitedLookNanoseconds
    let current = try changesByOthers()
    guard current != changes else { return false }
    changes = current
    isLooking = true
    return true
  }

  /// - Parameter nanoseconds: How long it took. Looking takes a tenth of the time at most.
  mutating func lookEnded(at now: MonotonicTime, nanoseconds: Int64, isComplete: Bool) {
    isLooking = false
    if !isComplete { changes = nil }
    nextLook = max(nextLook, now + 9 * nanoseconds)
  }

  /// Something has changed at `keys`.
  mutating func add(_ keys: [String]) { pending += keys }

  /// The keys to be looked at in this transaction: as many as may be, and whose grants have
  /// ``StoreLimits/batchBytesMax`` together, but at least one.
  ///
  /// - Parameters:
  ///   - keys: All that are waited for.
  ///   - bytes: What granting one brings into the transaction.
  mutating func take(keys: () -> [String], bytes: (_ key: String) -> Int) -> [String] {
    if isEverythingPending {
      isEverythingPending = false
      pending = keys()
    }
    var (count, bytesTaken) = (0, 0)
    for key in pending.reversed().prefix(limits.batchMax) {
      bytesTaken += bytes(key)
      if bytesTaken > limits.batchBytesMax, count > 0 { break }
      count += 1
    }
    let next = Array(pending.suffix(count))
    pending.removeLast(count)
    return next
  }

  /// Everything is to be looked at, also what seems to be as it was: a commit that failed may have been
  /// done.
  mutating func invalidate() {
    changes = nil
    isEverythingPending = true
  }
}
