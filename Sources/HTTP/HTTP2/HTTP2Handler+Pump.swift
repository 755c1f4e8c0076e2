import CNghttp2
import NIOCore

// Writing: all that nghttp2 has to send goes out in as few writes as possible.
extension HTTP2Handler {
  /// Something was submitted: makes sure that it gets written. Inside of a read the end of the read
  /// does that; otherwise one pump is scheduled for all that the event loop's turn brings.
  final func setNeedsPump() {
    if !isReading { schedulePump() }
  }

  final func schedulePump() {
    guard !isPumpScheduled, phase != .ended, let context else { return }
    isPumpScheduled = true
    context.eventLoop.assumeIsolated().execute {
      self.isPumpScheduled = false
      self.isReading = false
      self.pump()
    }
  }

  /// Writes what there is, as long as the channel takes it and it is this connection's turn.
  final func pump() {
    guard !isReceiving, !isPumping, phase == .open || phase == .ending, let context else { return }
    context.eventLoop.assertInEventLoop()
    isPumping = true
    if phase == .open { countPump() }
    var written = 0
    var isExhausted = false
    while !isExhausted, phase == .open || phase == .ending, context.channel.isWritable {
      if written >= limits.turnBytesMax {
        schedulePump()
        break
      }
      var batch: ByteBuffer?
      isExhausted = gather(into: &batch, allocator: context.channel.allocator)
      if let (end, code) = pendingEnd {
        isExhausted = false
        terminate(end, code: code)
      }
      guard let batch else { continue }
      written += batch.readableBytes
      let isLast = isExhausted && isDone
      let promise = isLast ? closePromise(context) : nil
      context.writeAndFlush(wrapOutboundOut(batch), promise: promise)
      if isLast { break }
    }
    isPumping = false
    writeProgress.written += UInt64(written)
    if let (end, code) = pendingEnd {
      isExhausted = false
      terminate(end, code: code)
      schedulePump()
    }
    if isExhausted { nothingLeftToSend() }
    if phase == .open || phase == .ending, isExhausted, isDone {
      context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: closePromise(context))
    }
  }

  /// Whether all is said: the connection closes after what was written so far.
  private var isDone: Bool {
    nghttp2_session_want_read(session.handle) == 0
      && nghttp2_session_want_write(session.handle) == 0
  }

  /// Moves up to `writeBytesMax` bytes from nghttp2 to `batch`. True where there is no more. What
  /// `nghttp2_session_mem_send` points to is gone with its next call, and often small: so it is
  /// copied, which costs less than to write it by itself.
  private func gather(into batch: inout ByteBuffer?, allocator: ByteBufferAllocator) -> Bool {
    var bytes: UnsafePointer<UInt8>?
    repeat {
      let count = nghttp2_session_mem_send(session.handle, &bytes)
      if count < 0 {
        let failure = ErrorCode.end(of: count)
        pendingEnd = pendingEnd ?? (failure.end, ErrorCode.internalError)
      }
      guard count > 0 else { break }
      if batch == nil { batch = allocator.buffer(capacity: max(batchCapacity, count)) }
      batch?.writeBytes(UnsafeRawBufferPointer(start: bytes, count: count))
      if batch.unsafelyUnwrapped.readableBytes >= limits.writeBytesMax { return false }
    } while pendingEnd == nil
    // The next batch is likely to be about as large.
    batchCapacity = min(max(1_024, batch?.readableBytes ?? 0), limits.writeBytesMax)
    return true
  }

  private func closePromise(_ context: ChannelHandlerContext) -> EventLoopPromise<Void> {
    phase = .closing
    reason = reason ?? quietEnd
    let promise = context.eventLoop.makePromise(of: Void.self)
    promise.futureResult.assumeIsolated().whenComplete { _ in
      self.context?.closeSoon()
    }
    return promise
  }

  // Ending.

  /// Ends the connection with a GOAWAY (RFC 9113 6.8) of `code`. Also inside of nghttp2's
  /// callbacks.
  final func end(_ end: HTTP2ConnectionEnd, code: UInt32) {
    guard phase == .open else { return }
    if isReceiving || isPumping {
      pendingEnd = pendingEnd ?? (end, code)
    } else {
      terminate(end, code: code)
      setNeedsPump()
    }
  }

  private func terminate(_ end: HTTP2ConnectionEnd, code: UInt32) {
    pendingEnd = nil
    guard phase == .open else {
      // Not even the GOAWAY can be made.
      phase = .closing
      context?.closeSoon()
      return
    }
    phase = .ending
    reason = reason ?? end
    nghttp2_session_terminate_session(session.handle, code)
  }

  /// Closes without another word.
  final func abort(_ end: HTTP2ConnectionEnd) {
    reason = reason ?? end
    context?.closeSoon()
  }

  /// The connection is over: `fallback` is why, where nothing was noted before.
  final func finish(_ fallback: HTTP2ConnectionEnd) {
    guard phase != .ended else { return }
    phase = .ended
    timer?.cancel()
    timer = nil
    ended(reason ?? quietEnd ?? fallback)
  }
}

/// What tells a slow peer from one that reads nothing.
struct WriteProgress {
  /// Bytes handed to the channel so far.
  var written: UInt64 = 0
  /// What has to be out until the peer counts as slow.
  private var goal: Int64 = -1
  private var since = NIODeadline.uptimeNanoseconds(0)

  /// Whether, at `now`, the peer has for ``HTTP2Limits/writeTimeout`` read neither all that waited for
  /// it nor ``HTTP2Limits/writeProgressBytesMin``.
  ///
  /// - Parameter buffered: Bytes that wait in the channel.
  mutating func isStalled(
    buffered: Int, isWritable: Bool, at now: NIODeadline, limits: HTTP2Limits
  ) -> Bool {
    let sent = Int64(written) - Int64(buffered)
    // Where the channel is full, something must have got out since the goal was set.
    let isProgress = isWritable ? sent >= goal : sent > goal
    if isWritable && buffered == 0 || isProgress {
      goal = min(sent + Int64(limits.writeProgressBytesMin), Int64(written))
      since = now
      return false
    }
    return now - since >= limits.writeTimeout
  }
}
