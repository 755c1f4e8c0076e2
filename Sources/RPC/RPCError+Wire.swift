package import WireSchema

extension RPCError {
  /// An error of a wire version as it travels.
  package init(_ error: WireError) {
    let details = error.details.compactMap { message in
      (try? message.serializedBytes() as [UInt8]).map {
        Detail(type: type(of: message).protoMessageName, value: $0)
      }
    }
    self.init(Code(rawValue: error.code.rawValue)!, error.message, details: details)
  }
}
