import Access
import LockCore
import Exclusion
import struct Synchronization.Atomic

/// What one identity uses of this server at the moment, on all of its event loops.
final class Quota: Sendable {
  private let waiting = Atomic<Int>(0)
  /// When the next request would come, if all came as far apart as the limit has it; in nanoseconds.
  private let nextRequest = Atomic<Int64>(.min)

  var isUnused: Bool { waiting.load(ordering: .relaxed) == 0 }

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

  /// Takes a place for a request that may wait; nil where all are taken.
  func takesPlace(max: Int) -> Place? {
    guard waiting.add(1, ordering: .relaxed).newValue <= max else {
      waiting.subtract(1, ordering: .relaxed)
      return nil
    }
    return Place(self)
  }

  /// Is given back when nobody has it any more.
  final class Place {
    private let quota: Quota

    fileprivate init(_ quota: Quota) { self.quota = quota }

    deinit { quota.waiting.subtract(1, ordering: .relaxed) }
  }
}

/// The quotas of all identities that have limits.
final class Quotas: Sendable {
  /// With more, those go that are not in use: who comes back begins anew.
  private static let countMax = 65_536

  private let known = Mutex<[Identity?: Quota]>([:])

  func quota(of identity: Identity?) -> Quota {
    known.withLock { known in
      if let quota = known[identity] { return quota }
      if known.count >= Self.countMax { known = known.filter { !$0.value.isUnused } }
      let quota = Quota()
      known[identity] = quota
      return quota
    }
  }
}
