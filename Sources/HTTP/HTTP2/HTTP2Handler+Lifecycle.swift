import CNghttp2
import NIOCore

// Opening, the handshake, and the connection's one timer.
extension HTTP2Handler {
  /// Sends the first SETTINGS, with the handshake's entry, and HELLO.
  final func open(_ context: ChannelHandlerContext) {
    guard phase == .waiting else { return }
    phase = .open
    startedAt = context.eventLoop.now
    meter = FrameMeter(limits, peerIsClient: isServer, at: startedAt)
    submitSettings(initialSettings)
    let window = Int32(clamping: connectionWindowBytes)
    nghttp2_session_set_local_window_size(
      session.handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, window)
    submitHello()
    arm(after: limits.checkInterval)
    opened(at: startedAt)
    pump()
  }

  /// Tells the peer of a new offer on the live connection; before that, it is the first one.
  final func replaceOffer(_ offer: HandshakeOffer) {
    context?.eventLoop.assertInEventLoop()
    guard offer != self.offer else { return }
    self.offer = offer
    guard phase == .open else { return }
    submitSettings([])
    submitHello()
    setNeedsPump()
  }

  private func submitSettings(_ settings: [(id: UInt16, value: UInt32)]) {
    let all =
      settings + [(HandshakeOffer.settingsID, offer.settingsValue)] + grease.settings()
    let entries = all.map { Session.settingsEntry($0.id, $0.value) }
    // Fails only where there is no memory, and then so does what follows.
    nghttp2_submit_settings(
      session.handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count)
  }

  private func submitHello() {
    precondition(offer.hello.count <= limits.helloBytesMax, "a HELLO of \(offer.hello.count) bytes")
    if !offer.hello.isEmpty { submitExtension(HandshakeOffer.helloFrameType, offer.hello) }
    submitGrease()
  }

  // Extension frames.

  /// Called with each pump: every now and then adds a frame of a type that no peer knows.
  final func countPump() {
    guard grease.isOn else { return }
    writesUntilGrease -= 1
    guard writesUntilGrease <= 0 else { return }
    writesUntilGrease = grease.writesUntilNextFrame()
    submitGrease()
  }

  private func submitGrease() {
    if let (type, payload) = grease.frame() { submitExtension(type, payload) }
  }

  private func submitExtension(_ type: UInt8, _ payload: [UInt8]) {
    extensionCount &+= 1
    extensionsToSend[extensionCount] = payload
    let result = nghttp2_submit_extension(
      session.handle, type, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0,
      UnsafeMutableRawPointer(bitPattern: extensionCount))
    if result != 0 { extensionsToSend[extensionCount] = nil }
  }

  /// Writes the payload that was noted under `key`; says how long it is.
  final func packExtension(_ key: UInt, into room: UnsafeMutableRawBufferPointer) -> Int {
    guard let payload = extensionsToSend.removeValue(forKey: key), payload.count <= room.count
    else {
      return Int(NGHTTP2_ERR_CANCEL.rawValue)
    }
    room.copyBytes(from: payload)
    return payload.count
  }

  final func extensionReceived(_ bytes: UnsafeRawBufferPointer, of frame: nghttp2_frame_hd) {
    guard frame.stream_id == 0, frame.length <= limits.helloBytesMax else { return }
    helloReceived.append(contentsOf: bytes)
  }

  final func extensionEnded(_ frame: nghttp2_frame_hd) {
    let payload = helloReceived
    helloReceived = []
    guard frame.stream_id == 0, frame.length <= limits.helloBytesMax, phase != .ended else {
      return
    }
    peerHello(payload)
  }

  // Frames of either role.

