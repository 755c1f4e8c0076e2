import Glibc
import LockContent
package import Logging

/// The log as lines of text: one for each event, whatever is in it.
///
/// Much of what is logged was said by a peer or stands in a row. So control characters are written out
/// as escapes, and every text is bounded: nobody forges a line, steers a terminal or fills a disk.
///
/// `2026-11-28T12:00:00+0000 warning latchkeyd: error=… [LatchkeyServer] the store failed`
package struct LineLog: LogHandler {
  /// Bytes of a message, and of a value beside it.
  package static let textBytesMax = 1_024

  package var logLevel = Logger.Level.notice
  package var metadata: Logger.Metadata = [:]
  private let label: String
  private let write: @Sendable (String) -> Void

  /// - Parameter write: Given each line, without its end.
  package init(label: String, write: @escaping @Sendable (String) -> Void) {
    self.label = label
    self.write = write
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    var all = metadata.merging(event.metadata ?? [:]) { $1 }
    if let error = event.error { all["error"] = "\(error)" }
    let pairs = all.sorted { $0.key < $1.key }
      .map { " \(Self.text($0.key))=\(Self.text("\($0.value)"))" }.joined()
    write(
      "\(Self.time()) \(event.level) \(label):\(pairs) [\(event.source)] "
        + Self.text(event.message.description))
  }

  /// `text` on one line, and its beginning where it is too long.
  static func text(_ text: String) -> String {
    let isLong = text.utf8.count > textBytesMax
    let shown = isLong ? text.beginning(bytesMax: textBytesMax) : text
    let isPlain = shown.utf8.allSatisfy { (0x20..<0x7f).contains($0) }
    return (isPlain ? shown : escaped(shown)) + (isLong ? "…" : "")
  }

  private static func escaped(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": escaped += "\\n"
      case "\r": escaped += "\\r"
      case "\t": escaped += "\\t"
      case _ where isControl(scalar): escaped += "\\u{\(String(scalar.value, radix: 16))}"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }

  static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    // Formats such as marks that reorder the text around them.
    case .control, .lineSeparator, .paragraphSeparator, .format: true
    default: false
    }
  }

  private static func time() -> String {
    var now = Glibc.time(nil)
    var parts = tm()
    localtime_r(&now, &parts)
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
      let count = strftime(buffer.baseAddress!, buffer.count, "%Y-%m-%dT%H:%M:%S%z", &parts)
      return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }
}
