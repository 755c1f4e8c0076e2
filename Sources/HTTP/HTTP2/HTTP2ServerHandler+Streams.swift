import CNghttp2
import NIOCore

// The open streams, what they may take, and a graceful end.
extension HTTP2ServerHandler {
  /// The open stream `id`.
  func stream(_ id: Int32) -> ServerStream? {
    nghttp2_session_get_stream_user_data(session.handle, id).map {
      Unmanaged<ServerStream>.fromOpaque($0).takeUnretainedValue()
    }
  }

  func append(_ stream: ServerStream) {
    stream.previous = lastStream
    if let lastStream { lastStream.next = stream } else { firstStream = stream }
    lastStream = stream
    streamCount += 1
  }

  /// Takes a stream that nghttp2 closed out of the list; it may live on as an exchange that waits
  /// for nobody.
  func remove(_ stream: ServerStream) {
    let (previous, next) = (stream.previous, stream.next)
    if let previous { previous.next = next } else { firstStream = next }
    if let next { next.previous = previous } else { lastStream = previous }
    (stream.previous, stream.next) = (nil, nil)
    streamCount -= 1
    if streamCount == 0, let now = context?.eventLoop.now { idleSince = now }
    release(stream)
  }

  private func release(_ stream: ServerStream) {
    stream.connection = nil
    arriving.giveBack(stream.arrivingBytes)
    answering.giveBack(stream.answeringBytes)
    waitingAnswerBytes -= stream.waitingBytes
    (stream.arrivingBytes, stream.answeringBytes, stream.waitingBytes) = (0, 0, 0)
    stream.outgoing = []
    stream.ended()
    resumeReads()
  }

  func removeAllStreams() {
    current = nil
    var rest = firstStream
    (firstStream, lastStream, streamCount) = (nil, nil, 0)
    while let stream = rest {
      rest = stream.next
      // nghttp2 may be receiving right now, and call for this stream once more.
      nghttp2_session_set_stream_user_data(session.handle, stream.id, nil)
      (stream.previous, stream.next) = (nil, nil)
      release(stream)
    }
  }

  // Timeouts.

  func checkStreams(at now: NIODeadline) {
    var next = firstStream
    while let stream = next {
      next = stream.next
      if stream.answer != nil {
        checkAnswer(of: stream, at: now)
      } else if stream.state != .complete, now - stream.since >= limits.requestTimeout {
        checkRequest(of: stream)
      }
    }
  }

  private func checkRequest(of stream: ServerStream) {
    if stream.state == .receivingHeaders {
      // Until the block ends, no other frame can come (RFC 9113 6.10): the connection is stuck.
      end(
        HTTP2ConnectionEnd(.headerTimeout, "a header block did not end in time"),
        code: ErrorCode.enhanceYourCalm)
    } else {
      reject(stream, rejections.timedOut)
    }
  }

  /// Resets a stream whose peer opens hardly a flow-control window for the answer.
  private func checkAnswer(of stream: ServerStream, at now: NIODeadline) {
    guard let goal = stream.goal, stream.outgoingTaken < goal.taken else {
      let next = stream.outgoingTaken + limits.writeProgressBytesMin
      return stream.goal = (min(next, stream.outgoing.count), now)
    }
    guard now - goal.since >= limits.writeTimeout, context?.channel.isWritable == true else {
      return
    }
    reset(stream, code: ErrorCode.cancel)
  }

  func reset(_ stream: ServerStream, code: UInt32) {
    session.reset(stream.id, code: code)
    setNeedsPump()
  }

  // Graceful shutdown (RFC 9113 6.8).

  static let drainPing: UInt64 = 0x4C4B_6472_6169_6E21

  /// Ends the connection when its streams have ended: says GOAWAY for the highest possible stream,
  /// and after a round trip for the last one that came, so that no request is lost in between.
  /// Harmless when repeated. Has no bound of its own for requests that the receiver does not
  /// answer.
  package func beginDrain() {
    context?.eventLoop.assertInEventLoop()
    guard case .no = drain else { return }
    drain = .announced(until: .distantFuture)
    if phase == .open, let now = context?.eventLoop.now { announceDrain(at: now) }
  }

  func announceDrain(at now: NIODeadline) {
    drain = .announced(until: now + limits.drainNotice)
    nghttp2_submit_shutdown_notice(session.handle)
    if !PingPayload.submit(HTTP2ServerHandler.drainPing, to: session) { finishDrain() }
    arm(after: limits.drainNotice)
    setNeedsPump()
  }

  func finishDrain() {
    guard case .announced = drain else { return }
    drain = .final
    nghttp2_submit_goaway(
      session.handle, UInt8(NGHTTP2_FLAG_NONE.rawValue),
      nghttp2_session_get_last_proc_stream_id(session.handle), ErrorCode.noError, nil, 0)
    setNeedsPump()
  }
}
