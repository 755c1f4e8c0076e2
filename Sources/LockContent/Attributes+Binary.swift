extension Attributes {
  /// The attributes as bytes, in one way only:
  ///
  /// ```
  /// attributes = count (length name value)*          in the order of the names' bytes
  /// value      = 0 null | 1 false | 2 true | 3 double | 4 length text | 5 count value* | 6 attributes
  ///            | 7 integer
  /// ```
  ///
  /// Texts and names are UTF-8; no two names of one object are the same, nor canonically equivalent,
  /// and each is ``StreamSafe``. A count or length is in base 128, the lowest seven bits first, with
  /// the highest bit set in all bytes but the last; so is a whole number of less than 2^53, of which
  /// the lowest bit says whether it is negative (n is 2n, -n is 2n-1). A double is IEEE 754, its
  /// highest byte first.
  package var binary: [UInt8] {
    var writer = BinaryWriter()
    writer.append(self)
    return writer.bytes
  }

  /// Nil where `bytes` are not ``isBinary(_:)``.
  package init?(binary bytes: ArraySlice<UInt8>) {
    var reader = BinaryReader(bytes)
    guard let attributes = reader.attributes(level: 1), reader.isAtEnd else { return nil }
    self = attributes
  }

  /// Whether `bytes` are attributes, found out without making them.
  package static func isBinary(_ bytes: ArraySlice<UInt8>) -> Bool {
    var reader = BinaryReader(bytes)
    return reader.skipAttributes(level: 1) && reader.isAtEnd
  }

  /// The JSON of bytes that would be attributes if all their names were ``StreamSafe``: servers before
  /// 0.3.1 made such. Nil for all else.
  package static func json(ofUnsafeBinary bytes: ArraySlice<UInt8>) -> String? {
    var reader = BinaryReader(bytes)
    var text: [UInt8] = []
    guard reader.writeAttributes(level: 1, to: &text), reader.isAtEnd, !reader.isStreamSafe else {
      return nil
    }
    return String(decoding: text, as: UTF8.self)
  }
}

private struct BinaryWriter {
  private(set) var bytes: [UInt8] = []

  mutating func append(_ attributes: Attributes) {
    append(UInt64(attributes.values.count))
    for (name, value) in attributes.sorted {
      append(name)
      append(value)
    }
  }

  private mutating func append(_ value: AttributeValue) {
    switch value {
    case .null: bytes.append(0)
    case .boolean(let isTrue): bytes.append(isTrue ? 2 : 1)
    case .number(let number): append(number)
    case .string(let text):
      bytes.append(4)
      append(text)
    case .list(let items):
      bytes.append(5)
      append(UInt64(items.count))
      for item in items { append(item) }
    case .nested(let attributes):
      bytes.append(6)
      append(attributes)
    }
  }

  private mutating func append(_ number: Double) {
    if abs(number) < 0x1p53, let whole = Int64(exactly: number) {
      bytes.append(7)
      append(UInt64(bitPattern: whole << 1 ^ whole >> 63))
    } else {
      bytes.append(3)
      withUnsafeBytes(of: number.bitPattern.bigEndian) { bytes += $0 }
    }
  }

  private mutating func append(_ text: String) {
    append(UInt64(text.utf8.count))
    bytes += text.utf8
  }

