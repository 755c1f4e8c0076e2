package import NIOCore

/// One request that waits for its answer, whichever protocol brought it. Belongs to its event loop:
/// everything here is called there.
package protocol Exchange: AnyObject {
  var eventLoop: any EventLoop { get }

  /// Whether the peer still waits: false once it is answered, reset, or the connection is gone.
  var isOpen: Bool { get }

  /// Keeps `object` alive for as long as anybody waits for the answer: until it is written, or the
  /// peer is gone. At most one object; harmless where ``isOpen`` is false.
  func keep(_ object: AnyObject)

  /// Answers the request. Only the first answer counts; harmless where ``isOpen`` is false.
  func respond(_ headers: ResponseHeaders, body: [UInt8])
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
