package import HTTP
package import WireSchema

/// The head of a unary call, as the Connect protocol writes it, and its body ready to be decoded.
package struct UnaryRequest: Sendable {
  package var codec: Codec
  /// The body without its content encoding.
  package var body: [UInt8]
  /// How long the caller waits, in milliseconds from now; nil where it does not say.
  package var timeoutMilliseconds: Int64?

  /// Connect allows ten digits.
  package static let timeoutDigitsMax = 10

  /// - Parameter bytesMax: The bound on the body, inflated or not.
  /// - Throws: ``RPCError`` for what the Connect protocol does not allow or this server does not do.
  package init(_ head: HeaderBlock, body: [UInt8], bytesMax: Int) throws(RPCError) {
    let request = head.withFields { fields in
      Result { () throws(RPCError) in
        try UnaryRequest(CallFields(fields), body: body, bytesMax: bytesMax)
      }
    }
    self = try request.get()
  }

  private init(_ fields: CallFields, body: [UInt8], bytesMax: Int) throws(RPCError) {
    codec = try Self.codec(fields.contentType)
    if let version = fields.protocolVersion, !version.equals("1") {
      throw RPCError(
        .invalidArgument, "connect-protocol-version must be \"1\", got \"\(quote(version))\"")
    }
    timeoutMilliseconds = try fields.timeout.map(Self.timeout)
    self.body = try Self.decoded(body, fields.contentEncoding, bytesMax: bytesMax)
  }

  private static func codec(_ contentType: UnsafeRawBufferPointer?) throws(RPCError) -> Codec {
    // The two usual spellings are compared as bytes: this is done for every request.
    if let contentType, contentType.equals("application/proto") { return .proto }
    if let contentType, contentType.equals("application/json") { return .json }
    guard let codec = Codec(contentType: contentType.map(text) ?? "") else {
      throw RPCError(
        .unknown,
        "content type \"\(contentType.map(quote) ?? "")\" is not understood; "
          + "send application/json or application/proto",
        httpStatus: 415)
    }
    return codec
  }

  private static func timeout(_ value: UnsafeRawBufferPointer) throws(RPCError) -> Int64 {
    let text = text(value)
    guard (1...timeoutDigitsMax).contains(text.utf8.count),
      text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let milliseconds = Int64(text)
    else {
      throw RPCError(
        .invalidArgument, "connect-timeout-ms must be 1 to 10 digits, got \"\(quote(value))\"")
    }
    return milliseconds
  }

  private static func decoded(
    _ body: [UInt8], _ contentEncoding: UnsafeRawBufferPointer?, bytesMax: Int
  ) throws(RPCError) -> [UInt8] {
    guard let contentEncoding else { return body }
    let encoding = text(contentEncoding).lowercased()
    // By bytes: comparing texts normalises them.
    if encoding.utf8.elementsEqual("identity".utf8) { return body }
    if encoding.utf8.elementsEqual("gzip".utf8) {
      // Connect sends an empty body as it is, whatever the encoding.
      return body.isEmpty ? body : try Inflate.gzip(body, bytesMax: bytesMax)
    }
    throw RPCError(
      .unimplemented,
      "content encoding \"\(quote(contentEncoding))\" is not understood; send gzip or identity")
  }
}

/// The fields that say something about a call, found in one pass. Where one comes twice, the first
/// counts.
private struct CallFields {
  private(set) var contentType, protocolVersion, timeout, contentEncoding: UnsafeRawBufferPointer?

  init(_ fields: HeaderBlock.Fields) {
    for (name, value) in fields {
      if name.equals("content-type") {
        contentType = contentType ?? value
      } else if name.equals("connect-protocol-version") {
        protocolVersion = protocolVersion ?? value
      } else if name.equals("connect-timeout-ms") {
        timeout = timeout ?? value
      } else if name.equals("content-encoding") {
        contentEncoding = contentEncoding ?? value
      }
    }
  }
}

private func text(_ value: UnsafeRawBufferPointer) -> String {
  String(decoding: value, as: UTF8.self)
}

/// The beginning of `value`, enough to be recognised: what is refused is not sent back whole.
private func quote(_ value: UnsafeRawBufferPointer) -> String {
  guard value.count > quotedBytesMax else { return text(value) }
  return text(UnsafeRawBufferPointer(rebasing: value.prefix(quotedBytesMax))) + "..."
}

/// How much of a header field a refusal quotes, in bytes.
private let quotedBytesMax = 64
