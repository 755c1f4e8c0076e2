import Access
import LockCore
import Exclusion
import struct Synchronization.Atomic

/// What one identity uses of this server at the moment, on all of its event loops.
final class Quota: Sendable {
  /// When the next request would come, if all came as far apart as the limit has it; in nanoseconds.
  private let nextRequest = Atomic<Int64>(.min)

  /// Takes account of a request.
  ///
  /// - Parameter max: Requests in a second. As many may come at once.
  /// - Returns: Whether it is within the limit.
  func takesRequest(max: Int, at now: MonotonicTime) -> Bool {
    guard max > 0 else { return false }
    let distance = Self.second / Int64(max)
    var known = nextRequest.load(ordering: .relaxed)
    while true {
      let next = Swift.max(known, now.nanoseconds - Self.second) + distance
      guard next <= now.nanoseconds else { return false }
      let (isDone, found) = nextRequest.compareExchange(
        expected: known, desired: next, ordering: .relaxed)
      if isDone { return true }
      known = found
    }
  }

  private static let second: Int64 = 1_000_000_000
}

/// The quotas of all identities that have limits.
final class Quotas: Sendable {
  /// With more, all are forgotten: who comes back begins anew.
  private static let countMax = 65_536

  private let known = Mutex<[Identity?: Quota]>([:])

  func quota(of identity: Identity?) -> Quota {
    known.withLock { known in
      if let quota = known[identity] { return quota }
      if known.count >= Self.countMax { known = [:] }
      let quota = Quota()
      known[identity] = quota
      return quota
    }
  }
}
