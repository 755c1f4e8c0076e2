import HTTP

extension AttemptFailure {
  /// What it means that a request has no response. Every call of wire v1 may be repeated: a claim by
  /// the same owner renews, a release of what is free succeeds.
  ///
  /// - Parameter hasSpoken: Whether the server ever said a word of HTTP/2.
  init(_ error: HTTP2ClientError, at place: Place, hasSpoken: Bool) {
    let (code, mayHaveHappened, retry): (LatchkeyError.Code, Bool, Retry) =
      switch error.code {
      case .refusedBeforeProcessing: (.unavailable, false, .again)
      case .connectionClosed, .reset: (.unavailable, true, .again)
      case .tooManyRequests: (.overloaded, false, .never)
      case .cancelled: (.cancelled, true, .never)
      // The response was not understood, so it would not be the next time.
      default: (.unknown, true, .never)
      }
    let message =
      switch hasSpoken ? nil : error.cause as? HTTP2ConnectionEnd {
      case let end? where end.code == .protocolError:
        "cannot reach \(place): what listens there does not speak HTTP/2"
          + (place.endpoint.isSecure ? "" : ", or with TLS (https://)")
      case let end? where end.code == .channelError: "cannot reach \(place): \(end.message)"
      // What it says beside may be why, such as that it speaks TLS.
      case _ where error.code == .refusedBeforeProcessing:
        "\(place) refuses the request: \(error.message)"
      default: "\(place) gave no answer"
      }
    self.init(
      error: LatchkeyError(code, message, cause: error),
      mayHaveHappened: mayHaveHappened, retry: retry)
  }
}
