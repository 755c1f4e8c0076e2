package import HTTP
package import NIOCore
import NIOHTTP1

/// Sets up a server's connections: HTTP/2 and HTTP/1.1 side by side on one port.
///
/// TLS goes in front of the detector when it comes: everything behind it sees plain bytes.
package struct ServerPipeline: Sendable {
  private let http2: HTTP2Limits
  private let http1: HTTP1Limits
  private let grease: Grease
  private let arrivals: RoomBudget
  private let answers: RoomBudget
  private let rejections: Rejections
  private let http1Rejections: HTTP1Rejections

  /// - Parameters:
  ///   - arrivals: What the requests of all connections may take while they are arriving.
  ///   - answers: What the answers of all connections may take while they wait to be written.
  ///   - answer: What is answered to a request that breaks a bound of the protocol.
  package init(
    http2: HTTP2Limits = HTTP2Limits(), http1: HTTP1Limits = HTTP1Limits(), grease: Grease,
    arrivals: RoomBudget = RoomBudget(), answers: RoomBudget = RoomBudget(),
    answer: (Refusal) -> Rejections.Rejection
  ) {
    self.arrivals = arrivals
    self.answers = answers
    self.http2 = http2
    self.http1 = http1
    self.grease = grease
    rejections = Rejections(
      headersTooLarge: answer(.headersTooLarge(bytesMax: http2.headerListBytesMax)),
      bodyTooLarge: answer(.bodyTooLarge(bytesMax: http2.requestBodyBytesMax)),
      tooManyBytes: answer(.noRoom(connectionBytesMax: http2.bufferedRequestBytesMax)),
      malformed: answer(.malformed),
      timedOut: answer(.timedOut(seconds: http2.requestTimeout.nanoseconds / 1_000_000_000)))
    http1Rejections = HTTP1Rejections(rejections, answer)
  }

  /// Whom the server can ask to finish a connection. Belongs to its event loop.
  package protocol Handler: AnyObject {
    /// Finishes the requests in hand, then closes.
    func beginDrain()
    /// The same for a connection that was opened when the drain had begun: a probe that asks how the
    /// server is gets its answer.
    func beginDrainAfterFirstRequest()
    /// Tells the peer of a new offer, where its protocol has a way to.
    func update(offer: HandshakeOffer)
  }

  /// Adds the handlers to a new channel, on its event loop.
  ///
  /// - Parameters:
  ///   - turns: Of the channel's event loop.
  ///   - offer: Makes the handshake's offer for a connection that turns out to be HTTP/2.
  ///   - opened: Told whom to ask to finish: at once, without a protocol, and again when it is known
  ///     what the connection speaks.
  ///   - failed: Told of a connection that comes to nothing before it is known what it speaks.
  package func configure(
    _ channel: any Channel, receiver: any RequestReceiver, turns: Turns,
    offer: @escaping () -> HandshakeOffer, events: any HTTP2ServerEvents,
    opened: @escaping (any Handler, _ protocolName: String?) -> Void,
    failed: @escaping (EarlyEnd) -> Void
  ) throws {
    let detector = ProtocolDetector { found, channel in
      switch found {
      case .http2:
        let handler = HTTP2ServerHandler(
          receiver: receiver, offer: offer(), limits: http2, grease: grease,
          rejections: rejections, arrivals: arrivals, answers: answers, events: events)
        try channel.pipeline.syncOperations.addHandlers([
          PacedReads(turns: turns, arrivals: arrivals), handler,
        ])
        opened(handler, "http/2")
      case .http1:
        opened(try addHTTP1(to: channel, receiver, turns), "http/1.1")
      case .foreign(let foreign):
        failed(.foreign(foreign))
        // Its answer is one of HTTP/1.1.
        let handler = try addHTTP1(to: channel, receiver, turns)
        opened(handler, "http/1.1")
        handler.refuse(foreign)
      }
    } failed: {
      failed(.error($0))
    }
    try channel.pipeline.syncOperations.addHandler(detector)
    opened(detector, nil)
  }

  private func addHTTP1(
    to channel: any Channel, _ receiver: any RequestReceiver, _ turns: Turns
  ) throws -> HTTP1Handler {
    // Who has said all is answered, though nothing more comes from there.
    try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    let reader = HTTP1RequestReader(limits: http1)
    let handler = HTTP1Handler(
      reader: reader, receiver: receiver, limits: http1, rejections: http1Rejections,
      turns: turns, arrivals: arrivals, answers: answers, at: channel.eventLoop.now)
    try channel.pipeline.syncOperations.addHandlers([HTTPResponseEncoder(), handler, reader])
    return handler
  }

  /// Why a connection came to nothing before it was known what it speaks.
  package enum EarlyEnd {
    case foreign(ForeignProtocol)
    /// Of the channel, or where its handlers were added.
    case error(any Error)
  }
}

extension HTTP2ServerHandler: ServerPipeline.Handler {
  // The first GOAWAY leaves room for what is on its way.
  package func beginDrainAfterFirstRequest() { beginDrain() }
}

extension ServerPipeline.Handler {
  package func update(offer: HandshakeOffer) {}
}

extension HTTP1Handler: ServerPipeline.Handler {}

extension ProtocolDetector: ServerPipeline.Handler {
  func beginDrainAfterFirstRequest() { beginDrain() }
}
