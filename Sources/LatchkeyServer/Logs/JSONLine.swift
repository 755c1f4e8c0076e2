import Glibc
import TLS

/// A line of JSON that begins with a time, and whose members stand in the order in which they are added. Made in bytes,
/// so that no name takes long.
struct JSONLine {
  private var bytes: [UInt8] = []

  /// - Parameter beginning: What stands before the line.
  init(beginning: String = "", at time: timespec) {
    bytes.reserveCapacity(512)
    bytes += beginning.utf8
    bytes += "{\"time\":\"\(Self.text(of: time))\"".utf8
  }

  /// Nothing of what is empty.
  mutating func add(_ name: String, _ value: String) {
    guard !value.isEmpty else { return }
    begin(name)
    bytes.append(UInt8(ascii: "\""))
    bytes += Self.escaped(value)
    bytes.append(UInt8(ascii: "\""))
  }

  /// Large numbers are text, as they are in answers: not every reader of JSON has room for them.
  mutating func add(_ name: String, _ value: Int64) { add(name, "\(value)") }

  mutating func add(_ name: String, _ value: Bool) {
    begin(name)
    bytes += "\(value)".utf8
  }

  private mutating func begin(_ name: String) {
    bytes += ",\"".utf8
    bytes += Self.escaped(name)
    bytes += "\":".utf8
  }

  /// What stands between quotation marks.
  static func escaped(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": bytes += [UInt8(ascii: "\\"), UInt8(scalar.value)]
      // Nothing steers a terminal, or has a line read in another order than it is written in.
      case _ where scalar.value < 0x20 || scalar.value >= 0x7f && LineLog.isControl(scalar):
        for unit in scalar.utf16 { bytes += escaped(unit) }
      default: bytes += scalar.utf8
      }
    }
    return bytes
  }

  private static func escaped(_ unit: UInt16) -> [UInt8] {
    let digits: StaticString = "0123456789abcdef"
    return [UInt8(ascii: "\\"), UInt8(ascii: "u")]
      + ([12, 8, 4, 0] as [UInt16]).map { digits.utf8Start[Int(unit >> $0 & 15)] }
  }

  var ended: [UInt8] { bytes + [UInt8(ascii: "}")] }

  static var now: timespec {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return now
  }

  /// Such as `2026-11-28T12:00:00.123Z` (RFC 3339).
  static func text(of time: timespec) -> String {
    let milliseconds = "\(time.tv_nsec / 1_000_000 + 1_000)".dropFirst()
    return UTC.text(Int64(time.tv_sec), as: "%Y-%m-%dT%H:%M:%S") + ".\(milliseconds)Z"
  }
}
