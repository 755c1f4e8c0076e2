import Exclusion

/// Lets one task wait for one event.
final class Wakeup: Sendable {
  private enum State {
    /// Next: waiting or fired.
    case new
    /// Next: fired.
    case waiting(CheckedContinuation<Void, Never>)
    case fired
  }

  private let state = Mutex(State.new)

  /// The event happened. Only the first time counts.
  func fire() {
    let continuation: CheckedContinuation<Void, Never>? = state.withLock { state in
      defer { state = .fired }
      if case .waiting(let continuation) = state { return continuation }
      return nil
    }
    continuation?.resume()
  }

  /// Returns when the event has happened or the task is cancelled. To be called once.
  func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let hasFired = state.withLock {
          if case .fired = $0 { return true }
          $0 = .waiting(continuation)
          return false
        }
        if hasFired { continuation.resume() }
      }
    } onCancel: {
      fire()
    }
  }
}
