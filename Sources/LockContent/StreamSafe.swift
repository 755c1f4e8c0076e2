/// Text that can be normalised in a time in proportion to its length.
///
/// Swift's strings are equal where Unicode calls them canonically equivalent, so hashing or
/// comparing them normalises, which sorts each run of non-starters (combining marks and the like).
/// For one long run that takes a time in proportion to its square: seconds for a name of 180 KB.
///
/// The bound is that of the Stream-Safe Text Format (Unicode Standard Annex 15, section 13). No
/// language needs more.
package enum StreamSafe {
  /// Non-starters that may follow each other: characters whose canonical combining class is not 0.
  package static let nonStartersMax = 30
  /// A longer run has at least so many bytes of UTF-8: no non-starter is in ASCII.
  private static let longRunBytesMin = 2 * (nonStartersMax + 1)
  /// The first character that is a non-starter.
  private static let firstNonStarter: UInt32 = 0x300

  /// Whether `bytes` have no run of more than ``nonStartersMax`` non-starters. What is not UTF-8 is
  /// not a non-starter.
  ///
  /// A longer run covers one in every ``longRunBytesMin`` bytes, so only those are looked at where
  /// nothing is found.
  package static func holds(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    // No run that is still to be found begins before this.
    var start = 0
    while case let position = start + longRunBytesMin - 1, position < bytes.count {
      guard let found = scalar(covering: position, in: bytes), isNonStarter(found) else {
        start = position + 1
        continue
      }
      let (count, end) = run(around: found, in: bytes, from: start)
      guard count <= nonStartersMax else { return false }
      start = end
    }
    return true
  }

  private struct Found {
    var value: UInt32
    var range: Range<Int>
  }

  /// How many non-starters `found` is among, itself included, and where they end. Counts no further
  /// than the bound.
  private static func run(
    around found: Found, in bytes: UnsafeBufferPointer<UInt8>, from start: Int
  ) -> (count: Int, end: Int) {
    var (count, first, end) = (1, found.range.lowerBound, found.range.upperBound)
    while first > start, count <= nonStartersMax,
      let before = scalar(covering: first - 1, in: bytes), before.range.upperBound == first,
      isNonStarter(before)
    {
      count += 1
      first = before.range.lowerBound
    }
    while end < bytes.count, count <= nonStartersMax, let next = scalar(covering: end, in: bytes),
      isNonStarter(next)
    {
      count += 1
      end = next.range.upperBound
    }
    return (count, end)
  }

  /// The character that the byte at `position` is a part of; nil where it is not UTF-8.
  private static func scalar(
    covering position: Int, in bytes: UnsafeBufferPointer<UInt8>
  ) -> Found? {
    var first = position
    while first > 0, position - first < 3, bytes[first] & 0xc0 == 0x80 { first -= 1 }
    let lead = bytes[first]
    let (count, bits): (Int, UInt8)
    switch lead {
    case 0..<0x80: (count, bits) = (1, lead)
    case 0xc2..<0xe0: (count, bits) = (2, lead & 0x1f)
    case 0xe0..<0xf0: (count, bits) = (3, lead & 0x0f)
    case 0xf0..<0xf5: (count, bits) = (4, lead & 0x07)
    default: return nil
    }
    let range = first..<(first + count)
    guard range.contains(position), range.upperBound <= bytes.count else { return nil }
    var value = UInt32(bits)
    for byte in bytes[range].dropFirst() {
      guard byte & 0xc0 == 0x80 else { return nil }
      value = value << 6 | UInt32(byte & 0x3f)
    }
    return Found(value: value, range: range)
  }

  private static func isNonStarter(_ found: Found) -> Bool {
    guard found.value >= firstNonStarter, let scalar = Unicode.Scalar(found.value) else {
      return false
    }
    return scalar.properties.canonicalCombiningClass != .notReordered
  }
}

extension String {
  /// See ``StreamSafe``.
  package var isStreamSafe: Bool {
    var text = self
    return text.withUTF8 { StreamSafe.holds($0) }
  }
}
