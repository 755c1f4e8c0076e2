import HTTP2
import RPC
import WireSchema

/// The wire versions that this server offers at the moment, as they stand in all that it sends. It
/// understands every version that its release speaks, offered or not.
struct WireOffer: Sendable {
  let range: WireRange
  /// Why, in words for a person.
  let reason: String
  let answers: PreparedAnswers
  let pipeline: ServerPipeline

  /// - Parameter pipeline: Makes connections on which every answer has the given fields.
  init(
    _ range: WireRange, reason: String, pipeline: ([(String, String)]) -> ServerPipeline
  ) {
    self.range = range
    self.reason = reason
    let fields = [("\(WireRange.headerName)", range.headerValue)]
    answers = PreparedAnswers(commonFields: fields)
    self.pipeline = pipeline(fields)
  }

  /// As it stands in the handshake.
  func handshake(serverID: String, grease: UInt64) -> HandshakeOffer {
    var hello = Latchkey_Handshake_V1_Hello.with {
      $0.software = Release.version
      $0.serverID = serverID
      $0.wire = range.message
      $0.reason = reason
    }
    var bytes = HelloFrame.encode(hello, grease: grease)
    if bytes.count > HelloFrame.bytesMax {
      // The reason is another server's words in part.
      hello.reason = ""
      bytes = HelloFrame.encode(hello, grease: grease)
    }
    return HandshakeOffer(settingsValue: range.settingsValue, hello: bytes)
  }
}
