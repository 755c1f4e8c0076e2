extension Attributes {
  /// The attributes that `text` stands for, where it is a JSON object (RFC 8259) and they can hold
  /// everything in it: no name comes twice, each number has a double with the same digits, there is no
  /// NUL, at most ``levelsMax`` levels, and each name is ``StreamSafe``.
  ///
  /// All else is a text: nothing of it may be lost by seeing it as attributes.
  public init?(exactly text: String) {
    // Most texts are no objects.
    guard text.utf8.first(where: { !JSONReader.isBlank($0) }) == UInt8(ascii: "{") else {
      return nil
    }
    var text = text
    let read = text.withUTF8 { bytes in
      var reader = JSONReader(bytes)
      return reader.wholeObject()
    }
    guard let read else { return nil }
    self = read
  }
}

/// Reads one JSON object from bytes of UTF-8. Nil stands for whatever is not exactly attributes.
private struct JSONReader {
  private let bytes: UnsafeBufferPointer<UInt8>
  private var position = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  static func isBlank(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
  }

  mutating func wholeObject() -> Attributes? {
    skipBlanks()
    guard take(UInt8(ascii: "{")), let object = object(level: 1) else { return nil }
    skipBlanks()
    return position == bytes.count ? object : nil
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    position += 1
    return true
  }

  private mutating func skipBlanks() {
    while let next, Self.isBlank(next) { position += 1 }
  }

  /// After its opening brace.
  private mutating func object(level: Int) -> Attributes? {
    guard level <= Attributes.levelsMax else { return nil }
    var values: [String: AttributeValue] = [:]
    skipBlanks()
    if take(UInt8(ascii: "}")) { return Attributes(values) }
    while true {
      skipBlanks()
      // Before anything hashes it.
      guard take(UInt8(ascii: "\"")), let name = string(), name.isStreamSafe else { return nil }
      skipBlanks()
      guard take(UInt8(ascii: ":")), let value = value(level: level + 1),
        values.updateValue(value, forKey: name) == nil
      else { return nil }
      skipBlanks()
      if take(UInt8(ascii: "}")) { return Attributes(values) }
      guard take(UInt8(ascii: ",")) else { return nil }
    }
  }

  /// After its opening bracket.
  private mutating func list(level: Int) -> [AttributeValue]? {
    guard level <= Attributes.levelsMax else { return nil }
    var items: [AttributeValue] = []
    skipBlanks()
    if take(UInt8(ascii: "]")) { return items }
    while true {
      guard let item = value(level: level + 1) else { return nil }
      items.append(item)
      skipBlanks()
      if take(UInt8(ascii: "]")) { return items }
      guard take(UInt8(ascii: ",")) else { return nil }
    }
  }

  private mutating func value(level: Int) -> AttributeValue? {
    skipBlanks()
    switch next {
    case UInt8(ascii: "{"):
      position += 1
      return object(level: level).map { .nested($0) }
    case UInt8(ascii: "["):
      position += 1
      return list(level: level).map { .list($0) }
    case UInt8(ascii: "\""):
      position += 1
      return string().map { .string($0) }
    case UInt8(ascii: "t"): return word("true", .boolean(true))
    case UInt8(ascii: "f"): return word("false", .boolean(false))
    case UInt8(ascii: "n"): return word("null", .null)
    default: return number()
    }
  }

  private mutating func word(_ word: StaticString, _ value: AttributeValue) -> AttributeValue? {
    let end = position + word.utf8CodeUnitCount
    let expected = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    guard end <= bytes.count, bytes[position..<end].elementsEqual(expected) else { return nil }
    position = end
    return value
  }

  private mutating func number() -> AttributeValue? {
    let start = position
    _ = take(UInt8(ascii: "-"))
    let whole = digits()
    guard whole == 1 || (whole > 1 && bytes[position - whole] != UInt8(ascii: "0")) else {
      return nil
    }
    if take(UInt8(ascii: ".")), digits() == 0 { return nil }
    if let next, next | 0x20 == UInt8(ascii: "e") {
      position += 1
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      guard digits() > 0 else { return nil }
    }
    let spelling = String(decoding: bytes[start..<position], as: UTF8.self)
    return JSONNumber.exactly(spelling[...]).map { .number($0) }
  }

  /// Takes digits; returns how many.
  private mutating func digits() -> Int {
    let start = position
    while let next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) { position += 1 }
    return position - start
  }

  /// After its opening quote.
  private mutating func string() -> String? {
    let start = position
    while let next, next >= 0x20, next != UInt8(ascii: "\""), next != UInt8(ascii: "\\") {
      position += 1
    }
    if take(UInt8(ascii: "\"")) {
      return String(decoding: bytes[start..<(position - 1)], as: UTF8.self)
    }
    var text = Array(bytes[start..<position])
    while let byte = next, byte >= 0x20 {
      position += 1
      switch byte {
      case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"):
        guard let scalar = escaped(), scalar != "\0" else { return nil }
        text += UTF8.encode(scalar)!
      default: text.append(byte)
      }
    }
    return nil
  }

  /// What stands after a backslash.
  private mutating func escaped() -> Unicode.Scalar? {
    guard let byte = next else { return nil }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{08}"
    case UInt8(ascii: "f"): return "\u{0C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): break
    default: return nil
    }
    guard let high = codeUnit() else { return nil }
    guard UTF16.isLeadSurrogate(high) else { return Unicode.Scalar(high) }
    guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")), let low = codeUnit(),
      UTF16.isTrailSurrogate(low)
    else { return nil }
    return Unicode.Scalar(0x1_0000 + (UInt32(high) - 0xD800) << 10 + (UInt32(low) - 0xDC00))
  }

  /// Four hexadecimal digits.
  private mutating func codeUnit() -> UInt16? {
    let end = position + 4
    guard end <= bytes.count else { return nil }
    var unit: UInt16 = 0
    for byte in bytes[position..<end] {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
      unit = unit << 4 | UInt16(digit)
    }
    position = end
    return unit
  }
}
