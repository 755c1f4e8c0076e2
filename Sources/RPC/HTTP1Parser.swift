import HTTP2
import NIOCore

/// A whole request of HTTP/1.1.
struct HTTP1Request {
  var head: HTTP1Head
  var body: [UInt8]
}

/// Reads the requests of a connection one after the other (RFC 9112). It decides, and does no I/O.
///
/// Strict where a reader that is not may see other requests than a proxy in front of it: lines end
/// with CRLF, one blank stands between the parts of the request line, no field goes on in a second
/// line, and where a body ends is said in one way. Takes bytes off the buffer as soon as they are
/// understood, so no more is ever kept than a line, the fields and the body up to here, each within
/// its bound.
struct HTTP1Parser {
  enum Step {
    /// The rest has not come yet.
    case needsMore
    /// The head is there, a body follows, and the client waits to be told to send it.
    case continueExpected
    case request(HTTP1Request)
    /// Nothing can be read any more.
    case refused(HTTP1Refusal)
  }

  private enum State {
    /// Next: fields.
    case requestLine
    /// Next: body, chunk line, or the next request line.
    case fields
    /// Next: the next request line.
    case body(left: Int)
    /// Next: chunk, or trailers after the last one.
    case chunkLine
    /// Next: chunk line. The last two bytes are its CRLF.
    case chunk(left: Int)
    /// Next: the next request line.
    case trailers
    /// After a refusal.
    case ended
  }

  private let limits: HTTP1Limits
  private var state = State.requestLine
  private var head = HTTP1Head()
  private var body: [UInt8] = []
  /// Bytes at the front of the buffer that are known to hold no end of a line.
  private var scannedBytes = 0
  /// Of the request in hand: lines as they were sent, path, names and values, and fields.
  private var headBytes = 0
  private var listBytes = 0
  private var fields = 0

  init(limits: HTTP1Limits) { self.limits = limits }

  /// Whether some of a request is here, though not all of it.
  var isWithinRequest: Bool {
    if case .requestLine = state { scannedBytes > 0 } else { true }
  }

  /// Bytes of the request in hand that were taken off the buffer and are kept.
  var keptBytes: Int { head.block.byteCount + body.count }

  /// Takes from `bytes` what can be understood, up to the end of a request.
  mutating func next(_ bytes: inout ByteBuffer) -> Step {
    do throws(HTTP1Refusal) {
      while true {
        if let step = try step(&bytes) { return step }
      }
    } catch {
      state = .ended
      body = []
      return .refused(error)
    }
  }

  /// Nil where there may be more to understand.
  private mutating func step(_ bytes: inout ByteBuffer) throws(HTTP1Refusal) -> Step? {
    switch state {
    case .requestLine:
      return try line(&bytes, max: limits.headBytesMax) { parser, line throws(HTTP1Refusal) in
        try parser.requestLine(line)
      }
    case .fields:
      return try line(&bytes, max: limits.headBytesMax - headBytes) {
        parser, line throws(HTTP1Refusal) in try parser.field(line)
      }
    case .trailers:
      return try line(&bytes, max: limits.headBytesMax - headBytes) {
        parser, line throws(HTTP1Refusal) in try parser.trailer(line)
      }
    case .chunkLine:
      return try line(&bytes, max: limits.chunkLineBytesMax) { parser, line throws(HTTP1Refusal) in
        try parser.chunkLine(line)
      }
    case .body(let left):
      let taken = take(left, from: &bytes)
      if taken == left { return complete() }
      state = .body(left: left - taken)
      return .needsMore
    case .chunk(let left):
      return try chunk(left, &bytes)
    case .ended:
      bytes.moveReaderIndex(forwardBy: bytes.readableBytes)
      return .needsMore
    }
  }

  // MARK: - Lines

  /// Takes a line off `bytes` and hands it on without its end; judges what there is of it before.
  private mutating func line(
    _ bytes: inout ByteBuffer, max: Int,
    _ body: (inout HTTP1Parser, UnsafeRawBufferPointer) throws(HTTP1Refusal) -> Step?
  ) throws(HTTP1Refusal) -> Step? {
    var step: Step? = .needsMore
    var taken = 0
    var refusal: HTTP1Refusal?
    bytes.withUnsafeReadableBytes { bytes in
      do throws(HTTP1Refusal) {
        guard let end = try Self.lineEnd(bytes, from: scannedBytes) else {
          scannedBytes = bytes.count
          if bytes.count > max { throw tooLong }
          return
        }
        scannedBytes = 0
        taken = end + 2
        if taken > max { throw tooLong }
        headBytes += taken
        step = try body(&self, UnsafeRawBufferPointer(rebasing: bytes[..<end]))
      } catch {
        refusal = error
      }
    }
    if let refusal { throw refusal }
    bytes.moveReaderIndex(forwardBy: taken)
    return step
  }

  private var tooLong: HTTP1Refusal {
    if case .chunkLine = state { .malformed } else { .headersTooLarge }
  }

