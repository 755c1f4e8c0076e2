import Glibc

/// JSON may write a character beyond the first 65,536 as two escapes, a surrogate pair (RFC 8259, 7).
/// SwiftProtobuf 1.39 joins every second pair wrongly (its `decodeString` has `|` for `+`), so that
/// distinct keys became one: they are written out before it sees them.
enum SurrogatePairs {
  private static let escapeCount = 6

  /// The same JSON in which every pair of escapes is the character that it stands for.
  static func writtenOut(in json: [UInt8]) -> [UInt8] {
    let hasEscapes = json.withUnsafeBytes { bytes in
      bytes.baseAddress.map { memchr($0, Int32(backslash), bytes.count) != nil } ?? false
    }
    guard hasEscapes else { return json }
    var result: [UInt8] = []
    result.reserveCapacity(json.count)
    var index = 0
    while index < json.count {
      if let high = escape(in: json, at: index), UTF16.isLeadSurrogate(high),
        let low = escape(in: json, at: index + escapeCount), UTF16.isTrailSurrogate(low)
      {
        let pair = UTF16.decode(UTF16.EncodedScalar([high, low]))
        result += Array(String(Character(pair)).utf8)
        index += 2 * escapeCount
      } else {
        // With what it escapes: a second backslash does not begin another escape.
        let count = json[index] == backslash ? 2 : 1
        result += json[index..<min(index + count, json.count)]
        index += count
      }
    }
    return result
  }

  /// The code unit of an escape `\uXXXX`.
  private static func escape(in json: [UInt8], at index: Int) -> UInt16? {
    guard index + escapeCount <= json.count, json[index] == backslash,
      json[index + 1] == UInt8(ascii: "u")
    else { return nil }
    var unit: UInt16 = 0
    for digit in json[index + 2..<index + escapeCount] {
      guard let value = Character(UnicodeScalar(digit)).hexDigitValue else { return nil }
      unit = unit << 4 | UInt16(value)
    }
    return unit
  }

  private static let backslash = UInt8(ascii: "\\")
}
