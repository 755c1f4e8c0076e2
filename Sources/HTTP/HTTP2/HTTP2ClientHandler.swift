import CNghttp2

/// What a client is told of its connection, on its event loop.
package protocol HTTP2ClientEvents: AnyObject {
  /// The server said which wire versions it speaks: each time it sends the handshake's setting, and
  /// once with 0 where its first SETTINGS has none.
  func peerOffered(settingsValue: UInt32)
  /// The server sent a HELLO frame; `payload` is at most ``HTTP2Limits/helloBytesMax`` bytes.
  func peerHello(_ payload: [UInt8])
  /// Something came from the server, if only a part of a response.
  func bytesReceived()
  /// The server takes no new requests; those up to stream `lastStream` may still be answered.
  func goAway(lastStream: Int32, code: UInt32)
  /// The connection is over, and every request has been completed; called once.
  func closed(reason: HTTP2ConnectionEnd)
}

/// A complete response.
package struct HTTP2Response: Sendable {
  /// The HTTP status, 200 to 999.
  package var status: Int
  /// The header fields, with pseudo headers. Trailers are dropped.
  package var headers: HeaderBlock
  package var body: [UInt8]

  package init(status: Int, headers: HeaderBlock, body: [UInt8]) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

/// Names a request of one ``HTTP2ClientHandler``.
package struct HTTP2RequestID: Hashable, Sendable {
  /// The stream's id; 0 where the request was refused at once.
  let stream: Int32
}

/// The client's side of an HTTP/2 connection. Everything is called on the event loop.
///
/// Requests may be sent at once, before the server's SETTINGS and even before the channel is active
/// (RFC 9113 3.4). Deadlines are the caller's: see ``cancel(_:)``.
package final class HTTP2ClientHandler: HTTP2Handler {
  package typealias Completion = (Result<HTTP2Response, HTTP2ClientError>) -> Void

  let authority: String
  let scheme: String
  let events: any HTTP2ClientEvents

  var streams: [Int32: ClientStream] = [:]
  var pings: [UInt64: (Bool) -> Void] = [:]
  var pingCount: UInt64 = 0
  /// What responses take that are still arriving, in bytes.
  var arrivingBytes = 0
  var hasGoAway = false
  var isDraining = false
  /// What the server's GOAWAY said.
  var peerEnd: HTTP2ConnectionEnd?

  /// - Parameters:
  ///   - authority: The `:authority` of each request.
  ///   - scheme: The `:scheme` of each request.
  package init(
    authority: String, scheme: String = "http", offer: HandshakeOffer, limits: HTTP2Limits,
    grease: Grease, events: any HTTP2ClientEvents
  ) {
    self.authority = authority
    self.scheme = scheme
    self.events = events
    super.init(.client, offer: offer, limits: limits, grease: grease)
  }

  /// Whether a new request has a chance: false after GOAWAY of either side, or the end.
  package var isUsable: Bool {
    (phase == .open || phase == .waiting) && !hasGoAway && !isDraining
  }

  /// The server's handshake value: nil until its first SETTINGS came, 0 where it knows of none.
  package var peerSettingsValue: UInt32? { peerSettings }

  /// How many requests are not complete.
  package var requestCount: Int { streams.count }

  /// Sends a new SETTINGS and HELLO on the live connection, if `offer` is a new one.
  package func update(offer: HandshakeOffer) { replaceOffer(offer) }

  override var isServer: Bool { false }
  override var connectionWindowBytes: Int { limits.clientConnectionWindowBytes }
  override var initialSettings: [(id: UInt16, value: UInt32)] {
    [
      (UInt16(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), 0),
      (
        UInt16(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue),
        UInt32(limits.clientStreamWindowBytes)
      ),
      (
        UInt16(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), UInt32(limits.headerListBytesMax)
      ),
    ]
  }

  // A response, from its first header field to the completion.

  override func headersBegan(_ frame: UnsafePointer<nghttp2_frame>) {
    streams[frame.pointee.hd.stream_id]?.headersBegan()
  }

  override func headerReceived(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, stream: Int32
  ) {
    guard let stream = streams[stream] else { return }
    let room = limits.bufferedResponseBytesMax - arrivingBytes + stream.head.byteCount
    let before = stream.head.byteCount
    stream.headerReceived(name, value, bytesMax: min(limits.headerListBytesMax, room))
    arrivingBytes += stream.head.byteCount - before
  }

  override func invalidHeaderReceived(_ stream: Int32) {
    fail(
      stream, HTTP2ClientError(.protocolError, "a header field of the response is not valid"),
      reset: ErrorCode.protocolError)
  }

  override func headersEnded(_ frame: UnsafePointer<nghttp2_frame>) {
    let header = frame.pointee.hd
    guard let stream = streams[header.stream_id] else { return }
    let before = stream.head.byteCount
    stream.headersEnded()
    arrivingBytes += stream.head.byteCount - before
    if stream.isHeadTooLarge {
      let message = "the response's headers are larger than \(limits.headerListBytesMax) bytes"
      return fail(
        stream.id, HTTP2ClientError(.responseTooLarge, message), reset: ErrorCode.cancel)
    }
    if stream.interimCount > limits.interimResponsesMax {
      let message = "more than \(limits.interimResponsesMax) interim responses"
      return fail(
        stream.id, HTTP2ClientError(.protocolError, message), reset: ErrorCode.enhanceYourCalm)
    }
    if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 { dataEnded(stream.id) }
  }

  override func dataReceived(_ bytes: UnsafeRawBufferPointer, stream id: Int32) {
    guard let stream = streams[id] else { return }
    guard stream.body.count + bytes.count <= limits.responseBodyBytesMax else {
      let message = "the response's body is larger than \(limits.responseBodyBytesMax) bytes"
      return fail(id, HTTP2ClientError(.responseTooLarge, message), reset: ErrorCode.cancel)
    }
    guard arrivingBytes + bytes.count <= limits.bufferedResponseBytesMax else {
      let message =
        "the responses that are arriving take more than \(limits.bufferedResponseBytesMax) bytes"
      return fail(id, HTTP2ClientError(.responseTooLarge, message), reset: ErrorCode.cancel)
    }
    arrivingBytes += bytes.count
    stream.body.append(contentsOf: bytes)
  }

  override func dataEnded(_ id: Int32) {
    guard let stream = streams[id], let status = stream.status else { return }
    meter?.earnForStream()
    let response = HTTP2Response(status: status, headers: stream.head, body: stream.body)
    // RFC 9113 8.1: nobody needs the rest of a request that is answered.
    let isUnsent = stream.outgoingTaken < stream.outgoing.count
    complete(id, .success(response), reset: isUnsent ? ErrorCode.cancel : nil)
  }

  override func requestSent(_ stream: Int32) { streams[stream]?.isSent = true }

  override func streamClosed(_ id: Int32, code: UInt32) {
    defer { retired[id] = nil }
    guard let stream = streams[id] else { return }
    let error =
      switch code {
      case ErrorCode.refusedStream:
        HTTP2ClientError(.refusedBeforeProcessing, "the server refused the request")
      case ErrorCode.protocolError:
        HTTP2ClientError(.protocolError, "not a valid response")
      default:
        HTTP2ClientError(.reset, "the request was reset with error code \(code)")
      }
    complete(stream.id, .failure(error), reset: nil)
  }

  override func goAwayReceived(_ frame: nghttp2_goaway) {
    hasGoAway = true
    let word = frame.wordForPeople.map { ": \($0)" } ?? ""
    peerEnd = HTTP2ConnectionEnd(
      .goAway, "the server said GOAWAY, code \(frame.error_code)\(word)")
    let error = HTTP2ClientError(
      .refusedBeforeProcessing,
      frame.wordForPeople ?? "the server takes no new requests on this connection")
    let unprocessed = streams.values.filter { $0.id > frame.last_stream_id || !$0.isSent }
    for stream in unprocessed.sorted(by: { $0.id < $1.id }) {
      // nghttp2 closes those that were sent.
      complete(stream.id, .failure(error), reset: stream.isSent ? nil : ErrorCode.cancel)
    }
    events.goAway(lastStream: frame.last_stream_id, code: frame.error_code)
  }

  override func peerOffered(_ settingsValue: UInt32) {
    events.peerOffered(settingsValue: settingsValue)
  }

  override func peerHello(_ payload: [UInt8]) { events.peerHello(payload) }

  override func bytesReceived() { events.bytesReceived() }

  override func pingAnswered(_ opaque: UInt64) { pings.removeValue(forKey: opaque)?(true) }

  override var quietEnd: HTTP2ConnectionEnd? {
    isDraining && streams.isEmpty
      ? HTTP2ConnectionEnd(.drained, "all requests are complete") : peerEnd
  }

  override func ended(_ reason: HTTP2ConnectionEnd) { completeAll(reason) }

  /// Streams that are completed while nghttp2 still has pointers into them.
  var retired: [Int32: ClientStream] = [:]
}

extension nghttp2_goaway {
  /// The most of it that is kept, in bytes.
  private static let wordBytesMax = 256

  /// What it says beside its code, where that can be printed (RFC 9113 6.8, "Additional Debug Data").
  fileprivate var wordForPeople: String? {
    guard let start = opaque_data, opaque_data_len > 0 else { return nil }
    let bytes = UnsafeBufferPointer(start: start, count: min(opaque_data_len, Self.wordBytesMax))
    guard bytes.allSatisfy({ (0x20...0x7e).contains($0) }) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}
