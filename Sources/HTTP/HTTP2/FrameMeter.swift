import NIOCore

/// Counts what a peer sends, frame by frame, before nghttp2 sees it.
///
/// nghttp2 reports only some frames to its callbacks: not CONTINUATION, not unknown types, not DATA
/// of closed streams. So this walks over the frame headers (RFC 9113 4.1) of the incoming bytes and
/// takes a token for each frame that moves no request forward. It judges nothing else: what is no
/// valid frame is nghttp2's to refuse.
///
/// What a client sends on a stream that may be closed is handed to the caller, who knows.
struct FrameMeter {
  /// A frame whose header has been walked over.
  struct Frame {
    var type: FrameType
    var flags: UInt8
    var length: Int
    var stream: Int32
  }

  enum Step {
    /// No more frames begin in the bytes.
    case done
    /// To be judged by the state of its stream, once the bytes before `start` are received.
    case judge(Frame, start: Int)
    case flood(HTTP2ConnectionEnd)
  }

  private static let headerSize = 9
  /// What a client sends before its first frame (RFC 9113 3.4).
  private static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

  private let limits: HTTP2Limits
  private var prefaceLeft: Int
  /// Payload still to come before the next frame header.
  private var payloadLeft = 0
  /// How much has come of a frame header. Its first 5 bytes are length, type and flags, the others
  /// are the stream.
  private var headerCount = 0
  private var headerBits: UInt64 = 0
  private var streamBits: UInt32 = 0
  private let peerIsClient: Bool
  private var continuations = 0
  private var blockSize = 0
  private var resets: TokenBucket
  private var refusedStreams: TokenBucket
  private var idleFrames: TokenBucket
  var closed = ClosedStreams()
  /// A stream that was opened in the bytes that are being walked over, and not ended.
  private var openedNow: Int32 = 0

  /// - Parameter peerIsClient: Whether a preface comes first, and resets count. A server's resets
  ///   are bounded by the requests, and a client may cancel as many as it likes.
  init(_ limits: HTTP2Limits, peerIsClient: Bool, at now: NIODeadline) {
    self.limits = limits
    self.peerIsClient = peerIsClient
    prefaceLeft = peerIsClient ? Self.preface.utf8CodeUnitCount : 0
    resets = TokenBucket(limits.resets, at: now)
    refusedStreams = TokenBucket(limits.refusedStreams, at: now)
    idleFrames = TokenBucket(limits.idleFrames, at: now)
  }

