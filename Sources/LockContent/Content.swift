import Glibc

/// What a holder wants to be known: a text, and the attributes that it stands for where it is a JSON
/// object.
///
/// Texts and attributes may be large, and most of the time nobody asks for both. So each is made of the
/// other only when it is asked for, every time.
package struct Content: Equatable, Sendable {
  private let ownText: String?
  /// The attributes as bytes, where the text is their canonical one and they have been made already.
  package let binary: [UInt8]?

  /// 0 where it would have to be made.
  private let ownTextHash: UInt64

  package static let empty = Content(text: "")

  package init(text: String) {
    ownText = text
    binary = nil
    ownTextHash = 0
  }

  /// - Parameter attributes: They have to be ``Attributes/isSound``.
  package init(_ attributes: Attributes) {
    ownText = attributes.json
    binary = attributes.binary
    ownTextHash = 0
  }

  /// - Parameters:
  ///   - binary: Attributes that ``Attributes/isBinary(_:)``.
  ///   - text: Their canonical text, where it is at hand.
  ///   - textHash: What ``textHash`` is.
  package init(binary: [UInt8], text: String? = nil, textHash: UInt64 = 0) {
    ownText = text
    self.binary = binary
    ownTextHash = textHash
  }

  /// Whether it is the empty text.
  package var isEmpty: Bool { ownText?.isEmpty ?? false }

  /// What versions before attributes know: exactly as it was written, or ``Attributes/json``.
  package var text: String {
    ownText ?? binary.flatMap { Attributes(binary: $0[...]) }?.json ?? ""
  }

  /// ``Swift/String/hash64`` of the text.
  package var textHash: UInt64 { ownTextHash == 0 ? text.hash64 : ownTextHash }

  /// Nil where the text is no JSON object that attributes hold exactly.
  package var attributes: Attributes? {
    binary.map { Attributes(binary: $0[...]) } ?? ownText.flatMap { Attributes(exactly: $0) }
  }

  /// False where a look at its beginning tells that it has no ``attributes``.
  package var mayBeAttributes: Bool {
    guard binary == nil, let ownText else { return true }
    for byte in ownText.utf8 where byte > UInt8(ascii: " ") { return byte == UInt8(ascii: "{") }
    return false
  }

  /// Of the attributes, where they have been made already, else of the text.
  package var byteCount: Int { binary?.count ?? text.utf8.count }

  /// Whether its text is at hand and is that of `other`.
  package func hasText(of other: Content) -> Bool {
    ownText?.isSameText(as: other.text) ?? false
  }

  /// What `new` makes of it; nil leaves it as it is, and so does the same text: what is there already need
  /// not be made anew.
  package func changed(to new: Content?) -> Content {
    guard let new, !hasText(of: new) else { return self }
    return new
  }

  /// The text says it all. It counts by its bytes.
  package static func == (a: Content, b: Content) -> Bool {
    if let a = a.binary, let b = b.binary { return a == b }
    return a.text.isSameText(as: b.text)
  }
}

extension Content: ExpressibleByStringLiteral {
  package init(stringLiteral text: String) { self.init(text: text) }
}

extension String {
  /// Whether both have the same bytes. Swift's own `==` also takes two Unicode spellings of "é" for the
  /// same.
  package func isSameText(as other: String) -> Bool {
    var other = other
    return other.withUTF8 { hasBytes(UnsafeRawBufferPointer($0)) }
  }

  /// Its beginning: whole characters (scalars) of at most `bytesMax` bytes of UTF-8 together.
  package func beginning(bytesMax: Int) -> String {
    guard utf8.count > bytesMax else { return self }
    var end = utf8.index(startIndex, offsetBy: bytesMax)
    while utf8[end] & 0xc0 == 0x80 { end = utf8.index(before: end) }
    return String(self[..<end])
  }

  package func hasBytes(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var text = self
    return text.withUTF8 { own in
      own.count == bytes.count
        && (own.isEmpty || memcmp(own.baseAddress!, bytes.baseAddress!, own.count) == 0)
    }
  }

  /// Tells two texts apart that nobody made on purpose to look the same: FNV-1a with 64 bits (Fowler, Noll,
  /// Vo).
  package var hash64: UInt64 {
    var text = self
    return text.withUTF8 { bytes in
      bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
  }
}
