/// Why a request has no response.
package struct HTTP2ClientError: Error, Sendable, CustomStringConvertible {
  /// What happened; more may come.
  package struct Code: RawRepresentable, Hashable, Sendable {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }

    /// The server did not and will not process the request (RFC 9113 8.7: REFUSED_STREAM, a stream
    /// above GOAWAY's last one, or it was never sent). Safe to send again anywhere.
    package static let refusedBeforeProcessing = Code(rawValue: "refused-before-processing")
    /// Cancelled by ``HTTP2ClientHandler/cancel(_:)``.
    package static let cancelled = Code(rawValue: "cancelled")
    /// The connection ended first. Whether the request was processed is unknown.
    package static let connectionClosed = Code(rawValue: "connection-closed")
    /// The server reset the stream. Whether the request was processed is unknown.
    package static let reset = Code(rawValue: "reset")
    /// The headers or the body are larger than the bounds of ``HTTP2Limits``.
    package static let responseTooLarge = Code(rawValue: "response-too-large")
    /// The response is not one of RFC 9113 8.1.
    package static let protocolError = Code(rawValue: "protocol-error")
    /// More requests than ``HTTP2Limits/clientRequestsMax`` are under way. It was not sent.
    package static let tooManyRequests = Code(rawValue: "too-many-requests")
  }

  package var code: Code
  /// What happened, in words for a person.
  package var message: String
  /// Why the connection ended, where that is the cause.
  package var cause: (any Error)?

  package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  package var description: String {
    "\(code.rawValue): \(message)" + (cause.map { " (\($0))" } ?? "")
  }
}
