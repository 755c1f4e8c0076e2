package import HTTP
package import NIOCore
import NIOHTTP1
package import NIOSSL
package import TLS

/// Sets up a server's connections: HTTP/2 and HTTP/1.1 side by side on one port, in TLS or in clear text.
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

  /// What becomes of a connection. Called on its event loop.
  package protocol Events: HTTP2ServerEvents {
    /// What the handshake's offer is, for a connection that turns out to be HTTP/2.
    func handshakeOffer() -> HandshakeOffer
    /// The peer has shown a certificate, which an authority of the server has issued.
    func peerShowed(_ certificate: NIOSSLCertificate)
    /// Whom to ask to finish: at once, without a protocol, and again when it is known what the connection speaks.
    func opened(_ handler: any Handler, protocolName: String?)
    /// It comes to nothing before it is known what it speaks.
    func failed(_ end: EarlyEnd)
  }

  /// Adds the handlers to a new channel, on its event loop.
  ///
  /// - Parameters:
  ///   - tls: What TLS works with there; nil for clear text.
  ///   - turns: Of the channel's event loop.
  ///   - handshakes: Of the channel's event loop.
  package func configure(
    _ channel: any Channel, tls: TLSMaterial?, receiver: any RequestReceiver, turns: Turns,
    handshakes: Handshakes, events: any Events
  ) throws {
    let way = Way(
      pipeline: self, receiver: receiver, turns: turns, handshakes: handshakes, events: events)
    try way.detect(on: channel, tls)
  }

  /// The way of one connection, from its first bytes to its protocol.
  private struct Way {
    let pipeline: ServerPipeline
    let receiver: any RequestReceiver
    let turns: Turns
    let handshakes: Handshakes
    let events: any Events

    /// - Parameter tls: Nil where clear text comes, be it out of TLS.
    func detect(on channel: any Channel, _ tls: TLSMaterial?) throws {
      let detector = ProtocolDetector(tls == nil ? .http : .tls) { found, channel in
        try begin(found, channel, tls)
      } failed: {
        events.failed(.error($0))
      }
      try channel.pipeline.syncOperations.addHandler(detector)
      events.opened(detector, protocolName: nil)
    }

    private func begin(
      _ found: ProtocolDetector.Found, _ channel: any Channel, _ tls: TLSMaterial?
    ) throws {
      switch found {
      case .http2:
        let handler = HTTP2ServerHandler(
          receiver: receiver, offer: events.handshakeOffer(), limits: pipeline.http2,
          grease: pipeline.grease, rejections: pipeline.rejections, arrivals: pipeline.arrivals,
          answers: pipeline.answers, events: events)
        try channel.pipeline.syncOperations.addHandlers([
          PacedReads(turns: turns, arrivals: pipeline.arrivals), handler,
        ])
        events.opened(handler, protocolName: "http/2")
      case .http1:
        events.opened(
          try pipeline.addHTTP1(to: channel, receiver, turns), protocolName: "http/1.1")
      case .tls:
        if let tls { try secure(channel, tls) }
      case .clearHTTP2:
        events.failed(.foreign(.clearText))
        let handler = ClearHTTP2Refusal(pipeline.http1)
        try channel.pipeline.syncOperations.addHandler(handler)
        events.opened(handler, protocolName: "http/2")
      case .foreign(let foreign):
        events.failed(.foreign(foreign))
        // Its answer is one of HTTP/1.1.
        let handler = try pipeline.addHTTP1(to: channel, receiver, turns)
        events.opened(handler, protocolName: "http/1.1")
        handler.refuse(foreign)
      }
    }

    /// Everything behind TLS sees plain bytes.
    private func secure(_ channel: any Channel, _ tls: TLSMaterial) throws {
      let handler = NIOSSLServerHandler(context: tls.current.context)
      let watch = TLSWatch(handshakes, of: handler, authorities: tls.files.authorities) {
        certificate in
        if let certificate { events.peerShowed(certificate) }
        try detect(on: channel, nil)
      } failed: {
        events.failed(.handshake($0))
      }
      try channel.pipeline.syncOperations.addHandlers([
        // A signature takes as long as a hundred requests.
        PacedReads(turns: turns, arrivals: pipeline.arrivals), handler, watch,
      ])
      events.opened(watch, protocolName: nil)
    }
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
    /// Of TLS.
    case handshake(any Error)
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

extension TLSWatch: ServerPipeline.Handler {
  func beginDrainAfterFirstRequest() { beginDrain() }
}

extension ProtocolDetector: ServerPipeline.Handler {
  func beginDrainAfterFirstRequest() { beginDrain() }
}
