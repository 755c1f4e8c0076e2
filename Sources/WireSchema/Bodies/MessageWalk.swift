import LockContent

/// A message of protobuf in which, or below which, there are maps: the newest version's and the
/// well-known ones of `google.protobuf.Struct`.
enum MessagePlace {
  case acquireRequest, renewRequest, renewManyRequest, listRequest
  case resource, getResponse, listResponse
  /// An entry of `map<string, string>`.
  case label
  case structure
  /// An entry of a structure.
  case member
  case value
  case list

  /// What a field of it is.
  enum Field {
    /// The name of an entry.
    case name
    /// Messages in a row.
    case repeated(MessagePlace)
    /// One message. Where it comes again, reading merges the two.
    case single(MessagePlace)
  }

  /// Nil for what leads to no map.
  func field(_ number: UInt64) -> Field? {
    switch (self, number) {
    case (.acquireRequest, 8), (.resource, 8), (.renewRequest, 5), (.listRequest, 5):
      .single(.structure)
    case (.acquireRequest, 9), (.resource, 9), (.renewRequest, 6), (.listRequest, 6):
      .repeated(.label)
    case (.renewManyRequest, 1): .repeated(.renewRequest)
    case (.getResponse, 1): .single(.resource)
    case (.listResponse, 1): .repeated(.resource)
    case (.label, 1), (.member, 1): .name
    case (.structure, 1): .repeated(.member)
    case (.member, 2): .single(.value)
    case (.value, 5): .single(.structure)
    case (.value, 6): .single(.list)
    case (.list, 1): .repeated(.value)
    default: nil
    }
  }
}

/// What is wrong with the bytes of a message.
struct MessageFault: Error, CustomStringConvertible {
  var description: String
}

/// Goes through the bytes of a message before they are read: finds names that cost too much, and
/// refuses what merges one message too often (each time, all that is in it is copied).
///
/// It keeps its own stack: a peer cannot make it recurse.
struct MessageWalk {
  /// How often one message may have a field that is a single message. Encoders write it once;
  /// somebody may lay two messages end to end.
  static let mergesMax = 8
  /// Messages within each other. SwiftProtobuf reads 100; it does not count entries.
  static let depthMax = 256

  private struct Frame {
    var place: MessagePlace
    var end: Int
    /// Single messages that have been met.
    var merges = 0
  }

  private let body: [UInt8]
  private let findsNames: Bool
  private var position = 0
  private var current: Frame
  private var outer: [Frame] = []
  /// Where names are that are not ``LockContent/StreamSafe``.
  private(set) var unsafeNames: [Range<Int>] = []

  /// - Parameter findsNames: Whether there may be such names.
  init(_ body: [UInt8], _ place: MessagePlace, findsNames: Bool) {
    self.body = body
    self.findsNames = findsNames
    current = Frame(place: place, end: body.count)
  }

  mutating func run() throws(MessageFault) {
    while true {
      while position == current.end {
        guard let next = outer.popLast() else { return }
        current = next
      }
      let tag = try varint()
      try field(number: tag >> 3, wireType: tag & 7)
    }
  }

  private mutating func field(number: UInt64, wireType: UInt64) throws(MessageFault) {
    guard wireType == 2, let field = current.place.field(number) else {
      return try skip(number: number, wireType: wireType)
    }
    let length = try length()
    switch field {
    case .name:
      let name = position..<(position + length)
      position += length
      guard findsNames else { return }
      if !body[name].withUnsafeBufferPointer(StreamSafe.holds) { unsafeNames.append(name) }
    case .repeated(let place): try enter(place, length)
    case .single(let place):
      current.merges += 1
      guard current.merges <= Self.mergesMax else {
        throw MessageFault(description: "a field comes more than \(Self.mergesMax) times")
      }
      try enter(place, length)
    }
  }

  private mutating func enter(_ place: MessagePlace, _ length: Int) throws(MessageFault) {
    guard outer.count < Self.depthMax else { throw MessageFault(description: "too deep") }
    outer.append(current)
    current = Frame(place: place, end: position + length)
  }

  // MARK: - Bytes

  private mutating func skip(number: UInt64, wireType: UInt64) throws(MessageFault) {
    // Groups, which nobody writes any more, may be within each other.
    var groups: [UInt64] = []
    var (number, wireType) = (number, wireType)
    while true {
      switch wireType {
      case 0: _ = try varint()
      case 1: try advance(8)
      case 2: try advance(length())
      case 3:
        guard groups.count < Self.depthMax else { throw MessageFault(description: "too deep") }
        groups.append(number)
      case 4:
        guard groups.popLast() == number else { throw MessageFault(description: "malformed") }
      case 5: try advance(4)
      default: throw MessageFault(description: "malformed")
      }
      guard !groups.isEmpty else { return }
      let tag = try varint()
      (number, wireType) = (tag >> 3, tag & 7)
    }
  }

  private mutating func advance(_ count: Int) throws(MessageFault) {
    guard count <= current.end - position else { throw MessageFault(description: "truncated") }
    position += count
  }

  /// The length of what follows, all of which is there.
  private mutating func length() throws(MessageFault) -> Int {
    let length = try varint()
    guard length <= UInt64(current.end - position) else {
      throw MessageFault(description: "truncated")
    }
    return Int(length)
  }

  private mutating func varint() throws(MessageFault) -> UInt64 {
    var (number, shift) = (UInt64(0), UInt64(0))
    while position < current.end, shift < 70 {
      let byte = body[position]
      position += 1
      number |= UInt64(byte & 127) << shift
      if byte < 128 { return number }
      shift += 7
    }
    throw MessageFault(description: "truncated")
  }
}
