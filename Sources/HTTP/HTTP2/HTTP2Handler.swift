import CNghttp2
package import NIOCore

/// One HTTP/2 connection: feeds what the channel reads to nghttp2, and writes what nghttp2 has to
/// send in as few writes as there can be. What the frames mean is the matter of the two roles,
/// ``HTTP2ServerHandler`` and ``HTTP2ClientHandler``.
///
/// Everything happens on the channel's event loop. nghttp2 is never entered twice: while it
/// receives or is being pumped, callbacks only submit frames, and the pump runs after them.
package class HTTP2Handler: ChannelDuplexHandler {
  package typealias InboundIn = ByteBuffer
  package typealias OutboundIn = Never
  package typealias OutboundOut = ByteBuffer

  enum Phase {
    /// In no active channel yet. Next: open or ended.
    case waiting
    /// Next: ending, or closing where all is said, or ended.
    case open
    /// A GOAWAY that ends the connection is to be written; what comes in is dropped. Next: closing.
    case ending
    /// All is written; the channel closes once that is out. Next: ended.
    case closing
    /// Out of the channel, or the channel is closed.
    case ended
  }

  final let session: Session
  final let limits: HTTP2Limits
  final let grease: Grease
  final var offer: HandshakeOffer

  final var phase = Phase.waiting
  final var context: ChannelHandlerContext?
  @exclusivity(unchecked) final var meter: FrameMeter?
  /// Set inside of callbacks, where nghttp2 must not be stopped: acted on right after them.
  final var pendingEnd: (end: HTTP2ConnectionEnd, code: UInt32)?
  /// Why the connection ends, once that is known.
  final var reason: HTTP2ConnectionEnd?

  final var isReceiving = false
  final var isPumping = false
  /// Between `channelRead` and `channelReadComplete`, which pumps.
  final var isReading = false
  final var isPumpScheduled = false
  final var isReadPaused = false
  final var batchCapacity = 1_024

  final var timer: Scheduled<Void>?
  final var startedAt = NIODeadline.uptimeNanoseconds(0)
  /// When the bytes that are being received came.
  final var receivedAt = NIODeadline.uptimeNanoseconds(0)
  final var peerSettings: UInt32?
  final var writeProgress = WriteProgress()
  final var helloReceived: [UInt8] = []
  final var extensionsToSend: [UInt: [UInt8]] = [:]
  final var extensionCount: UInt = 0
  final var writesUntilGrease: Int

  init(_ role: Session.Role, offer: HandshakeOffer, limits: HTTP2Limits, grease: Grease) {
    session = Session(role, limits: limits)
    self.limits = limits
    self.grease = grease
    self.offer = offer
    writesUntilGrease = grease.writesUntilNextFrame()
    nghttp2_session_set_user_data(session.handle, Unmanaged.passUnretained(self).toOpaque())
  }

  // What a role does. The first group is called inside of nghttp2: submit only.

  func headersBegan(_ frame: UnsafePointer<nghttp2_frame>) {}
  func headerReceived(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, stream: Int32
  ) {}
  func invalidHeaderReceived(_ stream: Int32) {}
  func headersEnded(_ frame: UnsafePointer<nghttp2_frame>) {}
  func dataReceived(_ bytes: UnsafeRawBufferPointer, stream: Int32) {}
  func dataEnded(_ stream: Int32) {}
  func goAwayReceived(_ frame: nghttp2_goaway) {}
  func pingAnswered(_ opaque: UInt64) {}
  func messageSent(_ stream: Int32) {}
  func requestSent(_ stream: Int32) {}
  func streamClosed(_ stream: Int32, code: UInt32) {}
  func peerOffered(_ settingsValue: UInt32) {}
  func peerHello(_ payload: [UInt8]) {}

  // The others are called outside of nghttp2.

  /// Bytes came, of whatever frames.
  func bytesReceived() {}
  /// Whether the state of the stream allows the frame, as far as is known now.
  func allows(_ frame: FrameMeter.Frame) -> Bool { true }
  /// The same, and what to do where it does not. All that came before is received.
  func receives(_ frame: FrameMeter.Frame) {}
  /// The peer has closed its side of the connection, and this side is open.
  func inputClosed() {}

  /// Whether the peer is a client, which begins with a preface and may be malicious in more ways.
  var isServer: Bool { true }
  /// The settings of the role, without the handshake's.
  var initialSettings: [(id: UInt16, value: UInt32)] { [] }
  var connectionWindowBytes: Int { 65_535 }
  /// Whether to leave the peer's bytes in the socket.
  var wantsReadsPaused: Bool { false }
  /// Called once, when the connection opens.
  func opened(at now: NIODeadline) {}
  /// Called when nghttp2 has nothing more to send for now.
  func nothingLeftToSend() {}
  /// Looks at the role's timeouts.
  func check(at now: NIODeadline) {}
  /// Why the connection ends where nothing went wrong: a graceful shutdown of one of the sides.
  var quietEnd: HTTP2ConnectionEnd? { nil }
  /// Called when the connection is over, once: nghttp2 is not entered any more.
  func ended(_ reason: HTTP2ConnectionEnd) {}

  // The channel.

  package final func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    if context.channel.isActive { open(context) }
  }

  package final func handlerRemoved(context: ChannelHandlerContext) {
    finish(HTTP2ConnectionEnd(.closed, "the handler was removed"))
    self.context = nil
  }

  package final func channelActive(context: ChannelHandlerContext) {
    open(context)
    context.fireChannelActive()
  }

  package final func channelInactive(context: ChannelHandlerContext) {
    finish(HTTP2ConnectionEnd(.closed, "the peer closed the connection"))
    context.fireChannelInactive()
  }

  package final func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if reason == nil { reason = HTTP2ConnectionEnd(.channelError, "\(error)") }
    context.closeSoon()
  }

  package final func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if phase == .waiting { open(context) }
    // Who replays bytes that it read before this handler was there may forget the read's end.
    if peerSettings == nil { schedulePump() }
    isReading = true
    let bytes = unwrapInboundIn(data)
    receivedAt = context.eventLoop.now
    bytesReceived()
    bytes.withUnsafeReadableBytes { receive($0) }
  }

  package final func channelReadComplete(context: ChannelHandlerContext) {
    if isReading {
      isReading = false
      pump()
    } else {
      // Where nothing was read the peer has closed its side. A write that fails now closes the channel,
      // which NIO does not expect here: see `closeSoon`.
      schedulePump()
    }
    context.fireChannelReadComplete()
  }

  package final func channelWritabilityChanged(context: ChannelHandlerContext) {
    pump()
    resumeReads()
    context.fireChannelWritabilityChanged()
  }

  package final func read(context: ChannelHandlerContext) {
    if wantsReadsPaused, !context.channel.isWritable {
      isReadPaused = true
    } else {
      context.read()
    }
  }

  final func resumeReads() {
    guard isReadPaused, let context else { return }
    if wantsReadsPaused, !context.channel.isWritable { return }
    isReadPaused = false
    context.read()
  }

  package final func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event as? ChannelEvent == .inputClosed { inputClosed() }
    context.fireUserInboundEventTriggered(event)
  }

  /// Walks over the frames, and hands them to nghttp2: all at once, but where one has to be judged
  /// by what those before it did.
  private func receive(_ bytes: UnsafeRawBufferPointer) {
    guard !isReceiving else { return }
    var (walked, received) = (0, 0)
    while phase == .open, let step = meter?.walk(bytes, from: &walked, at: receivedAt) {
      switch step {
      case .done:
        return hand(UnsafeRawBufferPointer(rebasing: bytes[received...]))
      case .flood(let flood):
        return end(flood, code: ErrorCode.enhanceYourCalm)
      case .judge(let frame, let start):
        if allows(frame) { continue }
        if start > received {
          hand(UnsafeRawBufferPointer(rebasing: bytes[received..<start]))
          received = start
        }
        if phase == .open { receives(frame) }
      }
    }
  }

  /// In pieces, since nghttp2 goes on to the end of what it has got, whatever is found to be wrong with
  /// the connection meanwhile.
  private func hand(_ bytes: UnsafeRawBufferPointer) {
    var handed = 0
    while handed < bytes.count, phase == .open {
      let count = min(bytes.count - handed, Self.pieceBytes)
      isReceiving = true
      let result = nghttp2_session_mem_recv(
        session.handle, bytes.baseAddress?.advanced(by: handed).assumingMemoryBound(to: UInt8.self),
        count)
      isReceiving = false
      handed += count
      if let (end, code) = pendingEnd {
        self.end(end, code: code)
      } else if result < 0 {
        let failure = ErrorCode.end(of: result)
        end(failure.end, code: failure.code)
      }
    }
  }

  private static let pieceBytes = 1_024
}
