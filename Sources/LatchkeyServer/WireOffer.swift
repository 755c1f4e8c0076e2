import HTTP
import HTTPServer
import WireSchema

/// The wire versions that this server offers at the moment, as they stand in all that it sends. It
/// understands every version that its release speaks, offered or not.
struct WireOffer: Sendable {
  let range: WireRange
  /// Why, in words for a person.
  let reason: String
  let answers: PreparedAnswers
  let pipeline: ServerPipeline

  /// - Parameter pipeline: Makes connections on which what is refused is answered so.
  init(
    _ range: WireRange, reason: String,
    pipeline: ((Refusal) -> Rejections.Rejection) -> ServerPipeline
  ) {
    self.range = range
    self.reason = reason
    let fields = [("\(WireRange.headerName)", range.headerValue)]
    answers = PreparedAnswers(commonFields: fields)
    self.pipeline = pipeline { RPCError($0).rejection(fields) }
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

extension RPCError {
  fileprivate init(_ refusal: Refusal) {
    let code: Code =
      switch refusal {
      case .headersTooLarge, .bodyTooLarge, .noRoom: .resourceExhausted
      case .malformed, .foreign: .invalidArgument
      case .timedOut: .deadlineExceeded
      case .transferCoding: .unimplemented
      }
    self.init(code, refusal.message, httpStatus: refusal.status)
  }

  fileprivate func rejection(_ fields: [(String, String)]) -> Rejections.Rejection {
    let type = ("content-type", Codec.json.contentType)
    return Rejections.Rejection(
      headers: ResponseHeaders(status: httpStatus, fields: [type] + fields), body: json)
  }
}