  final func receivedFrame(_ frame: UnsafePointer<nghttp2_frame>) {
    // A callback may have closed the channel, with the rest of the bytes still being received.
    guard phase != .ended else { return }
    let header = frame.pointee.hd
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue:
      headersEnded(frame)
    case NGHTTP2_DATA.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 { dataEnded(header.stream_id) }
    case NGHTTP2_SETTINGS.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0 {
        settingsReceived(frame.pointee.settings)
      }
    case NGHTTP2_PING.rawValue:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
        pingAnswered(PingPayload.number(of: frame.pointee.ping))
      }
    case NGHTTP2_GOAWAY.rawValue:
      goAwayReceived(frame.pointee.goaway)
    default: break
    }
  }

  private func settingsReceived(_ settings: nghttp2_settings) {
    let entries = UnsafeBufferPointer(start: settings.iv, count: settings.niv)
    let offered = entries.last { $0.settings_id == Int32(HandshakeOffer.settingsID) }?.value
    guard let value = offered ?? (peerSettings == nil ? 0 : nil) else { return }
    peerSettings = value
    peerOffered(value)
  }

  final func sentFrame(_ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue, NGHTTP2_DATA.rawValue:
      meter?.earnForFrame()
      if header.type == UInt8(NGHTTP2_HEADERS.rawValue) { requestSent(header.stream_id) }
      if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 {
        messageSent(header.stream_id)
      }
    case NGHTTP2_GOAWAY.rawValue:
      goAwaySent(frame.pointee.goaway)
    case NGHTTP2_RST_STREAM.rawValue:
      meter?.closed.reset(header.stream_id, isByPeer: false)
      // The one after an early answer is no more work than the answer.
      let code = frame.pointee.rst_stream.error_code
      guard code != ErrorCode.noError, let now = context?.eventLoop.now,
        let flood = meter?.countOwnReset(code: code, at: now)
      else { return }
      end(flood, code: ErrorCode.enhanceYourCalm)
    default: break
    }
  }

  /// nghttp2 ends a connection by itself where the peer breaks the rules.
  private func goAwaySent(_ frame: nghttp2_goaway) {
    guard reason == nil, frame.error_code != ErrorCode.noError else { return }
    let code = String(cString: nghttp2_http2_strerror(frame.error_code))
    let text = UnsafeBufferPointer(start: frame.opaque_data, count: frame.opaque_data_len)
    reason = HTTP2ConnectionEnd(.protocolError, "\(code) \(String(decoding: text, as: UTF8.self))")
  }

  // The timer.

  /// Looks at the timeouts after `interval`, and from then on every `checkInterval`.
  final func arm(after interval: TimeAmount) {
    timer?.cancel()
    timer = context?.eventLoop.assumeIsolated().scheduleTask(in: interval) { self.timerFired() }
  }

  private func timerFired() {
    guard phase != .ended, phase != .waiting, let context else { return }
    arm(after: limits.checkInterval)
    let now = context.eventLoop.now
    let buffered = try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)
    let isStalled = writeProgress.isStalled(
      buffered: buffered ?? 0, isWritable: context.channel.isWritable, at: now, limits: limits)
    if isStalled {
      abort(HTTP2ConnectionEnd(.writeTimeout, "the peer does not read what is sent"))
    } else if phase == .open {
      if peerSettings == nil, now - startedAt >= limits.prefaceTimeout {
        end(
          HTTP2ConnectionEnd(.prefaceTimeout, "no HTTP/2 preface"), code: ErrorCode.settingsTimeout)
      }
      check(at: now)
    }
  }
}

/// The 8 bytes of a PING as a number, big-endian.
enum PingPayload {
  static func number(of ping: nghttp2_ping) -> UInt64 {
    withUnsafeBytes(of: ping.opaque_data) { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) }
  }

  static func submit(_ number: UInt64, to session: borrowing Session) -> Bool {
    withUnsafeBytes(of: number.bigEndian) {
      nghttp2_submit_ping(
        session.handle, UInt8(NGHTTP2_FLAG_NONE.rawValue),
        $0.baseAddress?.assumingMemoryBound(to: UInt8.self)) == 0
    }
  }
}
