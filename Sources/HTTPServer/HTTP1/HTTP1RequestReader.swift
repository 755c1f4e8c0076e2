import HTTP
import NIOCore
import NIOHTTP1

/// A whole request of HTTP/1.1.
struct HTTP1Request {
  var head: HTTP1Head
  var body: [UInt8]
}

/// Reads the requests of a connection one after the other, with NIO's decoder.
///
/// Left to itself, the decoder takes all requests that are there, keeps blanks without a bound, and
/// reads nothing more once an upgrade was offered. So it is fed piece by piece: none goes beyond the
/// end of a request, lines are counted before it sees them, and after such an offer there is a new
/// one.
///
/// The decoder hands what it has understood to the next handler of the pipeline, and that is this
/// one: it stands behind the handler whose context ``next(_:_:)`` is given. It only takes notes
/// there, so nothing happens within a call of the decoder.
final class HTTP1RequestReader: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart

  enum Step {
    /// The rest has not come yet.
    case needsMore
    /// The head is there, a body follows, and the client waits to be told to send it.
    case continueExpected
    case request(HTTP1Request)
    /// Nothing can be read any more.
    case refused(HTTP1Refusal)
  }

  private let limits: HTTP1Limits
  private var decoder: HTTPRequestDecoder
  /// Bytes at the front of the buffer that the decoder has seen and wants to see again, together
  /// with what follows.
  private var seenBytes = 0
  /// Bytes of lines since the request began, or since the last of its body came.
  private var lineBytes = 0
  /// Whether the line that is coming has nothing in it so far.
  private var isLineEmpty = true

  // What the decoder has understood of the request in hand.
  private var head: HTTP1Head?
  private var body: [UInt8] = []
  private var isComplete = false
  private var isContinueExpected = false
  private var isUpgradeOffered = false
  private var refusal: HTTP1Refusal?

  init(limits: HTTP1Limits) {
    self.limits = limits
    decoder = Self.decoder(limits)
  }

  private static func decoder(_ limits: HTTP1Limits) -> HTTPRequestDecoder {
    var decoderLimits = NIOHTTPDecoderLimitConfiguration()
    decoderLimits.maxHeaderFieldSize = limits.headerListBytesMax
    decoderLimits.maxHeaderListSize = limits.headerListBytesMax
    decoderLimits.maxHeaderFieldCount = limits.headerFieldsMax
    return HTTPRequestDecoder(limitConfiguration: decoderLimits)
  }

  func handlerAdded(context: ChannelHandlerContext) { decoder.decoderAdded(context: context) }

  func handlerRemoved(context: ChannelHandlerContext) { decoder.decoderRemoved(context: context) }

  /// Whether some of a request is here, though not all of it.
  var isWithinRequest: Bool { head != nil || lineBytes > 0 }

  /// Bytes of the request in hand that were taken off the buffer and are kept.
  var keptBytes: Int { lineBytes + (head?.block.byteCount ?? 0) + body.capacity }

  /// Keeps nothing of the request in hand; no more may be fed.
  func forgetRequest() {
    head = nil
    body = []
    lineBytes = 0
  }

  // MARK: - Feeding the decoder

  /// Takes from `bytes` what can be understood, up to the end of a request.
  ///
  /// - Parameter context: Of the handler in front of this one.
  func next(_ bytes: inout ByteBuffer, _ context: ChannelHandlerContext) -> Step {
    if !isWithinRequest { Self.skipEmptyLines(&bytes) }
    do throws(HTTP1Refusal) {
      while bytes.readableBytes > seenBytes {
        try feed(try nextPiece(of: bytes), of: &bytes, context)
        if isComplete { return .request(complete(context)) }
        if isContinueExpected {
          isContinueExpected = false
          return .continueExpected
        }
      }
      return .needsMore
    } catch {
      body = []
      return .refused(error)
    }
  }

  /// Empty lines in front of a request are not a fault (RFC 9112 2.2), and count for nothing.
  private static func skipEmptyLines(_ bytes: inout ByteBuffer) {
    let blank = bytes.readableBytesView.prefix {
      $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\n")
    }
    bytes.moveReaderIndex(forwardBy: blank.count)
  }

  /// How many bytes the decoder may have next.
  private func nextPiece(of bytes: ByteBuffer) throws(HTTP1Refusal) -> Int {
    let unseen = bytes.readableBytes - seenBytes
    if let left = head?.bodyBytes.map({ $0 - body.count }) { return min(left, unseen) }
    guard lineBytes < limits.headBytesMax else { throw .headersTooLarge }
    let count = untilEmptyLine(bytes, max: min(unseen, limits.headBytesMax - lineBytes))
    lineBytes += count
    return count
  }

  /// A head ends with an empty line, and so does a body in chunks. A chunk may have one in it as
  /// well; there is no harm in cutting it there.
  private func untilEmptyLine(_ bytes: ByteBuffer, max: Int) -> Int {
    bytes.withUnsafeReadableBytes { bytes in
      let unseen = bytes[seenBytes..<(seenBytes + max)]
      for index in unseen.indices {
        switch unseen[index] {
        case UInt8(ascii: "\n"):
          if isLineEmpty { return index + 1 - seenBytes }
          isLineEmpty = true
        case UInt8(ascii: "\r"): break
        default: isLineEmpty = false
        }
      }
      return max
    }
  }

  private func feed(
    _ count: Int, of bytes: inout ByteBuffer, _ context: ChannelHandlerContext
  ) throws(HTTP1Refusal) {
    var piece = bytes.getSlice(at: bytes.readerIndex, length: seenBytes + count)!
    do {
      _ = try decoder.decode(context: context, buffer: &piece)
    } catch {
      let isOverflow = error as? HTTPParserError == .headerOverflow
      throw refusal ?? (isOverflow ? .headersTooLarge : .malformed)
    }
    if let refusal { throw refusal }
    bytes.moveReaderIndex(forwardBy: seenBytes + count - piece.readableBytes)
    seenBytes = piece.readableBytes
  }

  private func complete(_ context: ChannelHandlerContext) -> HTTP1Request {
    let request = HTTP1Request(head: head!, body: body)
    head = nil
    body = []
    lineBytes = 0
    isComplete = false
    isContinueExpected = false
    if isUpgradeOffered {
      isUpgradeOffered = false
      decoder.decoderRemoved(context: context)
      decoder = Self.decoder(limits)
      decoder.decoderAdded(context: context)
    }
    return request
  }

  // MARK: - What the decoder has understood

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): note(head)
    case .body(let bytes):
      lineBytes = 0
      guard body.count + bytes.readableBytes <= limits.requestBodyBytesMax else {
        return refusal = .bodyTooLarge
      }
      body.append(contentsOf: bytes.readableBytesView)
    case .end: isComplete = true
    }
  }

  private func note(_ head: HTTPRequestHead) {
    do throws(HTTP1Refusal) {
      let head = try HTTP1Head(head, bodyBytesMax: limits.requestBodyBytesMax)
      isContinueExpected = head.expectsContinue
      body.reserveCapacity(min(head.bodyBytes ?? 0, Self.reservedBytesMax))
      self.head = head
      lineBytes = 0
    } catch {
      refusal = error
    }
    isUpgradeOffered = head.headers.contains(name: "upgrade")
  }

  /// Room that is made for a body before any of it has come, in bytes.
  private static let reservedBytesMax = 16_384

  /// The decoder throws as well.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
