extension LatchkeyClient.Configuration {
  /// What is wrong with this configuration; nil where it can work.
  var error: LatchkeyError? {
    let timeouts = ClientLimits.timeoutMin...ClientLimits.timeoutMax
    let isSound: [(Bool, String)] = [
      (
        (1...ClientLimits.endpointsMax).contains(endpoints.count),
        "there must be 1 to \(ClientLimits.endpointsMax) endpoints, not \(endpoints.count)"
      ),
      (timeouts.contains(requestTimeout), "a request timeout of \(requestTimeout)"),
      (timeouts.contains(connectTimeout), "a connect timeout of \(connectTimeout)"),
      (backoff.isSound, "a backoff of \(backoff.min) to \(backoff.max)"),
      (
        (tls.certificate == nil) == (tls.key == nil),
        "a certificate and its key belong together, one of them is missing"
      ),
      (tls.serverName != "", "an empty name of the server"),
      (
        token?.isSound ?? true,
        "a token of other than 1 to \(BearerToken.bytesMax) visible bytes of ASCII"
      ),
      (pollInterval.isSound, "a poll interval of \(pollInterval.min) to \(pollInterval.max)"),
    ]
    return isSound.first { !$0.0 }.map {
      LatchkeyError(.invalidRequest, "the client's configuration cannot work: \($0.1)")
    }
  }
}

extension LatchkeyClient.DelayRange {
  var isSound: Bool {
    min >= ClientLimits.timeoutMin && min <= max && max <= ClientLimits.timeoutMax
  }
}

/// What a caller may ask of a lease.
enum LeaseTerms {
  /// - Throws: ``LatchkeyError/Code/invalidRequest`` where it is not within the bounds.
  static func check(_ lease: Duration) throws(LatchkeyError) {
    guard (ClientLimits.leaseMin...ClientLimits.leaseMax).contains(lease) else {
      throw LatchkeyError(
        .invalidRequest,
        "a lease must be \(ClientLimits.leaseMin) to \(ClientLimits.leaseMax), not \(lease)")
    }
  }

  /// - Throws: ``LatchkeyError/Code/invalidRequest`` for a negative wait.
  static func check(wait: Duration?) throws(LatchkeyError) {
    if let wait, wait < .zero {
      throw LatchkeyError(.invalidRequest, "a wait cannot be negative: \(wait)")
    }
  }
}

extension BearerToken {
  /// What a header field can carry; a file's content shows when it is read.
  var isSound: Bool {
    guard case .text(let text) = source else { return true }
    return text.utf8.count <= Self.bytesMax && Self.isToken(text.utf8)
  }

  /// Whether it can stand in a header field, and nothing else behind it.
  static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
    !bytes.isEmpty && bytes.allSatisfy { (0x21...0x7e).contains($0) }
  }
}
