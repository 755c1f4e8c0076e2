import Glibc
import LockContent
package import Logging
import TLS

/// How a line of the log is written.
package enum LogFormat: String, CaseIterable, Sendable {
  /// `2026-11-28T12:00:00.123Z error [a] the store failed: error="the disk of the store … is full"`
  case text
  /// `{"time":"2026-11-28T12:00:00.123Z","level":"error","server":"a","message":"the store failed","error":"…"}`
  case json
  /// `time=2026-11-28T12:00:00.123Z level=error server=a msg="the store failed" error="…"`
  case logfmt
}

/// The log as lines: one for each event, whatever is in it.
///
/// Much of what is logged was said by a peer or stands in a row. So control characters are written out
/// as escapes, and every text is bounded: nobody forges a line, steers a terminal or fills a disk.
package struct LineLog: LogHandler {
  /// Bytes of a message, and of a value beside it.
  package static let textBytesMax = 1_024

  package var logLevel = Logger.Level.notice
  package var metadata: Logger.Metadata = [:]
  private let style: Style
  private let write: @Sendable ([UInt8]) -> Void

  /// - Parameter write: Given each line, without its end.
  package init(_ style: Style, write: @escaping @Sendable ([UInt8]) -> Void) {
    self.style = style
    self.write = write
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    var all = metadata.merging(event.metadata ?? [:]) { $1 }
    if let error = event.error { all["error"] = "\(error)" }
    let facts = all.sorted { $0.key < $1.key }.map {
      (Self.bounded($0.key), Self.bounded("\($0.value)"))
    }
    write(style.line(event.level, Self.bounded(event.message.description), facts))
  }

  /// `text` on one line, and its beginning where it is too long.
  static func text(_ text: String) -> String { escaped(bounded(text)) }

  private static func bounded(_ text: String) -> String {
    text.utf8.count > textBytesMax ? text.beginning(bytesMax: textBytesMax) + "…" : text
  }

  fileprivate static func escaped(_ text: String) -> String {
    if text.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) { return text }
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
}

extension LineLog {
  /// How lines look, and what stands in all of them.
  package struct Style: Sendable {
    private let format: LogFormat
    private let server: String
    /// Whether a journal keeps level and time beside each line (sd-daemon(3)).
    private let isForJournal: Bool

    package init(_ format: LogFormat, server: String, isForJournal: Bool = false) {
      self.format = format
      self.server = server
      self.isForJournal = isForJournal
    }

    package func line(
      _ level: Logger.Level, _ message: String, _ facts: [(name: String, text: String)]
    ) -> [UInt8] {
      line(level, message, facts, at: JSONLine.now)
    }

    func line(
      _ level: Logger.Level, _ message: String, _ facts: [(name: String, text: String)],
      at time: timespec
    ) -> [UInt8] {
      let begin = isForJournal ? "<\(level.priority)>" : ""
      switch format {
      case .json:
        var line = JSONLine(beginning: begin, at: time)
        for (name, text) in [("level", level.rawValue), ("server", server), ("message", message)] {
          line.add(name, text)
        }
        for (name, text) in facts { line.add(Self.name(name), text) }
        return line.ended
      case .logfmt:
        let all = [
          ("time", JSONLine.text(of: time)), ("level", level.rawValue), ("server", server),
          ("msg", message),
        ]
        let pairs = (all + facts.map { (Self.name($0.name), $0.text) }).map { Self.pair($0, $1) }
        return Array(begin.utf8) + pairs.joined(separator: " ".utf8)
      case .text:
        let head = isForJournal ? "" : "\(JSONLine.text(of: time)) \(level) "
        let pairs = facts.map { Self.pair($0.name, $0.text) }
        return Array("\(begin)\(head)[\(server)] \(LineLog.escaped(message))".utf8)
          + (pairs.isEmpty ? [] : Array(": ".utf8) + pairs.joined(separator: " ".utf8))
      }
    }

    /// None takes the place of one that every line has.
    private static func name(_ name: String) -> String {
      ["time", "level", "server", "message", "msg"].contains(name) ? "_\(name)" : name
    }

    /// Between quotation marks, and with JSON's escapes, where it is more than a word.
    private static func pair(_ name: String, _ text: String) -> [UInt8] {
      let isWord =
        !text.isEmpty
        && text.unicodeScalars.allSatisfy {
          !$0.properties.isWhitespace && !LineLog.isControl($0)
            && !["\"", "\\", "="].contains($0)
        }
      let shown =
        isWord
        ? Array(text.utf8)
        : [UInt8(ascii: "\"")] + JSONLine.escaped(text) + [UInt8(ascii: "\"")]
      return JSONLine.escaped(name) + [UInt8(ascii: "=")] + shown
    }
  }
}

extension Logger.Level {
  /// As syslog has it.
  fileprivate var priority: Int {
    switch self {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }
}
