import HTTP2

extension AttemptFailure {
  /// What it means that a request has no response. Every call of wire v1 may be repeated: a claim by
  /// the same owner renews, a release of what is free succeeds.
  init(_ error: HTTP2ClientError, at endpoint: Endpoint) {
    let (code, mayHaveHappened, retry): (LatchkeyError.Code, Bool, Retry) =
      switch error.code {
      case .refusedBeforeProcessing: (.unavailable, false, .again)
      case .connectionClosed, .reset: (.unavailable, true, .again)
      case .tooManyRequests: (.overloaded, false, .never)
      case .cancelled: (.cancelled, true, .never)
      // The response was not understood, so it would not be the next time.
      default: (.unknown, true, .never)
      }
    self.init(
      error: LatchkeyError(code, "\(endpoint) gave no answer", cause: error),
      mayHaveHappened: mayHaveHappened, retry: retry)
  }
}
