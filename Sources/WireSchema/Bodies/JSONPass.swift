import LockContent

/// One pass over the JSON of a call, in which names and lengths of time that are not
/// ``LockContent/StreamSafe`` are replaced (``UnsafeNames``). It does not judge: what is not JSON is
/// found when it is read.
struct JSONPass {
  private(set) var json: [UInt8]
  private var index = 0
  /// Objects and lists around the present place.
  private var depth = 0
  /// The depth of the latest member that is a map: what is deeper is the peer's own.
  private var mapDepth: Int?
  /// Whether the value that follows is a length of time.
  private var isTime = false
  private var count = 0

  /// Members with names of the peer's own in them.
  private static let maps = ["attributes", "labels"]
  /// Members that are a `google.protobuf.Duration`, as the newest versions spell them.
  private static let times = ["lease", "wait", "leaseLeft", "lease_left"]
  private static let quote = UInt8(ascii: "\"")
  private static let blanks = Array(" \t\r\n".utf8)

  init(_ json: [UInt8]) { self.json = json }

  mutating func run() {
    while index < json.count {
      switch json[index] {
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        isTime = false
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        leaveMap()
      case UInt8(ascii: ","):
        isTime = false
        leaveMap()
      case Self.quote:
        guard let end = endOfString() else { return }
        string(in: (index + 1)..<end)
        index = end
      default: break
      }
      index += 1
    }
  }

  private mutating func leaveMap() {
    if let mapDepth, depth <= mapDepth { self.mapDepth = nil }
  }

  private mutating func string(in place: Range<Int>) {
    let isUnsafe = !json[place].withUnsafeBufferPointer(StreamSafe.holds)
    // A string before a colon is a name.
    let next = json[(place.upperBound + 1)...].first { !Self.blanks.contains($0) }
    guard next == UInt8(ascii: ":") else {
      if isTime, isUnsafe { replace(place) }
      return
    }
    if mapDepth == nil {
      isTime = Self.times.contains { json[place].elementsEqual($0.utf8) }
      if Self.maps.contains(where: { json[place].elementsEqual($0.utf8) }) { mapDepth = depth }
    }
    if isUnsafe { replace(place) }
  }

  /// Where the string that begins here has its closing quote.
  private func endOfString() -> Int? {
    var end = index + 1
    while end < json.count, json[end] != Self.quote {
      end += json[end] == UInt8(ascii: "\\") ? 2 : 1
    }
    return end < json.count ? end : nil
  }

  /// By a text of the same length that begins with a NUL; no two are the same.
  private mutating func replace(_ place: Range<Int>) {
    count += 1
    let replacement = Array("\\u0000\(count)".utf8)
    for (offset, position) in place.enumerated() {
      json[position] = offset < replacement.count ? replacement[offset] : UInt8(ascii: " ")
    }
  }
}