  /// Walks on over the frames that begin in `bytes`, and counts them.
  ///
  /// - Parameter offset: How far it got before: 0 where `bytes` are new.
  mutating func walk(
    _ bytes: UnsafeRawBufferPointer, from offset: inout Int, at now: NIODeadline
  ) -> Step {
    if offset == 0 {
      openedNow = 0
      if prefaceLeft > 0 { offset = skipPreface(bytes) }
    }
    while offset < bytes.count {
      if payloadLeft > 0 {
        let skipped = min(payloadLeft, bytes.count - offset)
        payloadLeft -= skipped
        offset += skipped
        continue
      }
      if headerCount == 0, bytes.count - offset >= Self.headerSize {
        let start = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        headerBits = UInt64(bigEndian: start) >> 24
        streamBits = UInt32(
          bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 5, as: UInt32.self))
        offset += Self.headerSize
      } else {
        if headerCount < 5 {
          headerBits = headerBits << 8 | UInt64(bytes[offset])
        } else {
          streamBits = streamBits << 8 | UInt32(bytes[offset])
        }
        headerCount += 1
        offset += 1
        guard headerCount == Self.headerSize else { continue }
      }
      let frame = Frame(
        type: FrameType(rawValue: UInt8(truncatingIfNeeded: headerBits >> 8)) ?? .other,
        flags: UInt8(truncatingIfNeeded: headerBits), length: Int(headerBits >> 16),
        // Its first bit means nothing (RFC 9113 4.1).
        stream: Int32(streamBits & 0x7fff_ffff))
      (headerCount, headerBits, payloadLeft) = (0, 0, frame.length)
      if let flood = count(frame, at: now) { return .flood(flood) }
      if isDoubtful(frame) { return .judge(frame, start: max(0, offset - Self.headerSize)) }
    }
    return .done
  }

  /// Says where the preface ends. What is none has no frames to count, and nghttp2 refuses it.
  private mutating func skipPreface(_ bytes: UnsafeRawBufferPointer) -> Int {
    let count = min(prefaceLeft, bytes.count)
    let start = Self.preface.utf8CodeUnitCount - prefaceLeft
    let expected = UnsafeRawBufferPointer(start: Self.preface.utf8Start + start, count: count)
    guard bytes.prefix(count).elementsEqual(expected) else { return bytes.count }
    prefaceLeft -= count
    return count
  }

  /// Counts an RST_STREAM frame that this side sends: a peer can provoke them as easily as it can
  /// send its own.
  mutating func countOwnReset(code: UInt32, at now: NIODeadline) -> HTTP2ConnectionEnd? {
    guard code == ErrorCode.refusedStream else { return countReset(at: now) }
    if !peerIsClient || refusedStreams.take(at: now) { return nil }
    return HTTP2ConnectionEnd(.resetFlood, "too many streams above the limit were opened")
  }

  /// Counts a frame on a stream that is closed, where it was not counted before.
  mutating func countIgnored(_ frame: Frame, at now: NIODeadline) -> HTTP2ConnectionEnd? {
    isSmallData(frame) ? nil : idle(at: now)
  }

  /// A stream ended well.
  mutating func earnForStream() { resets.earn() }

  /// A HEADERS or DATA frame was sent.
  mutating func earnForFrame() { idleFrames.earn() }

  private mutating func count(_ frame: Frame, at now: NIODeadline) -> HTTP2ConnectionEnd? {
    switch frame.type {
    case .data:
      return isSmallData(frame) ? idle(at: now) : nil
    case .headers:
      (continuations, blockSize) = (0, frame.length)
      return nil
    case .continuation:
      continuations += 1
      blockSize += frame.length
      guard
        continuations > limits.continuationsMax || blockSize > limits.headerBlockBytesMax
      else { return nil }
      return HTTP2ConnectionEnd(
        .continuationFlood, "a header block of \(continuations) CONTINUATION frames")
    case .resetStream:
      return nil
    case .other:
      return idle(at: now)
    }
  }

  /// Whether it is DATA that moves no request forward.
  private func isSmallData(_ frame: Frame) -> Bool {
    guard frame.type == .data, frame.flags & FrameFlags.endStream == 0 else { return false }
    return frame.flags & FrameFlags.padded != 0 || frame.length < limits.smallDataBytes
  }

  /// Whether it depends on the state of its stream what the frame means.
  private mutating func isDoubtful(_ frame: Frame) -> Bool {
    guard peerIsClient else { return false }
    let endsStream = frame.flags & FrameFlags.endStream != 0
    switch frame.type {
    case .headers:
      // Streams of an even number are not a client's; nghttp2 says so.
      guard frame.stream & 1 == 1, frame.stream > closed.newest else {
        return frame.stream & 1 == 1
      }
      closed.opened(frame.stream)
      openedNow = endsStream ? 0 : frame.stream
      return false
    case .data:
      guard frame.stream == openedNow else {
        return frame.stream & 1 == 1 && frame.stream <= closed.newest
      }
      if endsStream { openedNow = 0 }
      return false
    case .resetStream:
      if frame.stream == openedNow { openedNow = 0 }
      return true
    case .continuation, .other: return false
    }
  }

  /// Counts an RST_STREAM frame of the peer.
  mutating func countReset(at now: NIODeadline) -> HTTP2ConnectionEnd? {
    if !peerIsClient || resets.take(at: now) { return nil }
    return HTTP2ConnectionEnd(.resetFlood, "too many streams were reset")
  }

  private mutating func idle(at now: NIODeadline) -> HTTP2ConnectionEnd? {
    if idleFrames.take(at: now) { return nil }
    return HTTP2ConnectionEnd(.frameFlood, "too many frames that move no request forward")
  }
}

/// The types of frames that are counted in a way of their own (RFC 9113 6).
enum FrameType: UInt8 {
  case data = 0
  case headers = 1
  case resetStream = 3
  case continuation = 9
  /// All others; the number is nobody's.
  case other = 0xff
}

private enum FrameFlags {
  static let endStream: UInt8 = 0x01
  static let padded: UInt8 = 0x08
}