  /// Where the CRLF begins that ends the first line; nil where it has not come yet. No other
  /// control character than a tab is in a line (RFC 9110 5.5), so noise is told at once.
  private static func lineEnd(
    _ bytes: UnsafeRawBufferPointer, from start: Int
  ) throws(HTTP1Refusal) -> Int? {
    // The byte before may be a CR.
    for index in Swift.max(0, start - 1)..<bytes.count {
      let byte = bytes[index]
      if byte >= Byte.space && byte != Byte.delete || byte == Byte.tab { continue }
      guard byte == Byte.carriageReturn else { throw .malformed }
      guard index + 1 < bytes.count else { return nil }
      guard bytes[index + 1] == Byte.lineFeed else { throw .malformed }
      return index
    }
    return nil
  }

  private mutating func requestLine(
    _ line: UnsafeRawBufferPointer
  ) throws(HTTP1Refusal) -> Step? {
    headBytes = line.count
    // Empty lines in front of a request are no fault (RFC 9112 2.2), and count for nothing.
    guard !line.isEmpty else { return nil }
    head = HTTP1Head()
    listBytes = try head.begin(line)
    fields = 0
    state = .fields
    return try checkList()
  }

  private mutating func field(_ line: UnsafeRawBufferPointer) throws(HTTP1Refusal) -> Step? {
    guard !line.isEmpty else { return try headComplete() }
    listBytes += try head.add(line)
    fields += 1
    return try checkList()
  }

  private mutating func trailer(_ line: UnsafeRawBufferPointer) throws(HTTP1Refusal) -> Step? {
    guard !line.isEmpty else { return complete() }
    // Read, and dropped.
    _ = try HTTP1Head.field(line)
    fields += 1
    return try checkList()
  }

  private func checkList() throws(HTTP1Refusal) -> Step? {
    guard listBytes <= limits.headerListBytesMax, fields <= limits.headerFieldsMax else {
      throw .headersTooLarge
    }
    return nil
  }

  private mutating func headComplete() throws(HTTP1Refusal) -> Step? {
    switch try head.framing(bodyBytesMax: limits.requestBodyBytesMax) {
    case .length(0): return complete()
    case .length(let length):
      body.reserveCapacity(min(length, Self.reservedBytesMax))
      state = .body(left: length)
    case .chunks: state = .chunkLine
    }
    return head.expectsContinue ? .continueExpected : nil
  }

  /// Room that is made for a body before any of it has come, in bytes.
  private static let reservedBytesMax = 16_384

  // MARK: - Bodies

  private mutating func complete() -> Step {
    let request = HTTP1Request(head: head, body: body)
    state = .requestLine
    head = HTTP1Head()
    body = []
    (headBytes, listBytes, fields) = (0, 0, 0)
    return .request(request)
  }

  /// Moves at most `count` bytes to the body. Returns how many.
  private mutating func take(_ count: Int, from bytes: inout ByteBuffer) -> Int {
    let taken = min(count, bytes.readableBytes)
    body.append(contentsOf: bytes.readableBytesView.prefix(taken))
    bytes.moveReaderIndex(forwardBy: taken)
    return taken
  }

  /// The size of a chunk in hexadecimal digits, and extensions, which nobody needs (RFC 9112 7.1).
  private mutating func chunkLine(_ line: UnsafeRawBufferPointer) throws(HTTP1Refusal) -> Step? {
    headBytes -= line.count + 2
    var size = 0
    var digits = 0
    for byte in line {
      guard let digit = Self.hexDigit(byte) else { break }
      digits += 1
      // Once it is too much it stays so, however many digits follow.
      size = min(size << 4 | digit, limits.requestBodyBytesMax + 1)
    }
    let rest = line[digits...]
    guard digits > 0,
      rest.isEmpty || rest.drop(while: Byte.isBlank).first == UInt8(ascii: ";")
    else { throw .malformed }
    guard body.count + size <= limits.requestBodyBytesMax else { throw .bodyTooLarge }
    state = size == 0 ? .trailers : .chunk(left: size + 2)
    return nil
  }

  private static func hexDigit(_ byte: UInt8) -> Int? {
    if Byte.isDigit(byte) { return Int(byte - UInt8(ascii: "0")) }
    let letter = (byte | 0x20) &- UInt8(ascii: "a")
    return letter < 6 ? Int(letter) + 10 : nil
  }

  private mutating func chunk(
    _ left: Int, _ bytes: inout ByteBuffer
  ) throws(HTTP1Refusal) -> Step? {
    var left = left
    if left > 2 { left -= take(left - 2, from: &bytes) }
    while left <= 2, left > 0, let byte: UInt8 = bytes.readInteger() {
      guard byte == (left == 2 ? Byte.carriageReturn : Byte.lineFeed) else { throw .malformed }
      left -= 1
    }
    state = left == 0 ? .chunkLine : .chunk(left: left)
    return left == 0 ? nil : .needsMore
  }
}
