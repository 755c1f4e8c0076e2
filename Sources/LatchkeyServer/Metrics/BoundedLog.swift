package import Logging
package import NIOCore
import Exclusion

/// Log lines of one kind that others can cause: at most one in an interval, which says how many
/// were left out since the one before.
package final class BoundedLog: Sendable {
  private struct State {
    var latest: NIODeadline?
    var leftOut = 0
  }

  private let logger: Logger
  private let interval: TimeAmount
  private let now: @Sendable () -> NIODeadline
  private let state = Mutex(State())

  package init(
    _ logger: Logger, every interval: TimeAmount = .minutes(1),
    now: @escaping @Sendable () -> NIODeadline = { .now() }
  ) {
    self.logger = logger
    self.interval = interval
    self.now = now
  }

  /// Writes the line, or counts it. What is below the logger's level is neither.
  ///
  /// - Parameter metadata: Asked for only where the line is written.
  package func log(
    _ level: Logger.Level, _ message: @autoclosure () -> Logger.Message,
    metadata: @autoclosure () -> Logger.Metadata = [:]
  ) {
    guard logger.logLevel <= level else { return }
    let now = now()
    let leftOut = state.withLock { state -> Int? in
      if let latest = state.latest, now - latest < interval {
        state.leftOut += 1
        return nil
      }
      state.latest = now
      defer { state.leftOut = 0 }
      return state.leftOut
    }
    guard let leftOut else { return }
    var metadata = metadata()
    if leftOut > 0 { metadata["left_out"] = "\(leftOut)" }
    logger.log(level: level, message(), metadata: metadata)
  }
}
