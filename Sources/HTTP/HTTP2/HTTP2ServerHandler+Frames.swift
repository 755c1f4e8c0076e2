import CNghttp2
import NIOCore

// Frames that are judged by the state of their stream, which nghttp2 does not: it ignores what
// comes on streams that it has forgotten, and counts no resets as this does.
extension HTTP2ServerHandler {
  /// Whether the frame goes on with a request. One after END_STREAM is left to nghttp2, which ends
  /// the connection.
  func isExpected(_ frame: FrameMeter.Frame) -> Bool {
    guard frame.type != .resetStream, let stream = stream(frame.stream), !stream.isTakenBack
    else { return false }
    return stream.answer == nil || stream.state == .complete
  }

  func judge(_ frame: FrameMeter.Frame) {
    // nghttp2 may have ended the connection, and ignores the rest.
    guard nghttp2_session_want_read(session.handle) != 0 else { return }
    if frame.type == .resetStream { return judgeReset(of: frame.stream) }
    if isExpected(frame) { return }
    guard stream(frame.stream) == nil, !isFinal else { return ignore(frame) }
    switch meter?.closed.fate(of: frame.stream) {
    case .resetHere, .forgotten, nil:
      ignore(frame)
    case .resetByPeer:
      session.reset(frame.stream, code: ErrorCode.streamClosed)
    case .ended:
      end(
        HTTP2ConnectionEnd(.protocolError, "a frame on stream \(frame.stream), which has ended"),
        code: ErrorCode.streamClosed)
    case .passedBy:
      end(
        HTTP2ConnectionEnd(.protocolError, "a frame on stream \(frame.stream), below the last one"),
        code: ErrorCode.protocolError)
    }
  }

  /// After the last GOAWAY, nghttp2 ignores new streams.
  private var isFinal: Bool { if case .final = drain { true } else { false } }

  /// The frame may have crossed the end of its stream.
  private func ignore(_ frame: FrameMeter.Frame) {
    if let flood = meter?.countIgnored(frame, at: receivedAt) {
      end(flood, code: ErrorCode.enhanceYourCalm)
    }
  }

  /// A peer may take back what waits, as proxies do for many clients at once, and what was not
  /// answered for long. What else it takes back costs more than it costs the peer (CVE-2023-44487).
  private func judgeReset(of id: Int32) {
    meter?.closed.reset(id, isByPeer: true)
    let flood: HTTP2ConnectionEnd?
    let stream = stream(id)
    stream?.isTakenBack = true
    if let stream, stream.state == .complete, stream.answer == nil,
      stream.isWaiting || receivedAt - stream.since >= limits.longWait
    {
      let isAllowed = longWaitsEnded?.take(at: receivedAt) ?? true
      flood =
        isAllowed
        ? nil : HTTP2ConnectionEnd(.resetFlood, "too many waiting requests were taken back")
    } else {
      flood = meter?.countReset(at: receivedAt)
    }
    if let flood { end(flood, code: ErrorCode.enhanceYourCalm) }
  }

  /// Refuses a stream above ``HTTP2Limits/concurrentStreamsMax`` (RFC 9113 5.1.2) and leaves the
  /// others alone. nghttp2 would end the connection.
  func refuse(_ id: Int32) {
    // Now, because more of the stream may come before the RST_STREAM is sent.
    meter?.closed.reset(id, isByPeer: false)
    session.reset(id, code: ErrorCode.refusedStream)
  }

  /// The client has closed its side of the connection: it sends no more, but may be there to read.
  /// What it has asked for is answered, then the connection closes. Those who wait in a line are told,
  /// because the client may as well be gone.
  func inputEnded() {
    guard phase == .open else { return }
    isInputEnded = true
    reason = reason ?? quietEnd ?? HTTP2ConnectionEnd(.closed, "the peer closed the connection")
    drain = .final
    nghttp2_submit_goaway(
      session.handle, UInt8(NGHTTP2_FLAG_NONE.rawValue),
      nghttp2_session_get_last_proc_stream_id(session.handle), ErrorCode.noError, nil, 0)
    var next = firstStream
    while let stream = next {
      next = stream.next
      guard stream.answer == nil else { continue }
      guard stream.state != .complete else {
        stream.inputEnded()
        continue
      }
      session.reset(stream.id, code: ErrorCode.cancel)
    }
    schedulePump()
  }
}
