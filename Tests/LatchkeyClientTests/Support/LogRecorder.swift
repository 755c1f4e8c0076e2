import Logging
import Exclusion

/// Keeps what is logged.
final class LogRecorder: Sendable {
  struct Line: Sendable, Equatable {
    var level: Logger.Level
    var message: String
    var metadata: [String: String]
  }

  private let recorded = Mutex<[Line]>([])

  func lines(_ levels: Logger.Level...) -> [Line] {
    recorded.withLock { $0.filter { levels.contains($0.level) } }
  }

  /// All that is recorded, a line each.
  var text: String {
    recorded.withLock { $0.map { "\($0.level) \($0.message) \($0.metadata)" } }
      .joined(separator: "\n")
  }

  /// Returns when a line with that message is there.
  func wait(for message: String) async throws {
    while !recorded.withLock({ $0.contains { $0.message == message } }) {
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  var logger: Logger {
    var logger = Logger(label: "test") { _ in Handler(recorder: self) }
    logger.logLevel = .trace
    return logger
  }

  private struct Handler: LogHandler {
    let recorder: LogRecorder
    var logLevel = Logger.Level.trace
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let fields = metadata.merging(event.metadata ?? [:]) { $1 }.mapValues { "\($0)" }
      recorder.recorded.withLock {
        $0.append(Line(level: event.level, message: "\(event.message)", metadata: fields))
      }
    }
  }
}
