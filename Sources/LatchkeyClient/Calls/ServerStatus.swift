import WireSchema

/// The answer to GET /status. Unknown fields are ignored: the server may be newer.
enum ServerStatus {
  static func decode(_ body: [UInt8]) throws(LatchkeyError) -> Latchkey_Fleet_V1_Status {
    do {
      return try Codec.json.decode(Latchkey_Fleet_V1_Status.self, from: body)
    } catch {
      throw LatchkeyError(
        .unknown, "the answer is not the status of a Latchkey server", cause: error)
    }
  }
}
