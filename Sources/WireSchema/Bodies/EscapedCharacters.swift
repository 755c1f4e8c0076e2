/// JSON may write every character as an escape, and those beyond the first 65,536 as two, a
/// surrogate pair (RFC 8259, 7). All that need not be escaped are written out before SwiftProtobuf
/// sees them:
///
/// - SwiftProtobuf 1.39 joins every second pair wrongly (its `decodeString` has `|` for `+`), so
///   that distinct keys became one.
/// - What a name costs can then be seen in its bytes (``UnsafeNames``).
enum EscapedCharacters {
  private static let escapeCount = 6

  /// The same JSON in which each escape is the character that it stands for, except for those that
  /// stay escaped. What does not stand for a character is left as it is.
  static func writtenOut(in json: [UInt8]) -> [UInt8] {
    guard json.contains(backslash) else { return json }
    var result: [UInt8] = []
    result.reserveCapacity(json.count)
    var index = 0
    while let start = json[index...].firstIndex(of: backslash) {
      result += json[index..<start]
      if let (character, end) = character(in: json, at: start) {
        result += UTF8.encode(character)!
        index = end
      } else {
        // With what it escapes: a second backslash does not begin another escape.
        index = min(start + 2, json.count)
        result += json[start..<index]
      }
    }
    return result + json[index...]
  }

  /// What JSON cannot have in a string as it is, or what would change in meaning.
  private static func staysEscaped(_ unit: UInt16) -> Bool {
    unit < 0x20 || unit == UInt8(ascii: "\"") || unit == backslash
  }

  /// The character of the escape, or of the two, at `index`, and where they end.
  private static func character(
    in json: [UInt8], at index: Int
  ) -> (Unicode.Scalar, end: Int)? {
    guard let first = unit(in: json, at: index), !staysEscaped(first) else { return nil }
    let end = index + escapeCount
    if let character = Unicode.Scalar(first) { return (character, end) }
    guard UTF16.isLeadSurrogate(first), let second = unit(in: json, at: end),
      UTF16.isTrailSurrogate(second)
    else { return nil }
    return (UTF16.decode(UTF16.EncodedScalar([first, second])), end + escapeCount)
  }

  /// The code unit of an escape `\uXXXX`.
  private static func unit(in json: [UInt8], at index: Int) -> UInt16? {
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
