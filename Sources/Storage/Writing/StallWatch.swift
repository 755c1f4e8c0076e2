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

  init(limits: StoreLimits, now: MonotonicTime) {
    self.limits = limits
    latestTurn = now
    graceEnd = now
  }

  /// Notes that the thread came to its turn. Returns for how long it, or one of `pulses`, was
  /// stalled; 0 where all is well.
  mutating func turn(at now: MonotonicTime, pulses: [Pulse]) -> Int64 {
    var stalled = now - latestTurn - limits.tickNanoseconds
    latestTurn = now
    for pulse in pulses {
      stalled = max(stalled, pulse.silence(at: now) - Pulse.intervalNanoseconds)
    }
    guard stalled > limits.stallNanoseconds else { return 0 }
    graceEnd = now + limits.stallGraceNanoseconds
    return stalled
  }

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
