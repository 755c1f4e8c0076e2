import Glibc
import TLS

/// A line of JSON, whose members stand in the order in which they are added. Made on the thread that writes the store:
/// in bytes, so that no name takes long.
struct AuditLine {
  private var bytes: [UInt8] = []

  /// - Parameters:
  ///   - event: What happened, in a word.
  ///   - server: Where.
  init(_ event: String, at server: String, _ time: timespec = Self.now) {
    bytes.reserveCapacity(512)
    bytes += "{\"time\":\"\(Self.text(of: time))\"".utf8
    add("event", event)
    add("server", server)
  }

  /// Nothing of what is empty.
  mutating func add(_ name: String, _ value: String) {
    guard !value.isEmpty else { return }
    begin(name)
    bytes.append(UInt8(ascii: "\""))
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"", "\\": bytes += [UInt8(ascii: "\\"), UInt8(scalar.value)]
      // Nothing steers a terminal, or has a line read in another order than it is written in.
      case _ where scalar.value < 0x20 || scalar.value >= 0x7f && LineLog.isControl(scalar):
        for unit in scalar.utf16 { escape(unit) }
      default: bytes += scalar.utf8
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private mutating func begin(_ name: String) {
    bytes += ",\"".utf8
    bytes += name.utf8
    bytes += "\":".utf8
  }

  private mutating func escape(_ unit: UInt16) {
    let digits: StaticString = "0123456789abcdef"
    bytes += [UInt8(ascii: "\\"), UInt8(ascii: "u")]
    for shift in [12, 8, 4, 0] as [UInt16] {
      bytes.append(digits.utf8Start[Int(unit >> shift & 15)])
    }
  }

  /// Large numbers are text, as they are in answers: not every reader of JSON has room for them.
  mutating func add(_ name: String, _ value: Int64) { add(name, "\(value)") }

  mutating func add(_ name: String, _ value: Bool) {
    begin(name)
    bytes += "\(value)".utf8
  }

  var ended: [UInt8] { bytes + [UInt8(ascii: "}")] }

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
