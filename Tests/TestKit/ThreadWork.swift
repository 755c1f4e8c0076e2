import Exclusion
import Storage

/// What blocks, on a thread of its own: of those that tasks share there may be two, and who waits for one that blocks
/// may be just what it blocks for.
package final class ThreadWork<Value: Sendable>: Sendable {
  private let kept = Mutex<Value?>(nil)
  private let done = TestEvent()

  package init(_ body: @escaping @Sendable () -> Value) {
    let isStarted = BlockingThread.detached { [self] in
      let value = body()
      kept.withLock { $0 = value }
      done.signal()
    }
    precondition(isStarted, "cannot start a thread")
  }

  /// Waits for its end.
  package var value: Value {
    get async throws {
      try await done.wait("the end of what blocks")
      return kept.withLock { $0! }
    }
  }
}
