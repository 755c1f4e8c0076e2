package import LockContent

/// How s2 keeps content and labels: as bytes that servers of s1 cannot read.
///
/// ```
/// content = 0 text | 1 hash attributes
/// labels  = attributes, all of which are texts
/// ```
///
/// Texts are UTF-8; attributes as in ``LockContent/Attributes/binary``. The hash is that of the
/// attributes' canonical text (``Swift/String/hash64``), its highest byte first: so it is seen whether that
/// is still what the older column has, without making it.
package enum S2Format {
  /// Texts up to so many bytes that are attributes in their canonical spelling are kept as attributes;
  /// longer ones, which take their time, as they are.
  package static let textBytesMax = 4_096

  package static func bytes(of content: Content) -> [UInt8] {
    guard let binary = content.binary ?? reformatted(content.text) else {
      return [0] + Array(content.text.utf8)
    }
    return [1] + withUnsafeBytes(of: content.textHash.bigEndian) { Array($0) } + binary
  }

  private static func reformatted(_ text: String) -> [UInt8]? {
    guard text.utf8.count <= textBytesMax, let attributes = Attributes(exactly: text),
      attributes.json.isSameText(as: text)
    else { return nil }
    return attributes.binary
  }

  /// - Parameter older: What the older column has; nil where it says nothing.
  /// - Returns: Nil where `bytes` are none of the format's.
  package static func content(_ bytes: [UInt8], older: Content?) -> Content? {
    switch bytes.first {
    case 0:
      let isOlder = bytes.withUnsafeBytes {
        older?.text.hasBytes(UnsafeRawBufferPointer(rebasing: $0.dropFirst())) ?? false
      }
      if isOlder { return older }
      return String(validating: bytes.dropFirst(), as: UTF8.self).map { Content(text: $0) }
    case 1:
      guard bytes.count > 9 else { return nil }
      let hash = bytes[1..<9].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      let isOlder = older.map { $0.text.hash64 == hash } ?? false
      guard Attributes.isBinary(bytes[9...]) else {
        // A server before 0.3.1 may have kept names that are not stream-safe. They are a text.
        return Attributes.json(ofUnsafeBinary: bytes[9...]).map {
          isOlder ? older! : Content(text: $0)
        }
      }
      return Content(
        binary: Array(bytes[9...]), text: isOlder ? older!.text : nil, textHash: hash)
    default: return nil
    }
  }

  package static func bytes(of labels: [String: String]) -> [UInt8] {
    Attributes(labels.mapValues { .string($0) }).binary
  }

  /// Nil where `bytes` are none of the format's.
  package static func labels(_ bytes: [UInt8]) -> [String: String]? {
    guard let attributes = Attributes(binary: bytes[...]) else { return nil }
    var labels: [String: String] = [:]
    for (name, value) in attributes.values {
      guard case .string(let text) = value else { return nil }
      labels[name] = text
    }
    return labels
  }
}
