package import HTTP2

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
    guard let codec = Self.codec(of: head) else {
      let type = head.value(of: "content-type") ?? ""
      throw RPCError(
        .unknown,
        "content type \"\(type)\" is not understood; "
          + "send application/json or application/proto",
        httpStatus: 415)
    }
    self.codec = codec
    if let version = head.value(of: "connect-protocol-version"), version != "1" {
      throw RPCError(
        .invalidArgument, "connect-protocol-version must be \"1\", got \"\(version)\"")
    }
    timeoutMilliseconds = try Self.timeout(of: head)
    switch head.value(of: "content-encoding")?.lowercased() {
    case nil, "identity": self.body = body
    // Connect sends an empty body as it is, whatever the encoding.
    case "gzip": self.body = body.isEmpty ? body : try Inflate.gzip(body, bytesMax: bytesMax)
    case let encoding?:
      throw RPCError(
        .unimplemented, "content encoding \"\(encoding)\" is not understood; send gzip or identity")
    }
  }

  /// The two usual spellings are compared as bytes: this is done for every request.
  private static func codec(of head: HeaderBlock) -> Codec? {
    let usual: Codec? = head.withValue(of: "content-type") { value in
      guard let value else { return nil }
      if value.equals("application/proto") { return .proto }
      if value.equals("application/json") { return .json }
      return nil
    }
    return usual ?? head.value(of: "content-type").flatMap(Codec.init(contentType:))
  }

  private static func timeout(of head: HeaderBlock) throws(RPCError) -> Int64? {
    guard let text = head.value(of: "connect-timeout-ms") else { return nil }
    guard (1...timeoutDigitsMax).contains(text.utf8.count),
      text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let milliseconds = Int64(text)
    else {
      throw RPCError(
        .invalidArgument, "connect-timeout-ms must be 1 to 10 digits, got \"\(text)\"")
    }
    return milliseconds
  }
}
