/// One frame of HTTP/2 (RFC 9113 4.1), written and read by hand so that a test sees every byte.
package struct Frame: Equatable, Sendable {
  package var type: UInt8
  package var flags: UInt8
  package var stream: UInt32
  package var payload: [UInt8]

  package init(type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, payload: [UInt8] = []) {
    self.type = type
    self.flags = flags
    self.stream = stream
    self.payload = payload
  }

  package enum Kind {
    package static let data: UInt8 = 0
    package static let headers: UInt8 = 1
    package static let settings: UInt8 = 4
    package static let goAway: UInt8 = 7
    package static let windowUpdate: UInt8 = 8
    package static let hello: UInt8 = 0x4C
  }

  package static let endStream: UInt8 = 1
  package static let ack: UInt8 = 1
  package static let endHeaders: UInt8 = 4

  package static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  package var bytes: [UInt8] {
    Array(Self.bigEndian(UInt32(payload.count)).dropFirst()) + [type, flags]
      + Self.bigEndian(stream) + payload
  }

  package var isAck: Bool { flags & Self.ack != 0 }

  /// The frames that are complete in `bytes`.
  package static func parse(_ bytes: [UInt8]) -> [Frame] {
    var frames: [Frame] = []
    var start = 0
    while bytes.count - start >= 9 {
      let length = Int(number(bytes[start..<start + 3]))
      guard bytes.count - start - 9 >= length else { break }
      frames.append(
        Frame(
          type: bytes[start + 3], flags: bytes[start + 4],
          stream: number(bytes[start + 5..<start + 9]),
          payload: Array(bytes[start + 9..<start + 9 + length])))
      start += 9 + length
    }
    return frames
  }

  // MARK: - SETTINGS

  package static func settings(_ entries: [(id: UInt16, value: UInt32)]) -> Frame {
    Frame(
      type: Kind.settings,
      payload: entries.flatMap { entry -> [UInt8] in
        [UInt8(entry.id >> 8), UInt8(entry.id & 0xff)] + bigEndian(entry.value)
      })
  }

  package var settings: [(id: UInt16, value: UInt32)] {
    stride(from: 0, to: payload.count - payload.count % 6, by: 6).map { start in
      (
        UInt16(Self.number(payload[start..<start + 2])),
        Self.number(payload[start + 2..<start + 6])
      )
    }
  }

  // MARK: - A request

  /// The frames of one request, each header field literal and without Huffman code (RFC 7541 6.2.2).
  package static func request(_ call: Call, on stream: UInt32) -> [Frame] {
    let fields =
      [(":method", call.method), (":scheme", "http"), (":authority", "test"), (":path", call.path)]
      + call.headers
    let block = fields.flatMap { field -> [UInt8] in [0] + text(field.0) + text(field.1) }
    return [
      Frame(type: Kind.headers, flags: endHeaders, stream: stream, payload: block),
      Frame(type: Kind.data, flags: endStream, stream: stream, payload: call.body),
    ]
  }

  private static func text(_ text: String) -> [UInt8] {
    precondition(text.utf8.count < 127, "one byte of length is enough for tests")
    return [UInt8(text.utf8.count)] + Array(text.utf8)
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }
}
