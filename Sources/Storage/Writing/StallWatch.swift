package import LockCore
import Synchronization

/// The sign of life of a thread: it beats as often as it comes round.
package final class Pulse: Sendable {
  /// How often the owner is expected to beat, in nanoseconds.
  package static let intervalNanoseconds: Int64 = 250_000_000

  private let latest: Atomic<Int64>

  package init(at now: MonotonicTime) { latest = Atomic(now.nanoseconds) }

  package func beat(at now: MonotonicTime) {
    latest.store(now.nanoseconds, ordering: .relaxed)
  }

  func silence(at now: MonotonicTime) -> Int64 {
    now.nanoseconds - latest.load(ordering: .relaxed)
  }
}

/// Decides when leases may end. A server that was suspended or starved, or whose store was out of
/// reach, has renewals waiting that it could not accept: it serves them before it ends any lease.
struct StallWatch {
  private let limits: StoreLimits
  private var latestTurn: MonotonicTime
  private var graceEnd: MonotonicTime
  private(set) var isStoreFailing = false
  /// When the outage is over, unless the store fails again before.
  private var outageEnd: MonotonicTime?
  /// Whether the latest turn came late, or found a thread that stands still.
  private(set) var isStalled = false
  /// How long the latest turn was in a transaction.
  private var transactionNanoseconds: Int64 = 0
  /// The length so far of a stall that is not over.
  private var stalledSoFar: Int64?

  /// What there is to be said of a stall.
  enum News: Equatable {
    /// It is not over yet.
    case began(nanoseconds: Int64)
    /// - Parameter isOfStore: Whether it was a transaction that took so long.
    case ended(nanoseconds: Int64, isOfStore: Bool)
  }

  init(limits: StoreLimits, now: MonotonicTime) {
    self.limits = limits
    latestTurn = now
    graceEnd = now
  }

  /// Notes that the thread came to its turn. Returns what is new where it, or one of `pulses`, was
  /// stalled, or is.
  mutating func turn(at now: MonotonicTime, pulses: [Pulse]) -> News? {
    let late = now - latestTurn - limits.tickNanoseconds
    let isOfStore = 2 * transactionNanoseconds > late
    (latestTurn, transactionNanoseconds) = (now, 0)
    let silence = pulses.lazy.map { $0.silence(at: now) - Pulse.intervalNanoseconds }.max() ?? 0
    let stalled = max(late, silence)
    isStalled = stalled > limits.stallNanoseconds
    if isStalled { graceEnd = now + limits.stallGraceNanoseconds }
    let before = stalledSoFar
    // This thread is awake: only another one can still stand.
    stalledSoFar = silence > limits.stallNanoseconds ? max(silence, before ?? 0) : nil
    if let stalledSoFar { return before == nil ? .began(nanoseconds: stalledSoFar) : nil }
    if let before { return .ended(nanoseconds: max(before, late), isOfStore: false) }
    return isStalled ? .ended(nanoseconds: stalled, isOfStore: isOfStore) : nil
  }

  /// The turn has waited for the store for so long.
  mutating func waited(nanoseconds: Int64) { transactionNanoseconds += nanoseconds }

  /// Returns whether this is news.
  mutating func storeFailed() -> Bool {
    defer { isStoreFailing = true }
    outageEnd = nil
    return !isStoreFailing
  }

  /// Returns whether this is news.
  mutating func storeWorked(at now: MonotonicTime) -> Bool {
    guard isStoreFailing else { return false }
    isStoreFailing = false
    graceEnd = now + limits.stallGraceNanoseconds
    outageEnd = now + limits.outageQuietNanoseconds
    return true
  }

  /// Returns whether an outage is over as of now: the store has worked for a while. On a full disk
  /// small transactions go in between others.
  mutating func outageEnded(at now: MonotonicTime) -> Bool {
    guard let outageEnd, now >= outageEnd else { return false }
    self.outageEnd = nil
    return true
  }

  func mayExpire(at now: MonotonicTime) -> Bool { !isStoreFailing && now >= graceEnd }
}
