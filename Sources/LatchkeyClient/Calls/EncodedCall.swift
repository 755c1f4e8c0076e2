package import WireSchema

/// A call ready to be sent, in some wire version.
package struct EncodedCall: Sendable, Equatable {
  package var path: String
  package var body: [UInt8]

  package init(path: String, body: [UInt8]) {
    self.path = path
    self.body = body
  }
}

// What is asked and answered in the terms of the newest version, in the words of this one.
extension WireVersion {
  /// - Throws: ``LatchkeyError/Code/requiresNewerPeer`` for what this version cannot carry.
  package static func encode(_ request: NewestWire.Request) throws(LatchkeyError) -> EncodedCall {
    do {
      let lowered = try lowerFromNewest(request)
      return EncodedCall(path: path(of: lowered.method), body: try lowered.encoded(Codec.proto))
    } catch let missing as Inexpressible {
      throw .requiresNewerPeer(
        feature: missing.feature, needs: Int(missing.needs), has: Int(number))
    } catch {
      throw LatchkeyError(.invalidRequest, "the request cannot be encoded", cause: error)
    }
  }

  /// Reads the body of a successful answer to `request`.
  package static func decode(
    _ body: [UInt8], of request: NewestWire.Request
  ) throws(LatchkeyError) -> NewestWire.Response {
    do {
      let method = try lowerFromNewest(request).method
      return try raiseToNewest(Response(method, body, Codec.proto), of: request)
    } catch {
      throw LatchkeyError(.unknown, "the answer cannot be understood", cause: error)
    }
  }

  /// An error of this version in the words of the newest one; nil where no version knows it.
  static func raised(_ error: RPCError) -> WireError? {
    guard let code = WireError.Code(rawValue: error.code.rawValue) else { return nil }
    let details = error.details.compactMap { detail in
      detailTypes.first { $0.protoMessageName == detail.type }
        .flatMap { try? $0.init(serializedBytes: detail.value) }
    }
    return raiseToNewest(WireError(code, message: error.message, details: details))
  }
}

extension [any WireVersion.Type] {
  /// The range of these versions.
  package var range: WireRange {
    guard let first, let last, let range = WireRange(oldest: first.number, newest: last.number)
    else { preconditionFailure("no wire versions, or not in order") }
    return range
  }

  func version(_ number: UInt32) -> any WireVersion.Type {
    guard let version = first(where: { $0.number == number }) else {
      preconditionFailure("wire version \(number) is within the range but is not known")
    }
    return version
  }
}
