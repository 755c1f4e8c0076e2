package import LockContent

/// How s2 keeps content and labels: as bytes that servers of s1 cannot read.
///
/// ```
/// content    = 0 text | 1 attributes | 2 length text attributes
/// attributes = count (length name value)*          in the order of the names' bytes
/// value      = 0 null | 1 false | 2 true | 3 number | 4 length text | 5 count value* | 6 attributes
/// labels     = (length name length text)*          in the order of the names' bytes
/// ```
///
/// Texts and names are UTF-8. A count or length is in base 128, the lowest seven bits first, with the
/// highest bit set in all bytes but the last. A number is an IEEE 754 double, its highest byte first. The
/// text of content 1 is the canonical one (``Attributes/json``); content 2 is spelled in another way.
package enum S2Format {
  package static func bytes(of content: Content) -> [UInt8] {
    guard let attributes = content.attributes else { return [0] + content.text.utf8 }
    var bytes: [UInt8] = [1]
    if !content.isCanonical {
      bytes = [2]
      append(content.text, to: &bytes)
    }
    append(attributes, to: &bytes)
    return bytes
  }

  /// Nil where `bytes` are none of the format's.
  package static func content(_ bytes: [UInt8]) -> Content? {
    var reader = S2Reader(bytes)
    let content: Content?
    switch reader.byte() {
    case 0: return reader.rest().map { Content(text: $0, attributes: nil) }
    case 1: content = reader.attributes(level: 1).map(Content.init)
    case 2:
      content = reader.text().flatMap { text in
        reader.attributes(level: 1).map { Content(text: text, attributes: $0) }
      }
    default: content = nil
    }
    return reader.isAtEnd ? content : nil
  }

  package static func bytes(of labels: [String: String]) -> [UInt8] {
    var bytes: [UInt8] = []
    let sorted = labels.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    for (name, text) in sorted {
      append(name, to: &bytes)
      append(text, to: &bytes)
    }
    return bytes
  }

  /// Nil where `bytes` are none of the format's.
  package static func labels(_ bytes: [UInt8]) -> [String: String]? {
    var reader = S2Reader(bytes)
    var labels: [String: String] = [:]
    while !reader.isAtEnd {
      guard let name = reader.text(), let text = reader.text(),
        labels.updateValue(text, forKey: name) == nil
      else { return nil }
    }
    return labels
  }

  private static func append(_ attributes: Attributes, to bytes: inout [UInt8]) {
    append(attributes.values.count, to: &bytes)
    for (name, value) in attributes.sorted {
      append(name, to: &bytes)
      append(value, to: &bytes)
    }
  }

  private static func append(_ value: AttributeValue, to bytes: inout [UInt8]) {
    switch value {
    case .null: bytes.append(0)
    case .boolean(let isTrue): bytes.append(isTrue ? 2 : 1)
    case .number(let number):
      bytes.append(3)
      // A text has no sign of zero.
      withUnsafeBytes(of: (number == 0 ? 0 : number).bitPattern.bigEndian) { bytes += $0 }
    case .string(let text):
      bytes.append(4)
      append(text, to: &bytes)
    case .list(let items):
      bytes.append(5)
      append(items.count, to: &bytes)
      for item in items { append(item, to: &bytes) }
    case .nested(let attributes):
      bytes.append(6)
      append(attributes, to: &bytes)
    }
  }

  private static func append(_ text: String, to bytes: inout [UInt8]) {
    append(text.utf8.count, to: &bytes)
    bytes += text.utf8
  }

  private static func append(_ count: Int, to bytes: inout [UInt8]) {
    var rest = count
    while rest > 127 {
      bytes.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}

/// Reads what ``S2Format`` writes; nil where it does not.
private struct S2Reader {
  private var bytes: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

  var isAtEnd: Bool { bytes.isEmpty }

  mutating func byte() -> UInt8? { bytes.popFirst() }

  mutating func rest() -> String? {
    defer { bytes = [] }
    return String(validating: bytes, as: UTF8.self)
  }

  /// In as many bytes as it may take: what is longer than all that follows is no count.
  private mutating func count() -> Int? {
    var (count, shift) = (0, 0)
    while let byte = byte() {
      count |= Int(byte & 127) << shift
      if byte < 128 { return count <= bytes.count ? count : nil }
      shift += 7
      guard shift < 35 else { return nil }
    }
    return nil
  }

  mutating func text() -> String? {
    guard let count = count() else { return nil }
    defer { bytes = bytes.dropFirst(count) }
    return String(validating: bytes.prefix(count), as: UTF8.self)
  }

  mutating func attributes(level: Int) -> Attributes? {
    guard level <= Attributes.levelsMax, let count = count() else { return nil }
    var attributes = Attributes()
    for _ in 0..<count {
      guard let name = text(), let value = value(level: level + 1),
        attributes.values.updateValue(value, forKey: name) == nil
      else { return nil }
    }
    return attributes
  }

  private mutating func value(level: Int) -> AttributeValue? {
    switch byte() {
    case 0: return .null
    case 1: return .boolean(false)
    case 2: return .boolean(true)
    case 3:
      guard bytes.count >= 8 else { return nil }
      let bits = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      bytes = bytes.dropFirst(8)
      let number = Double(bitPattern: bits)
      return number.isFinite ? .number(number) : nil
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
    default: return nil
    }
  }
}