  private mutating func append(_ count: UInt64) {
    var rest = count
    while rest > 127 {
      bytes.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}

/// Reads what the writer writes; nil or false where it does not.
private struct BinaryReader {
  private var bytes: ArraySlice<UInt8>
  /// Whether all names that were written as JSON are.
  private(set) var isStreamSafe = true

  init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  var isAtEnd: Bool { bytes.isEmpty }

  private mutating func number() -> UInt64? {
    var (number, shift) = (UInt64(0), UInt64(0))
    while let byte = bytes.popFirst() {
      number |= UInt64(byte & 127) << shift
      if byte < 128 { return number }
      shift += 7
      guard shift < 63 else { return nil }
    }
    return nil
  }

  /// Each of what is counted takes a byte at least: what is more than all that follows is no count.
  private mutating func count() -> Int? {
    guard let number = number(), number <= UInt64(bytes.count) else { return nil }
    return Int(number)
  }

  private mutating func text() -> String? {
    guard let count = count() else { return nil }
    defer { bytes = bytes.dropFirst(count) }
    return String(validating: bytes.prefix(count), as: UTF8.self)
  }

  private mutating func double() -> Double? {
    guard bytes.count >= 8 else { return nil }
    let bits = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    bytes = bytes.dropFirst(8)
    let number = Double(bitPattern: bits)
    return number.isFinite ? number : nil
  }

  // MARK: - Making

  mutating func attributes(level: Int) -> Attributes? {
    guard level <= Attributes.levelsMax, let count = count() else { return nil }
    var attributes = Attributes()
    var latest: String?
    for _ in 0..<count {
      guard let name = text(), latest?.utf8.lexicographicallyPrecedes(name.utf8) ?? true,
        name.isStreamSafe, let value = value(level: level + 1),
        attributes.values.updateValue(value, forKey: name) == nil
      else { return nil }
      latest = name
    }
    return attributes
  }

  private mutating func value(level: Int) -> AttributeValue? {
    switch bytes.popFirst() {
    case 0: return .null
    case 1: return .boolean(false)
    case 2: return .boolean(true)
    case 3: return double().map { .number($0) }
    case 4: return text().map { .string($0) }
    case 5:
      guard level <= Attributes.levelsMax, let count = count() else { return nil }
      var items: [AttributeValue] = []
      for _ in 0..<count {
        guard let item = self.value(level: level + 1) else { return nil }
        items.append(item)
      }
      return .list(items)
    case 6: return attributes(level: level).map { .nested($0) }
    case 7: return number().map { .number(Double(Int64($0 >> 1) ^ -Int64($0 & 1))) }
    default: return nil
    }
  }

  // MARK: - Passing over

  mutating func skipAttributes(level: Int) -> Bool {
    let start = self
    guard level <= Attributes.levelsMax, let count = count() else { return false }
    var latest: ArraySlice<UInt8>?
    var areASCII = true
    for _ in 0..<count {
      guard let name = skipText(), latest?.lexicographicallyPrecedes(name) ?? true,
        skipValue(level: level + 1)
      else { return false }
      latest = name
      guard name.withUnsafeBufferPointer(StreamSafe.holds) else { return false }
      areASCII = areASCII && name.allSatisfy { $0 < 0x80 }
    }
    // Which names are equivalent is found out only by making them.
    guard !areASCII, count > 1 else { return true }
    var again = start
    return again.attributes(level: level) != nil
  }

  private mutating func skipText() -> ArraySlice<UInt8>? {
    guard let count = count() else { return nil }
    let text = bytes.prefix(count)
    bytes = bytes.dropFirst(count)
    return String(validating: text, as: UTF8.self) == nil ? nil : text
  }

  private mutating func skipValue(level: Int) -> Bool {
    switch bytes.popFirst() {
    case 0, 1, 2: return true
    case 3: return double() != nil
    case 4: return skipText() != nil
    case 5:
      guard level <= Attributes.levelsMax, let count = count() else { return false }
      for _ in 0..<count {
        guard skipValue(level: level + 1) else { return false }
      }
      return true
    case 6: return skipAttributes(level: level)
    case 7: return number() != nil
    default: return false
    }
  }

  // MARK: - As JSON

  mutating func writeAttributes(level: Int, to text: inout [UInt8]) -> Bool {
    guard level <= Attributes.levelsMax, let count = count() else { return false }
    text.append(UInt8(ascii: "{"))
    var latest: ArraySlice<UInt8>?
    for index in 0..<count {
      guard let name = skipText(), latest?.lexicographicallyPrecedes(name) ?? true else {
        return false
      }
      latest = name
      isStreamSafe = isStreamSafe && name.withUnsafeBufferPointer(StreamSafe.holds)
      if index > 0 { text.append(UInt8(ascii: ",")) }
      Attributes.write(name, to: &text)
      text.append(UInt8(ascii: ":"))
      guard writeValue(level: level + 1, to: &text) else { return false }
    }
    text.append(UInt8(ascii: "}"))
    return true
  }

  private mutating func writeValue(level: Int, to text: inout [UInt8]) -> Bool {
    switch bytes.first {
    case 5:
      bytes = bytes.dropFirst()
      guard level <= Attributes.levelsMax, let count = count() else { return false }
      text.append(UInt8(ascii: "["))
      for index in 0..<count {
        if index > 0 { text.append(UInt8(ascii: ",")) }
        guard writeValue(level: level + 1, to: &text) else { return false }
      }
      text.append(UInt8(ascii: "]"))
      return true
    case 6:
      bytes = bytes.dropFirst()
      return writeAttributes(level: level, to: &text)
    default:
      guard let value = value(level: level) else { return false }
      Attributes.write(value, to: &text)
      return true
    }
  }
}
