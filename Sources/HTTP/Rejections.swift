/// The answers to requests that never reach the receiver, because a bound was exceeded.
package struct Rejections: Sendable {
  package struct Rejection: Sendable {
    package var headers: ResponseHeaders
    package var body: [UInt8]

    package init(headers: ResponseHeaders, body: [UInt8]) {
      self.headers = headers
      self.body = body
    }
  }

  /// 431: the header list is larger than ``HTTP2Limits/headerListBytesMax``.
  package var headersTooLarge: Rejection
  /// 413: the body is larger than ``HTTP2Limits/requestBodyBytesMax``.
  package var bodyTooLarge: Rejection
  /// 429: the connection's requests hold more than ``HTTP2Limits/bufferedRequestBytesMax`` or its
  /// part of the ``RoomBudget``, or its answers more than ``HTTP2Limits/unsentAnswerBytesMax``.
  package var tooManyBytes: Rejection
  /// 400: a header field is not valid. What is worse, such as a missing `:path`, is reset with
  /// PROTOCOL_ERROR (RFC 9113 8.1.1).
  package var malformed: Rejection
  /// 408: the request was not complete within ``HTTP2Limits/requestTimeout``.
  package var timedOut: Rejection

  package init(
    headersTooLarge: Rejection, bodyTooLarge: Rejection, tooManyBytes: Rejection,
    malformed: Rejection, timedOut: Rejection
  ) {
    self.headersTooLarge = headersTooLarge
    self.bodyTooLarge = bodyTooLarge
    self.tooManyBytes = tooManyBytes
    self.malformed = malformed
    self.timedOut = timedOut
  }
}
