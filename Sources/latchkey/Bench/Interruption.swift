import Exclusion

/// The wish to end a run early.
final class Interruption: Sendable {
  private struct State {
    var isRequested = false
    var action: (@Sendable () -> Void)?
    var sleeper: Task<Void, any Error>?
  }

  private let state = Mutex(State())

  var isRequested: Bool { state.withLock { $0.isRequested } }

  /// Has `action` run when the wish is uttered, or now if it was.
  func onRequest(_ action: @escaping @Sendable () -> Void) {
    let isRequested = state.withLock { state in
      state.action = action
      return state.isRequested
    }
    if isRequested { action() }
  }

  /// - Returns: Whether this is the first time.
  func request() -> Bool {
    let (isFirst, action, sleeper) = state.withLock { state in
      defer { state.isRequested = true }
      return (!state.isRequested, state.action, state.sleeper)
    }
    guard isFirst else { return false }
    sleeper?.cancel()
    action?()
    return true
  }

  /// Sleeps, or less where the wish is uttered.
  func sleep(for duration: Duration) async {
    let sleeper = Task { try await TaskPool.sleep(for: duration) }
    let isRequested = state.withLock { state in
      state.sleeper = sleeper
      return state.isRequested
    }
    if isRequested { sleeper.cancel() }
    _ = await sleeper.result
  }
}
