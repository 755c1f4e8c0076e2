import NIOCore

/// Counts what a peer sends, frame by frame, before nghttp2 sees it.
///
/// nghttp2 reports only some frames to its callbacks: not CONTINUATION, not unknown types, not DATA
/// of closed streams. So this walks over the frame headers (RFC 9113 4.1) of the incoming bytes and
/// takes a token for each frame that moves no request forward. It judges nothing else: what is no
/// valid frame is nghttp2's to refuse.
struct FrameMeter {
  private static let headerSize = 9
  /// What a client sends before its first frame (RFC 9113 3.4).
  private static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

  private let limits: HTTP2Limits
  private var prefaceLeft: Int
  /// Payload still to come before the next frame header.
  private var payloadLeft = 0
  /// How much has come of a frame header, and what its first 5 bytes are: length, type and flags.
  /// The stream id does not matter here.
  private var headerCount = 0
  private var headerBits: UInt64 = 0
  private let peerIsClient: Bool
  private var continuations = 0
  private var blockSize = 0
  private var resets: TokenBucket
  private var idleFrames: TokenBucket

  /// - Parameter peerIsClient: Whether a preface comes first, and resets count. A server's resets
  ///   are bounded by the requests, and a client may cancel as many as it likes.
  init(_ limits: HTTP2Limits, peerIsClient: Bool, at now: NIODeadline) {
    self.limits = limits
    self.peerIsClient = peerIsClient
    prefaceLeft = peerIsClient ? Self.preface.utf8CodeUnitCount : 0
    resets = TokenBucket(limits.resets, at: now)
    idleFrames = TokenBucket(limits.idleFrames, at: now)
  }

  /// Counts the frames that begin in `bytes`; says why where they are too many.
  mutating func count(
    _ bytes: UnsafeRawBufferPointer, at now: NIODeadline
  ) -> HTTP2ConnectionEnd? {
    var offset = prefaceLeft > 0 ? skipPreface(bytes) : 0
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
        offset += Self.headerSize
      } else {
        if headerCount < 5 { headerBits = headerBits << 8 | UInt64(bytes[offset]) }
        headerCount += 1
        offset += 1
        guard headerCount == Self.headerSize else { continue }
      }
      let (length, type, flags) = (
        Int(headerBits >> 16), UInt8(truncatingIfNeeded: headerBits >> 8),
        UInt8(truncatingIfNeeded: headerBits)
      )
      (headerCount, headerBits, payloadLeft) = (0, 0, length)
      if let end = judge(type: type, flags: flags, length: length, at: now) { return end }
    }
    return nil
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
  mutating func countOwnReset(at now: NIODeadline) -> HTTP2ConnectionEnd? { reset(at: now) }

  /// A stream ended well.
  mutating func earnForStream() { resets.earn() }

  /// A HEADERS or DATA frame was sent.
  mutating func earnForFrame() { idleFrames.earn() }

  private mutating func judge(
    type: UInt8, flags: UInt8, length: Int, at now: NIODeadline
  ) -> HTTP2ConnectionEnd? {
    switch FrameType(rawValue: type) {
    case .data:
      let endsStream = flags & FrameFlags.endStream != 0
      let isPadded = flags & FrameFlags.padded != 0
      guard !endsStream, isPadded || length < limits.smallDataBytes else { return nil }
      return idle(at: now)
    case .headers:
      (continuations, blockSize) = (0, length)
      return nil
    case .continuation:
      continuations += 1
      blockSize += length
      guard
        continuations > limits.continuationsMax || blockSize > limits.headerBlockBytesMax
      else { return nil }
      return HTTP2ConnectionEnd(
        .continuationFlood, "a header block of \(continuations) CONTINUATION frames")
    case .resetStream:
      return reset(at: now)
    default:
      return idle(at: now)
    }
  }

  private mutating func reset(at now: NIODeadline) -> HTTP2ConnectionEnd? {
    if !peerIsClient || resets.take(at: now) { return nil }
    return HTTP2ConnectionEnd(.resetFlood, "too many streams were reset")
  }

  private mutating func idle(at now: NIODeadline) -> HTTP2ConnectionEnd? {
    if idleFrames.take(at: now) { return nil }
    return HTTP2ConnectionEnd(.frameFlood, "too many frames that move no request forward")
  }
}

/// The types of frames that are counted in a way of their own (RFC 9113 6).
private enum FrameType: UInt8 {
  case data = 0
  case headers = 1
  case resetStream = 3
  case continuation = 9
}

private enum FrameFlags {
  static let endStream: UInt8 = 0x01
  static let padded: UInt8 = 0x08
}
