import CNghttp2
import NIOCore

/// What a server is told of a connection, on its event loop.
package protocol HTTP2ServerEvents: AnyObject {
  /// The peer said which wire versions it speaks: each time it sends the handshake's setting, and
  /// once with 0 where its first SETTINGS has none.
  func peerOffered(settingsValue: UInt32)
  /// The peer sent a HELLO frame; `payload` is at most ``HTTP2Limits/helloBytesMax`` bytes.
  func peerHello(_ payload: [UInt8])
  /// The connection is over; called once.
  func connectionEnded(reason: HTTP2ConnectionEnd)
}

/// The server's side of an HTTP/2 connection: hands complete requests to a receiver and sends its
/// answers.
///
/// Goes into a channel's pipeline before or after the channel is active, and takes the connection
/// from its first byte, the preface included. It sees byte buffers only, so TLS may stand before
/// it.
package final class HTTP2ServerHandler: HTTP2Handler {
  let receiver: any RequestReceiver
  let rejections: Rejections
  let events: (any HTTP2ServerEvents)?

  /// The stream whose header block is being received.
  var current: ServerStream?
  var firstStream: ServerStream?
  unowned(unsafe) var lastStream: ServerStream?
  var streamCount = 0
  /// What requests take that are still arriving.
  @exclusivity(unchecked) var arriving: RoomBudget.Share
  /// What open streams take, and answers that nobody else counts, until they are out.
  @exclusivity(unchecked) var answering: RoomBudget.Share
  var waitingAnswerBytes = 0
  /// Streams that ended while nghttp2 may still have pointers into their answers.
  var retired: [ServerStream] = []
  var oversizedHeaders: TokenBucket?
  var longWaitsEnded: TokenBucket?
  var streamsWithoutRoom: TokenBucket?
  /// The peer sends no more.
  var isInputEnded = false
  var idleSince = NIODeadline.uptimeNanoseconds(0)
  var drain = Drain.no
  var signsOfLife = SignsOfLife()
  /// When the peer was last heard of, as of the last look, and for how many looks it has not been.
  var heardAt = NIODeadline.uptimeNanoseconds(0)
  var silentLooks = 0
  /// What the peer's GOAWAY said.
  var peerEnd: HTTP2ConnectionEnd?

  enum Drain {
    case no
    /// The first GOAWAY was submitted, the last is due at the PING's answer or then.
    case announced(until: NIODeadline)
    /// The last GOAWAY was submitted.
    case final
  }

  /// - Parameters:
  ///   - arrivals: The budget of all connections of the server for requests that are arriving.
  ///   - answers: Theirs for open streams, and for answers that wait to be written.
  package init(
    receiver: any RequestReceiver, offer: HandshakeOffer, limits: HTTP2Limits, grease: Grease,
    rejections: Rejections, arrivals: RoomBudget = RoomBudget(),
    answers: RoomBudget = RoomBudget(), events: (any HTTP2ServerEvents)?
  ) {
    arriving = RoomBudget.Share(of: arrivals, bytesMax: limits.bufferedRequestBytesMax)
    answering = RoomBudget.Share(of: answers, bytesMax: .max)
    self.receiver = receiver
    self.rejections = rejections
    self.events = events
    super.init(.server, offer: offer, limits: limits, grease: grease)
  }

  /// Sends a new SETTINGS and HELLO on the live connection, if `offer` is a new one.
  package func update(offer: HandshakeOffer) { replaceOffer(offer) }

  override var initialSettings: [(id: UInt16, value: UInt32)] {
    [
      (
        UInt16(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue),
        UInt32(limits.concurrentStreamsMax)
      ),
      (
        UInt16(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
        UInt32(limits.serverStreamWindowBytes)
      ),
      (
        UInt16(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), UInt32(limits.headerListBytesMax)
      ),
    ]
  }

  override var connectionWindowBytes: Int { limits.serverConnectionWindowBytes }

  // A request, from its first header field to the receiver.

  override func headersBegan(_ frame: UnsafePointer<nghttp2_frame>) {
    // Trailers (RFC 9113 8.1) are dropped.
    // Nor is anything begun on a connection that is about to end.
    guard frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST, phase != .ended, pendingEnd == nil,
      let loop = context?.eventLoop
    else {
      return current = nil
    }
    guard streamCount < limits.concurrentStreamsMax else {
      current = nil
      return refuse(frame.pointee.hd.stream_id)
    }
    // From here on, since a request may wait as long as an answer that nobody reads.
    guard answering.take(HTTP2ServerHandler.streamOverheadBytes) else {
      current = nil
      return refuseForWantOfRoom(frame.pointee.hd.stream_id)
    }
    let stream = ServerStream(
      id: frame.pointee.hd.stream_id, connection: self, eventLoop: loop, at: receivedAt)
    stream.answeringBytes = HTTP2ServerHandler.streamOverheadBytes
    append(stream)
    if !store(HTTP2ServerHandler.arrivalOverheadBytes, of: stream) { stream.headFault = .noRoom }
    nghttp2_session_set_stream_user_data(
      session.handle, stream.id, Unmanaged.passUnretained(stream).toOpaque())
    current = stream
  }

  override func headerReceived(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, stream: Int32
  ) {
    guard let current, current.id == stream, current.headFault?.isDropped != true else { return }
    let size = name.count + value.count + HTTP2Limits.headerFieldOverheadBytes
    if current.head.byteCount + size > limits.headerListBytesMax {
      drop(current, for: .tooLarge)
    } else if !store(size, of: current) {
      drop(current, for: .noRoom)
    } else {
      current.head.append(name, value)
    }
  }

  override func invalidHeaderReceived(_ stream: Int32) {
    if let current, current.id == stream, current.headFault == nil {
      current.headFault = .malformed
    }
  }

  override func headersEnded(_ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    let endsStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    guard let stream = current, stream.id == header.stream_id else {
      if endsStream { dataEnded(header.stream_id) }
      return
    }
    current = nil
    stream.state = .receivingBody
    stream.noteMethod()
    if let fault = stream.headFault { reject(stream, for: fault) }
    if endsStream { complete(stream) }
  }

  override func dataReceived(_ bytes: UnsafeRawBufferPointer, stream id: Int32) {
    guard let stream = stream(id), stream.answer == nil else { return }
    guard stream.body.count + bytes.count <= limits.requestBodyBytesMax else {
      return reject(stream, rejections.bodyTooLarge)
    }
    guard makeRoom(forBody: stream.body.count + bytes.count, of: stream) else { return }
    stream.body.append(contentsOf: bytes)
  }

  override func dataEnded(_ id: Int32) {
    if let stream = stream(id) { complete(stream) }
  }

  // An answer.

  func send(
    _ headers: ResponseHeaders, _ body: [UInt8], isBodyCounted: Bool, on stream: ServerStream
  ) {
    stream.answer = headers
    let bytes = isBodyCounted ? 0 : body.count
    guard answering.takeAnswer(bytes) else { return giveUpAnswer(of: stream) }
    stream.answeringBytes += bytes
    stream.outgoing = body
    stream.waitingBytes = body.count + HTTP2ServerHandler.answerOverheadBytes
    waitingAnswerBytes += stream.waitingBytes
    let table = headers.nameValues
    let result = stream.withDataProvider {
      nghttp2_submit_response(session.handle, stream.id, table.baseAddress, table.count, $0)
    }
    if result != 0 {
      let failure = ErrorCode.end(of: Int(result))
      end(failure.end, code: ErrorCode.internalError)
    }
    setNeedsPump()
  }

  override func messageSent(_ id: Int32) {
    guard let stream = stream(id) else { return }
    stream.isAnswerSent = true
    // RFC 9113 8.1: the peer need not send the rest of a request that is answered.
    guard stream.state != .complete else { return }
    session.reset(id, code: ErrorCode.noError)
  }

  override func streamClosed(_ id: Int32, code: UInt32) {
    guard let stream = stream(id) else { return }
    if stream === current { current = nil }
    // Not by the error code: the peer chooses that of its resets.
    if stream.isAnswerSent, stream.state == .complete { meter?.earnForStream() }
    if stream.answer != nil, !stream.isAnswerSent { retired.append(stream) }
    remove(stream)
  }

  override func nothingLeftToSend() {
    if !retired.isEmpty { retired.removeAll() }
  }

  override var wantsReadsPaused: Bool {
    waitingAnswerBytes > limits.waitingAnswerBytesMax
      || nghttp2_session_get_outbound_queue_size(session.handle) > limits.waitingFramesMax
  }

  /// What an answer counts besides its body, in bytes.
  static let answerOverheadBytes = 512
  /// What a stream counts from its beginning to its end, in bytes: as much as an open one takes here, in
  /// nghttp2 and at whoever answers it.
  static let streamOverheadBytes = 3_072
  /// What a request that is arriving counts besides its header list and its body, in bytes.
  static let arrivalOverheadBytes = 1_024

  // The connection.

  override func opened(at now: NIODeadline) {
    idleSince = now
    oversizedHeaders = TokenBucket(limits.oversizedHeaders, at: now)
    longWaitsEnded = TokenBucket(limits.longWaitsEnded, at: now)
    streamsWithoutRoom = TokenBucket(limits.streamsWithoutRoom, at: now)
    // What was asked for before the peer closed its side is still answered.
    try? context?.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    if case .announced = drain { announceDrain(at: now) }
  }

  override func allows(_ frame: FrameMeter.Frame) -> Bool { isExpected(frame) }

  override func receives(_ frame: FrameMeter.Frame) { judge(frame) }

  override func inputClosed() { inputEnded() }

  override func pingAnswered(_ opaque: UInt64) {
    if opaque == HTTP2ServerHandler.drainPing { return finishDrain() }
    signOfLifeGiven(opaque)
  }

  override func check(at now: NIODeadline) {
    checkStreams(at: now)
    leaveRoomForOthers()
    checkSilence()
    if case .announced(let until) = drain, now >= until { finishDrain() }
    if streamCount == 0, now - idleSince >= limits.idleTimeout {
      end(HTTP2ConnectionEnd(.idle, "no request for a long time"), code: ErrorCode.noError)
    }
  }

  override func goAwayReceived(_ frame: nghttp2_goaway) {
    peerEnd = peerEnd ?? HTTP2ConnectionEnd(.goAway, "the peer said GOAWAY, \(frame.error_code)")
  }

  override var quietEnd: HTTP2ConnectionEnd? {
    if case .no = drain { return peerEnd }
    return HTTP2ConnectionEnd(.drained, "shut down gracefully")
  }

  override func peerOffered(_ settingsValue: UInt32) {
    events?.peerOffered(settingsValue: settingsValue)
  }

  override func peerHello(_ payload: [UInt8]) { events?.peerHello(payload) }

  override func ended(_ reason: HTTP2ConnectionEnd) {
    removeAllStreams()
    endSignsOfLife(.gone)
    events?.connectionEnded(reason: reason)
  }
}
