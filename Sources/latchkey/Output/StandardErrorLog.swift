import Logging

/// Writes log messages as lines of the program's other messages.
struct StandardErrorLog: LogHandler {
  var logLevel = Logger.Level.error
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:]) { $1 }
    let fields = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
    StandardError.line("latchkey: \(event.level): \(event.message)\(fields)")
  }
}
