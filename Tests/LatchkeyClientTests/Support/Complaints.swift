import Logging
import Exclusion

/// What a client has to complain about: what it logs at notice and above.
final class Complaints: LogHandler, Sendable {
  private let messages = Mutex<[String]>([])

  var all: [String] { messages.withLock { $0 } }
  var logger: Logger { Logger(label: "test") { _ in self } }

  func log(event: LogEvent) {
    messages.withLock { $0.append("\(event.message)") }
  }

  var metadata: Logger.Metadata {
    get { [:] }
    set {}
  }

  var logLevel: Logger.Level {
    get { .notice }
    set {}
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { nil }
    set {}
  }
}
