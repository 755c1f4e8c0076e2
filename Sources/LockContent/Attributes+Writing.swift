extension Attributes {
  /// The attributes as a JSON object in its one canonical spelling: members in the order of the bytes of
  /// their names, no blanks, numbers as ECMAScript writes them. They have to be ``isSound``.
  public var json: String {
    var text: [UInt8] = []
    Self.write(.nested(self), to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// In the order of the bytes of their names.
  package var sorted: [(name: String, value: AttributeValue)] {
    values.map { ($0.key, $0.value) }
      .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  static func write(_ value: AttributeValue, to text: inout [UInt8]) {
    switch value {
    case .null: text += "null".utf8
    case .boolean(let isTrue): text += (isTrue ? "true" : "false").utf8
    case .number(let number): text += JSONNumber.text(of: number).utf8
    case .string(let string): write(string.utf8, to: &text)
    case .list(let items):
      text.append(UInt8(ascii: "["))
      for (index, item) in items.enumerated() {
        if index > 0 { text.append(UInt8(ascii: ",")) }
        write(item, to: &text)
      }
      text.append(UInt8(ascii: "]"))
    case .nested(let attributes):
      text.append(UInt8(ascii: "{"))
      for (index, member) in attributes.sorted.enumerated() {
        if index > 0 { text.append(UInt8(ascii: ",")) }
        write(member.name.utf8, to: &text)
        text.append(UInt8(ascii: ":"))
        write(member.value, to: &text)
      }
      text.append(UInt8(ascii: "}"))
    }
  }

  /// - Parameter string: UTF-8.
  static func write(_ string: some Sequence<UInt8>, to text: inout [UInt8]) {
    text.append(UInt8(ascii: "\""))
    for byte in string {
      switch byte {
      case UInt8(ascii: "\""): text += "\\\"".utf8
      case UInt8(ascii: "\\"): text += "\\\\".utf8
      case UInt8(ascii: "\n"): text += "\\n".utf8
      case UInt8(ascii: "\r"): text += "\\r".utf8
      case UInt8(ascii: "\t"): text += "\\t".utf8
      case 0..<0x20:
        text += "\\u00".utf8
        text += [hexDigits[Int(byte >> 4)], hexDigits[Int(byte & 15)]]
      default: text.append(byte)
      }
    }
    text.append(UInt8(ascii: "\""))
  }

  private static let hexDigits = Array("0123456789abcdef".utf8)
}

/// Numbers as JSON spells them.
enum JSONNumber {
  /// The text of `number`, which is finite, as ECMAScript has it (ECMA-262, Number::toString; so does RFC
  /// 8785): the fewest digits that stand for it, with an exponent only where it is very large or small.
  static func text(of number: Double) -> String {
    if number == number.rounded(), abs(number) < 1e15 { return "\(Int64(number))" }
    // Swift prints the fewest digits as well, in another form.
    let decimal = Decimal("\(number)"[...])
    let digits = String(decoding: decimal.digits, as: UTF8.self)
    // How many digits stand before the point.
    let whole = digits.count + decimal.exponent
    let sign = decimal.isNegative ? "-" : ""
    switch whole {
    case digits.count...21: return sign + digits + String(repeating: "0", count: decimal.exponent)
    case 1..<max(digits.count, 1):
      return sign + digits.prefix(whole) + "." + digits.dropFirst(whole)
    case -5...0: return sign + "0." + String(repeating: "0", count: -whole) + digits
    default:
      let rest = digits.dropFirst()
      let exponent = whole - 1
      return sign + digits.prefix(1) + (rest.isEmpty ? "" : "." + rest)
        + (exponent < 0 ? "e-" : "e+") + String(abs(exponent))
    }
  }

  /// The double that `spelling`, a number of JSON, stands for, if there is one that is written with the
  /// same digits: 0.1 has one, 9007199254740993 has not.
  static func exactly(_ spelling: Substring) -> Double? {
    if spelling.utf8.count <= 15, let whole = Int(spelling) { return Double(whole) }
    guard let number = Double(spelling), number.isFinite,
      Decimal(spelling) == Decimal(text(of: number)[...])
    else { return nil }
    return number
  }

  /// A number by its digits, whatever its spelling.
  private struct Decimal: Equatable {
    var isNegative = false
    /// Without zeros at either end; empty for 0.
    var digits: [UInt8] = []
    /// The power of ten of the last digit.
    var exponent = 0

    init(_ spelling: Substring) {
      var (isFraction, shift) = (false, 0)
      let parts = spelling.utf8.split(
        omittingEmptySubsequences: false, whereSeparator: { $0 | 0x20 == UInt8(ascii: "e") })
      for byte in parts[0] {
        switch byte {
        case UInt8(ascii: "-"): isNegative = true
        case UInt8(ascii: "."): isFraction = true
        default:
          digits.append(byte)
          if isFraction { shift += 1 }
        }
      }
      // An exponent that is no Int belongs to 0 or to a number that no double can hold.
      exponent = (parts.count > 1 ? Int(Substring(parts[1])) ?? 0 : 0) &- shift
      while digits.last == UInt8(ascii: "0") {
        digits.removeLast()
        exponent &+= 1
      }
      digits = Array(digits.drop { $0 == UInt8(ascii: "0") })
      if digits.isEmpty { (isNegative, exponent) = (false, 0) }
    }
  }
}
