/// JSON may write a character beyond the first 65,536 as two escapes, a surrogate pair (RFC 8259, 7).
/// SwiftProtobuf 1.39 joins every second pair wrongly (its `decodeString` has `|` for `+`), so that
/// distinct keys became one: they are written out before it sees them.
enum SurrogatePairs {
  private static let escapeCount = 6

  /// The same JSON in which every pair of escapes is the character that it stands for.
  static func writtenOut(in json: [UInt8]) -> [UInt8] {
    guard json.contains(backslash) else { return json }
    var result: [UInt8] = []
    result.reserveCapacity(json.count)
    var index = 0
    while let start = json[index...].firstIndex(of: backslash) {
      result += json[index..<start]
      if let high = escape(in: json, at: start), UTF16.isLeadSurrogate(high),
        let low = escape(in: json, at: start + escapeCount), UTF16.isTrailSurrogate(low)
      {
        let pair = UTF16.decode(UTF16.EncodedScalar([high, low]))
        result += String(Character(pair)).utf8
        index = start + 2 * escapeCount
      } else {
        // With what it escapes: a second backslash does not begin another escape.
        index = min(start + 2, json.count)
        result += json[start..<index]
      }
    }
    return result + json[index...]
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
