import CNghttp2

/// Owns one `nghttp2_session`. The callbacks' user data is the ``HTTP2Handler`` that owns this.
struct Session: ~Copyable {
  enum Role { case server, client }

  let handle: OpaquePointer

  init(_ role: Role, limits: HTTP2Limits) {
    var option: OpaquePointer?
    precondition(nghttp2_option_new(&option) == 0, "no memory for an HTTP/2 session")
    defer { nghttp2_option_del(option) }
    nghttp2_option_set_user_recv_extension_type(option, HandshakeOffer.helloFrameType)
    nghttp2_option_set_no_closed_streams(option, 1)
    nghttp2_option_set_max_settings(option, limits.settingsEntriesMax)
    nghttp2_option_set_max_outbound_ack(option, limits.waitingAcknowledgementsMax)
    nghttp2_option_set_max_continuations(option, limits.continuationsMax)
    nghttp2_option_set_max_reserved_remote_streams(option, 0)
    // `FrameMeter` counts resets, and lets a busy peer have more of them than this would.
    nghttp2_option_set_stream_reset_rate_limit(option, .max, .max)

    var session: OpaquePointer?
    let callbacks = SessionCallbacks.shared.table
    let result =
      switch role {
      case .server: nghttp2_session_server_new2(&session, callbacks, nil, option)
      case .client: nghttp2_session_client_new2(&session, callbacks, nil, option)
      }
    guard result == 0, let session else { fatalError("no memory for an HTTP/2 session") }
    handle = session
  }

  deinit { nghttp2_session_del(handle) }

  /// Submits an RST_STREAM frame (RFC 9113 6.4).
  func reset(_ stream: Int32, code: UInt32) {
    nghttp2_submit_rst_stream(handle, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, code)
  }

  /// An entry of SETTINGS. The peer is told SETTINGS_MAX_CONCURRENT_STREAMS, nghttp2 is not: once
  /// the peer has acknowledged it, nghttp2 would end the connection at one stream more, with all
  /// the others. nghttp2 compares all 32 bits of an id, and sends 16 of them.
  static func settingsEntry(_ id: UInt16, _ value: UInt32) -> nghttp2_settings_entry {
    let isForPeer = id == UInt16(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue)
    return nghttp2_settings_entry(
      settings_id: Int32(id) | (isForPeer ? 0x1_0000 : 0), value: value)
  }
}

/// The error codes of RFC 9113 7 that this module sends or tells apart.
enum ErrorCode {
  static let noError: UInt32 = 0x0
  static let protocolError: UInt32 = 0x1
  static let internalError: UInt32 = 0x2
  static let settingsTimeout: UInt32 = 0x4
  static let streamClosed: UInt32 = 0x5
  static let refusedStream: UInt32 = 0x7
  static let cancel: UInt32 = 0x8
  static let enhanceYourCalm: UInt32 = 0xb

  /// What to tell the peer, and what to note here, after nghttp2 gave up with `result`.
  static func end(of result: Int) -> (code: UInt32, end: HTTP2ConnectionEnd) {
    let message = String(cString: nghttp2_strerror(Int32(truncatingIfNeeded: result)))
    switch result {
    case Int(NGHTTP2_ERR_FLOODED.rawValue):
      return (enhanceYourCalm, HTTP2ConnectionEnd(.frameFlood, message))
    case Int(NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue):
      return (enhanceYourCalm, HTTP2ConnectionEnd(.continuationFlood, message))
    case Int(NGHTTP2_ERR_NOMEM.rawValue), Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue):
      return (internalError, HTTP2ConnectionEnd(.internalError, message))
    default:
      return (protocolError, HTTP2ConnectionEnd(.protocolError, message))
    }
  }
}
