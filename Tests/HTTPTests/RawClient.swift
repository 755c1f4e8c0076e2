import HTTP
import NIOCore
import NIOEmbedded

/// One frame of RFC 9113 4.1.
struct Frame: Equatable {
  var type: UInt8
  var flags: UInt8 = 0
  var stream: UInt32 = 0
  var payload: [UInt8] = []

  static let (data, headers, priority, reset, settings): (UInt8, UInt8, UInt8, UInt8, UInt8) =
    (0, 1, 2, 3, 4)
  static let (ping, goAway, windowUpdate, continuation): (UInt8, UInt8, UInt8, UInt8) = (6, 7, 8, 9)
  static let (endStream, ack, endHeaders, padded): (UInt8, UInt8, UInt8, UInt8) = (1, 1, 4, 8)

  var bytes: [UInt8] {
    let length = payload.count
    return [UInt8(length >> 16 & 0xff), UInt8(length >> 8 & 0xff), UInt8(length & 0xff)]
      + [type, flags] + Frame.number(stream) + payload
  }

  /// The first number of the payload from `offset` on.
  func number(at offset: Int = 0) -> UInt32 {
    payload[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  static func number(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
  }

  static func setting(_ id: UInt16, _ value: UInt32) -> [UInt8] {
    [UInt8(id >> 8), UInt8(id & 0xff)] + number(value)
  }

  /// Splits `bytes` into frames; what is left over at the end is dropped.
  static func parse(_ bytes: [UInt8]) -> [Frame] {
    var frames: [Frame] = []
    var rest = bytes[...]
    while rest.count >= 9 {
      let start = rest.startIndex
      let length = Int(rest[start]) << 16 | Int(rest[start + 1]) << 8 | Int(rest[start + 2])
      guard rest.count >= 9 + length else { break }
      frames.append(
        Frame(
          type: rest[start + 3], flags: rest[start + 4],
          stream: rest[start + 5..<start + 9].reduce(0) { $0 << 8 | UInt32($1) },
          payload: Array(rest[start + 9..<start + 9 + length])))
      rest = rest[(start + 9 + length)...]
    }
    return frames
  }

  /// The `:status` that a header block of nghttp2 starts with.
  var status: Int? {
    let indexed = [0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500]
    guard let first = payload.first else { return nil }
    if let known = indexed[Int(first)] { return known }
    guard first == 0x48, payload.count >= 5, payload[1] == 3 else { return nil }
    return Int(String(decoding: payload[2..<5], as: UTF8.self))
  }
}

/// HPACK (RFC 7541), as plain as it gets: no index, no Huffman code.
enum PlainHPACK {
  static func block(_ fields: [(String, String)]) -> [UInt8] {
    fields.flatMap { [0] + string($0.0) + string($0.1) }
  }

  static let request = block([
    (":method", "POST"), (":scheme", "http"), (":path", "/raw"), (":authority", "test"),
  ])

  private static func string(_ text: String) -> [UInt8] {
    integer(text.utf8.count, prefixBits: 7) + Array(text.utf8)
  }

  private static func integer(_ value: Int, prefixBits: Int) -> [UInt8] {
    let most = 1 << prefixBits - 1
    if value < most { return [UInt8(value)] }
    var (bytes, rest) = ([UInt8(most)], value - most)
    while rest >= 128 {
      bytes.append(UInt8(rest & 127 | 128))
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}

/// A client that sends whatever bytes a test likes.
final class RawClient {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  let loop: EmbeddedEventLoop
  let receiver = TestReceiver()
  let events = ServerRecorder()
  let server: HTTP2ServerHandler
  let channel: EmbeddedChannel
  /// All that the server has sent.
  var frames: [Frame] = []

  init(
    limits: HTTP2Limits = HTTP2Limits(), loop: EmbeddedEventLoop = EmbeddedEventLoop(),
    arrivals: RoomBudget = RoomBudget(), answers: RoomBudget = RoomBudget(),
    sendsPreface: Bool = true
  ) throws {
    self.loop = loop
    server = HTTP2ServerHandler(
      receiver: receiver, offer: Fixtures.serverOffer, limits: limits, grease: .none,
      rejections: Fixtures.rejections, arrivals: arrivals, answers: answers, events: events)
    channel = try .active(server, loop: loop)
    if sendsPreface { try send(RawClient.preface + Frame(type: Frame.settings).bytes) }
  }

  deinit {
    channel.close(promise: nil)
    loop.run()
  }

  /// Sends `bytes` in one read, unless the server has closed.
  func send(_ bytes: [UInt8]) throws {
    if channel.isActive { try channel.writeInbound(ByteBuffer(bytes: bytes)) }
    try settle()
  }

  func send(_ frames: [Frame]) throws { try send(frames.flatMap(\.bytes)) }

  func settle() throws {
    loop.run()
    frames += Frame.parse(try channel.takeWrites().flatMap { $0 })
  }

  /// Lets time pass.
  func advance(by time: TimeAmount) throws {
    loop.advanceTime(by: time)
    try settle()
  }

  func openStream(_ id: UInt32, endStream: Bool = false) -> Frame {
    Frame(
      type: Frame.headers, flags: Frame.endHeaders | (endStream ? Frame.endStream : 0), stream: id,
      payload: PlainHPACK.request)
  }

  /// The error code of the last GOAWAY.
  var goAwayCode: UInt32? { frames.last { $0.type == Frame.goAway }?.number(at: 4) }

  /// The status of the answer on stream `id`.
  func status(_ id: UInt32) -> Int? {
    frames.first { $0.type == Frame.headers && $0.stream == id }?.status
  }

  /// The error code of the RST_STREAM of stream `id`.
  func resetCode(_ id: UInt32) -> UInt32? {
    frames.first { $0.type == Frame.reset && $0.stream == id }?.number()
  }
}
