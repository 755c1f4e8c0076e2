package import NIOCore

/// The bounds of one HTTP/1.1 connection. They hold for all that a peer sends, blanks included.
package struct HTTP1Limits: Sendable {
  /// The largest body of a request, in bytes.
  package var requestBodyBytesMax = 524_288
  /// Path, names and values of a request's header fields together, in bytes.
  package var headerListBytesMax = 16_384
  /// Header fields of one request, its trailers included: as many as the same bound over HTTP/2
  /// lets through, where each field counts 32 bytes more (RFC 9113 6.5.2).
  package var headerFieldsMax = 512
  /// Everything in front of a request's body, between two chunks of it and behind it, as it was
  /// sent, in bytes: room for the list and what stands between its parts, where nobody sends blanks
  /// for the sake of it.
  package var headBytesMax: Int { 2 * headerListBytesMax }
  /// What is kept of requests behind the one in hand, in bytes: more than comes in one go, so a peer
  /// passes it only where it has ended its side, since the system then hands over all that came
  /// before. What is beyond is dropped, and the connection ends there. So is all of it where room
  /// is scarce, see ``RoomBudget``: the request in hand may wait for an hour.
  package var aheadBytesMax = 327_680
  /// Requests that are begun as soon as they are read, before the connection waits for its turn.
  package var readRequestsMax = 8
  /// Requests that are begun in a turn, before other connections of the event loop get theirs.
  package var turnRequestsMax = 256
  /// How long a request may take to arrive, from its first byte to its last.
  package var requestTimeout = TimeAmount.seconds(30)
  /// How long a connection may be idle between two requests.
  package var idleTimeout = TimeAmount.seconds(75)
  /// How long an answer may wait without ``writeProgressBytesMin`` of it, or all, getting out.
  package var writeTimeout = TimeAmount.seconds(30)
  /// What a peer has to read within ``writeTimeout``, in bytes, if it does not read all there is.
  package var writeProgressBytesMin = 1_048_576
  /// What is read and dropped of what comes after the last answer of a connection, in bytes: as much as a
  /// client may send before it looks for an answer.
  package var lingerBytesMax = 64 << 20
  /// How long that may take.
  package var lingerTimeout = TimeAmount.seconds(30)
  /// How long it may still take when the server shuts down.
  package var lingerDrainTimeout = TimeAmount.seconds(1)
  /// How often the connection's one timer looks.
  package var checkInterval = TimeAmount.seconds(5)

  package init() {}
}
