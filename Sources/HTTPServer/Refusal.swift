/// Why a request never comes to whoever answers requests.
package enum Refusal: Equatable, Sendable {
  case headersTooLarge(bytesMax: Int)
  case bodyTooLarge(bytesMax: Int)
  /// What the requests or answers of a connection, or of all, take.
  case noRoom(connectionBytesMax: Int)
  case malformed
  case timedOut(seconds: Int64)
  case transferCoding
  case foreign(ForeignProtocol)

  /// The HTTP status that says so (RFC 9110 15.5, RFC 6585).
  package var status: Int {
    switch self {
    case .headersTooLarge: 431
    case .bodyTooLarge: 413
    case .noRoom: 429
    case .malformed, .foreign: 400
    case .timedOut: 408
    case .transferCoding: 501
    }
  }

  /// In words for a person.
  package var message: String {
    switch self {
    case .headersTooLarge(let bytesMax): "the header fields take more than \(bytesMax) bytes"
    case .bodyTooLarge(let bytesMax): "the body takes more than \(bytesMax) bytes"
    case .noRoom(let connectionBytesMax):
      "unfinished requests or unread answers take all the room there is, of which a connection "
        + "has at most \(connectionBytesMax) bytes"
    case .malformed: "the request is not valid HTTP"
    case .timedOut(let seconds): "the request did not arrive within \(seconds) s"
    case .transferCoding: "of transfer codings only chunked is understood"
    case .foreign(let foreign): foreign.message
    }
  }
}
