import Logging
import Exclusion

/// What a client says to the user's logger. It is said on a thread of its own, one line after the
/// other: a handler that blocks (a pipe that nobody reads) must not hold up the event loop that
/// keeps the leases.
final class ClientLog: Sendable {
  private struct State {
    /// What the thread has not begun with.
    var jobs: [@Sendable () -> Void] = []
    var isRunning = false
    var waiting = 0
    /// Lines left out since the latest one that was taken.
    var dropped = 0
  }

  private let logger: Logger
  private let state = Mutex(State())

  init(_ logger: Logger) { self.logger = logger }

  /// Never blocks. Where ``ClientLimits/logLinesMax`` lines wait, this one is left out, and the next
  /// one that is not says how many were ("dropped").
  ///
  /// - Parameter alsoDo: Done with the line, whatever the logger's level.
  func callAsFunction(
    _ level: Logger.Level, _ message: Logger.Message,
    _ metadata: @autoclosure () -> Logger.Metadata = [:],
    alsoDo: (@Sendable () -> Void)? = nil, file: String = #fileID, function: String = #function,
    line: UInt = #line
  ) {
    let isSaid = level >= logger.logLevel
    guard isSaid || alsoDo != nil, let dropped = takePlace(isSaid: isSaid) else { return }
    var fields = isSaid ? metadata() : [:]
    if dropped > 0 { fields["dropped"] = "\(dropped)" }
    enqueue { [self, fields] in
      logger.log(
        level: level, message, metadata: fields, file: file, function: function, line: line)
      alsoDo?()
      state.withLock { $0.waiting -= 1 }
    }
  }

  /// Calls `done` once all is said that waits now, which may be never.
  func flush(_ done: @escaping @Sendable () -> Void) { enqueue(done) }

  private func enqueue(_ job: @escaping @Sendable () -> Void) {
    let isToBeStarted = state.withLock { state in
      state.jobs.append(job)
      defer { state.isRunning = true }
      return !state.isRunning
    }
    guard isToBeStarted, DetachedThread.start({ [self] in run() }) != 0 else { return }
    // The system has no room for a thread. The next line tries again.
    state.withLock { $0.isRunning = false }
  }

  /// The thread's, until there is nothing more to say.
  private func run() {
    while true {
      let jobs = state.withLock { state in
        defer { state.jobs = [] }
        state.isRunning = !state.jobs.isEmpty
        return state.jobs
      }
      guard !jobs.isEmpty else { return }
      for job in jobs { job() }
    }
  }

  /// - Returns: How many lines were left out before this one; nil where it is left out too.
  private func takePlace(isSaid: Bool) -> Int? {
    state.withLock { state in
      guard state.waiting < ClientLimits.logLinesMax else {
        if isSaid { state.dropped += 1 }
        return nil
      }
      state.waiting += 1
      guard isSaid else { return 0 }
      defer { state.dropped = 0 }
      return state.dropped
    }
  }
}
