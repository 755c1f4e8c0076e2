package import LockCore
import Synchronization

/// A monotonic clock that stands still until a test moves it.
package final class ManualClock: Sendable {
  private let nanoseconds: Atomic<Int64>

  /// - Parameter seconds: What the clock shows at first. Its origin means nothing.
  package init(seconds: Int64 = 1_000) { nanoseconds = Atomic(seconds * 1_000_000_000) }

  package var now: MonotonicTime {
    MonotonicTime(nanoseconds: nanoseconds.load(ordering: .sequentiallyConsistent))
  }

  /// The clock as the code under test takes it.
  package var reading: @Sendable () -> MonotonicTime { { [self] in now } }

  package func advance(nanoseconds: Int64) {
    precondition(nanoseconds >= 0, "a monotonic clock never goes back")
    self.nanoseconds.add(nanoseconds, ordering: .sequentiallyConsistent)
  }

  package func advance(seconds: Int64) { advance(nanoseconds: seconds * 1_000_000_000) }
}
