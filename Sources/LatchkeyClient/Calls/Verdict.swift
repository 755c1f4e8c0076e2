import HTTP
import WireSchema

/// What a response means.
enum Verdict: Sendable {
  case success
  /// The server does not speak the request's wire version but these. Nothing was done.
  case speaks(WireRange)
  /// Another attempt, here or elsewhere, may fare better.
  case unavailable(LatchkeyError)
  /// - Parameter mayHaveHappened: Whether the answer leaves open if the server did it.
  case refused(LatchkeyError, mayHaveHappened: Bool)

  /// - Parameter version: The wire version of the request; nil where it has none.
  init(_ response: HTTP2Response, version: (any WireVersion.Type)?) {
    if response.status == 200 {
      self =
        version == nil || Self.isAnswer(response)
        ? .success : .refused(Self.strange, mayHaveHappened: true)
      return
    }
    // Pages for people say in words why not.
    if version == nil,
      response.headers.value(of: "content-type")?.hasPrefix("text/plain") ?? false
    {
      let words = String(decoding: response.body.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
      self = .refused(LatchkeyError(.unavailable, words), mayHaveHappened: false)
      return
    }
    let error = RPCError(json: response.body, httpStatus: response.status)
    // By the status too: a proxy may replace the body.
    let isUnknownThere = error.code == .unimplemented || response.status == 501
    if isUnknownThere, let version, let range = Self.range(in: error, response),
      !range.contains(version.number)
    {
      self = .speaks(range)
    } else if error.code == .unavailable {
      self = .unavailable(LatchkeyError(error, in: version))
    } else {
      self = .refused(
        LatchkeyError(error, in: version), mayHaveHappened: !error.code.meansNothingWasDone)
    }
  }

  /// Whatever else answers with 200 (a proxy's page, another service) must not pass for a grant.
  private static func isAnswer(_ response: HTTP2Response) -> Bool {
    response.headers.value(of: "content-type").flatMap(Codec.init(contentType:)) == .proto
  }

  private static let strange = LatchkeyError(
    .unknown, "what answered is not a Latchkey server: the answer is not application/proto")

  /// The range that an error carries, as its detail or as a header.
  private static func range(in error: RPCError, _ response: HTTP2Response) -> WireRange? {
    let detail = error.details.first { $0.type == WireRange.detailType }
    let message = detail.flatMap {
      try? Latchkey_Handshake_V1_WireRange(serializedBytes: $0.value)
    }
    return message.flatMap { WireRange($0) } ?? WireRange(headersOf: response)
  }
}

extension WireRange {
  /// The range in the header that servers put on every response.
  init?(headersOf response: HTTP2Response) {
    guard let value = response.headers.value(of: WireRange.headerName) else { return nil }
    self.init(headerValue: value)
  }
}

extension RPCError.Code {
  /// Whether who answers so has not begun. The others may come from a server, or from a proxy, that
  /// lost sight of the request halfway.
  fileprivate var meansNothingWasDone: Bool {
    switch self {
    case .invalidArgument, .notFound, .alreadyExists, .permissionDenied, .resourceExhausted,
      .failedPrecondition, .outOfRange, .unimplemented, .unauthenticated:
      true
    default: false
    }
  }
}

extension LatchkeyError {
  /// What the user of the client hears of a server's error.
  init(_ error: RPCError, in version: (any WireVersion.Type)?) {
    // 413 and 431: what was sent is too large, now and later.
    let isTooLarge = [413, 431].contains(error.httpStatus)
    if !isTooLarge, let raised = version?.raised(error) {
      self.init(raised, cause: error)
      return
    }
    let code: Code =
      switch error.code {
      case .invalidArgument, .outOfRange: .invalidRequest
      case .unavailable: .unavailable
      case .resourceExhausted: isTooLarge ? .invalidRequest : .overloaded
      case .deadlineExceeded: .deadlineExceeded
      case .permissionDenied: .permissionDenied
      case .unauthenticated: .unauthenticated
      default: .unknown
      }
    self.init(code, error.message.isEmpty ? error.code.rawValue : error.message, cause: error)
  }
}
