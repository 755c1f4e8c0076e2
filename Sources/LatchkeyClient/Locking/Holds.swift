import Exclusion

/// What a client has in hand that its end has to wait for: acquisitions under way and leases that
/// are held.
final class Holds: Sendable {
  typealias ID = Int

  private struct State {
    var isClosing = false
    var latest: ID = 0
    /// How each is told to come to its end.
    var recalls: [ID: @Sendable () -> Void] = [:]
    var waiting: [Wakeup] = []
  }

  private let state = Mutex(State())

  /// - Throws: ``LatchkeyError/Code/closed`` once the end has begun.
  func begin() throws(LatchkeyError) -> ID {
    let id: ID? = state.withLock { state in
      guard !state.isClosing else { return nil }
      state.latest += 1
      state.recalls[state.latest] = {}
      return state.latest
    }
    guard let id else { throw LinkDriver.closedFailure.error }
    return id
  }

  /// Has `recall` called when the end begins; at once where it has begun.
  func onRecall(_ id: ID, _ recall: @escaping @Sendable () -> Void) {
    let isClosing = state.withLock {
      if !$0.isClosing { $0.recalls[id] = recall }
      return $0.isClosing
    }
    if isClosing { recall() }
  }

  var isClosing: Bool { state.withLock { $0.isClosing } }

  func end(_ id: ID) {
    let waiting: [Wakeup] = state.withLock { state in
      state.recalls[id] = nil
      guard state.isClosing, state.recalls.isEmpty else { return [] }
      return state.waiting
    }
    for wakeup in waiting { wakeup.fire() }
  }

  /// Begins the end: recalls all, and fires `ended` when all have come to their end.
  func close(_ ended: Wakeup) {
    let recalls = state.withLock { state in
      state.isClosing = true
      state.waiting.append(ended)
      return Array(state.recalls.values)
    }
    if recalls.isEmpty { return ended.fire() }
    for recall in recalls { recall() }
  }
}
