package import NIOCore

/// One request that waits for its answer, whichever protocol brought it. Belongs to its event loop:
/// everything here is called there.
package protocol Exchange: AnyObject {
  var eventLoop: any EventLoop { get }

  /// Whether its connection knows nothing of it any more: it is answered and sent, reset, or the connection is gone.
  var isForgotten: Bool { get }

  /// Whether the peer still waits: false once it is answered, reset, or the connection is gone.
  var isOpen: Bool { get }

  /// Whether nothing of the answer waits here any more, so that the peer may have it.
  var isAnswerSent: Bool { get }

  /// Has `watcher` told when nobody waits for the answer any more, and keeps it until then. At most
  /// one watcher; told at once where ``isOpen`` is false.
  func tellEnd(to watcher: any ExchangeWatcher)

  /// Asks the peer for a sign of life that is younger than this call: a PING over HTTP/2 (RFC 9113
  /// 6.7), which whoever is at the other end of the connection answers, a proxy perhaps. May be
  /// asked before the request is answered, and in place right after.
  ///
  /// `completion` is called once, on the event loop, perhaps before this returns. There is no
  /// timeout here: a peer that is silent is told at the connection's end.
  func askForSignOfLife(_ completion: @escaping (SignOfLife) -> Void)

  /// Answers the request. Only the first answer counts; harmless where ``isOpen`` is false.
  ///
  /// - Parameter isBodyCounted: Whether whoever answers bounds by itself what the bodies of its answers
  ///   take until they are out. The others count as ``HTTP2ServerHandler`` says.
  func respond(_ headers: ResponseHeaders, body: [UInt8], isBodyCounted: Bool)
}

extension Exchange {
  package func respond(_ headers: ResponseHeaders, body: [UInt8]) {
    respond(headers, body: body, isBodyCounted: false)
  }
}

/// What came of asking a peer for a sign of life.
package enum SignOfLife: Sendable {
  /// The peer was there after it was asked.
  case given
  /// The request is over, or its connection.
  case gone
  /// Nobody can tell: HTTP/1.1 has no way to ask, and over HTTP/2
  /// ``HTTP2Limits/signsOfLifeMax`` others are waiting already.
  case untold
}

/// Learns that nobody waits for an answer any more. Belongs to the exchange's event loop.
package protocol ExchangeWatcher: AnyObject {
  /// Whether the answer is not due yet, because the request waits for something that others do.
  var isWaiting: Bool { get }

  /// The answer is written, or the peer is gone. Called once.
  func exchangeEnded()

  /// The peer has ended its side of the connection, before the answer. It may still read one, or be
  /// gone for good: both look the same.
  func inputEnded()
}

extension ExchangeWatcher {
  package var isWaiting: Bool { false }
  package func inputEnded() {}
}

/// Takes complete requests.
package protocol RequestReceiver: AnyObject {
  /// Takes one request, on its event loop. The body is complete and within its bound.
  ///
  /// Answer in place or later through `exchange`; later is without a bound here, so a receiver that
  /// keeps an exchange has a deadline of its own. Request methods and paths are not judged before:
  /// whatever is a valid request of RFC 9113 comes here, CONNECT included. Trailers are dropped.
  func receive(_ head: HeaderBlock, body: [UInt8], exchange: any Exchange)
}
