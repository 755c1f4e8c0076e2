import LatchkeyClient
import NIOCore
import Exclusion

/// Time that a test moves by hand.
final class ManualTime: TimeSource {
  private struct Planned {
    let time: Instant
    let loop: any EventLoop
    let action: @Sendable () -> Void
  }

  private struct State {
    var now: Instant
    var planned: [Int: Planned] = [:]
    var count = 0
    var waiting: [(time: Instant, continuation: CheckedContinuation<Void, Never>)] = []
  }

  let start: Instant
  private let state: Mutex<State>

  init() {
    start = .now
    state = Mutex(State(now: start))
  }

  var now: Instant { state.withLock { $0.now } }

  /// Since the start.
  var elapsed: Duration { now - start }

  func schedule(
    at time: Instant, on loop: any EventLoop, _ action: @escaping @Sendable () -> Void
  ) -> Alarm {
    let (id, isDue, expecting) = state.withLock { state in
      state.count += 1
      let isDue = time <= state.now
      if !isDue { state.planned[state.count] = Planned(time: time, loop: loop, action: action) }
      let expecting = state.waiting.filter { $0.time == time }
      state.waiting.removeAll { $0.time == time }
      return (state.count, isDue, expecting)
    }
    if isDue { loop.execute(action) }
    for waiting in expecting { waiting.continuation.resume() }
    return Alarm { self.cancel(id) }
  }

  private func cancel(_ id: Int) {
    // What the action holds is let go of outside of the lock: it may cancel more.
    _ = state.withLock { $0.planned.removeValue(forKey: id) }
  }

  /// Returns when something is planned for exactly `elapsed` after the start.
  func untilPlanned(at elapsed: Duration) async {
    let time = start + elapsed
    await withCheckedContinuation { continuation in
      let isPlanned = state.withLock { state in
        if state.planned.values.contains(where: { $0.time == time }) { return true }
        state.waiting.append((time, continuation))
        return false
      }
      if isPlanned { continuation.resume() }
    }
  }

  /// When the next thing is planned, since the start; nil where there is none.
  var nextPlanned: Duration? {
    state.withLock { $0.planned.values.map(\.time).min() }.map { $0 - start }
  }

  /// Moves on to `elapsed` after the start. What is due on the way is done in order, each at its time.
  ///
  /// - Parameter settle: Returns when what a step brought has been done; called after each.
  func advance(
    to elapsed: Duration, settle: () async throws -> Void = {}
  ) async throws {
    let target = start + elapsed
    while let due = takeNext(until: target) {
      try await due.loop.submit { due.action() }.get()
      try await settle()
    }
  }

  private func takeNext(until target: Instant) -> Planned? {
    state.withLock { state in
      let next = state.planned.filter { $0.value.time <= target }
        .min { ($0.value.time, $0.key) < ($1.value.time, $1.key) }
      state.now = max(state.now, next?.value.time ?? target)
      return next.flatMap { state.planned.removeValue(forKey: $0.key) }
    }
  }
}
