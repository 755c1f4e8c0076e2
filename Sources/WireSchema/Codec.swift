package import SwiftProtobuf

/// How the bodies of a call are written.
package enum Codec: CaseIterable, Sendable {
  case json
  case proto

  package var contentType: String {
    switch self {
    case .json: "application/json"
    case .proto: "application/proto"
    }
  }

  /// Nil where bodies of that type are not understood. Parameters such as a charset are ignored.
  package init?(contentType: String) {
    let essence = contentType.utf8.prefix { $0 != UInt8(ascii: ";") }
      .filter { $0 != UInt8(ascii: " ") }
    guard let codec = Self.allCases.first(where: { $0.isSpelled(essence) }) else { return nil }
    self = codec
  }

  /// Whether `essence` is its content type; ASCII letters may be of either case (RFC 9110, 8.3.1).
  private func isSpelled(_ essence: [UInt8]) -> Bool {
    essence.count == contentType.utf8.count
      && zip(essence, contentType.utf8).allSatisfy { byte, own in
        byte == own || (0x41...0x5a).contains(byte) && byte | 0x20 == own
      }
  }

  /// Reads a message. Unknown fields are ignored, whoever sent them may be newer.
  ///
  /// - Throws: An error with the code `invalidArgument`.
  package func decode<M: Message>(_: M.Type, from body: [UInt8]) throws(WireError) -> M {
    try decode(M.self, from: body, place: nil)
  }

  /// Reads a message.
  ///
  /// - Parameter place: What it is where there are maps in it or below it, so that nothing in them takes
  ///   longer than it should (``UnsafeNames``).
  func decode<M: Message>(
    _: M.Type, from body: [UInt8], place: MessagePlace?
  ) throws(WireError) -> M {
    do {
      switch self {
      case .proto:
        guard let place else { return try M(serializedBytes: body) }
        return try M(serializedBytes: UnsafeNames.replaced(inProtobuf: body, of: place))
      case .json:
        let body = UnsafeNames.replaced(inJSON: EscapedCharacters.writtenOut(in: body))
        return try M(jsonUTF8Bytes: body, options: Self.tolerant)
      }
    } catch {
      throw WireError(
        .invalidArgument, "invalid-message",
        "the body is no \(contentType) of \(M.protoMessageName) (\(error))")
    }
  }

  package func encode(_ message: some Message) throws(WireError) -> [UInt8] {
    do {
      switch self {
      case .proto: return try message.serializedBytes(options: Self.orderedProto)
      case .json: return try message.jsonUTF8Bytes(options: Self.orderedJSON)
      }
    } catch {
      throw WireError(.internal, "the answer could not be encoded: \(error)")
    }
  }

  package var emptyMessage: [UInt8] {
    switch self {
    case .proto: []
    case .json: Self.emptyObject
    }
  }

  private static let emptyObject = Array("{}".utf8)

  // The same message is always the same bytes, whatever order a dictionary is in.
  private static let orderedProto: BinaryEncodingOptions = {
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    return options
  }()

  private static let orderedJSON: JSONEncodingOptions = {
    var options = JSONEncodingOptions()
    options.useDeterministicOrdering = true
    return options
  }()

  private static let tolerant: JSONDecodingOptions = {
    var options = JSONDecodingOptions()
    options.ignoreUnknownFields = true
    return options
  }()
}
