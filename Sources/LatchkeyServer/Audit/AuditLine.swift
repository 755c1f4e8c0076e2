import Glibc
import TLS

/// A line of JSON, whose members stand in the order in which they are added.
struct AuditLine {
  private(set) var text: String

  /// - Parameter event: What happened, in a word.
  init(_ event: String, at time: timespec) {
    text = "{\"time\":\"\(Self.text(of: time))\""
    add("event", event)
  }

  /// Nothing of what is empty.
  mutating func add(_ name: String, _ value: String) {
    guard !value.isEmpty else { return }
    text += ",\"\(name)\":\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      // Nothing steers a terminal, or has a line read in another order than it is written in.
      case _ where scalar.value < 0x20 || LineLog.isControl(scalar):
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16)
          text += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
        }
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }

  /// Large numbers are text, as they are in answers: not every reader of JSON has room for them.
  mutating func add(_ name: String, _ value: Int64) { add(name, "\(value)") }

  mutating func add(_ name: String, _ value: Bool) { text += ",\"\(name)\":\(value)" }

  var ended: String { text + "}" }

  static var now: timespec {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return now
  }

  /// Such as `2026-11-28T12:00:00.123Z` (RFC 3339).
  private static func text(of time: timespec) -> String {
    let milliseconds = "\(time.tv_nsec / 1_000_000 + 1_000)".dropFirst()
    return UTC.text(Int64(time.tv_sec), as: "%Y-%m-%dT%H:%M:%S") + ".\(milliseconds)Z"
  }
}
