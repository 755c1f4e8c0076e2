import CZlib
import HTTP2
import RPC
import TestKit
import Testing

/// Eight times the request takes about eight times as long to read, up to the largest that is taken.
@Suite(.serialized) struct RequestGrowthTests {
  // MARK: - gzip

  /// The largest body, in bytes.
  private static let bodyBytesMax: Int = HTTP1Limits().requestBodyBytesMax

  private static func gzip(_ body: [UInt8], level: Int32 = 9) -> [UInt8] {
    var stream = z_stream()
    // 15 bits of window, and 16 for gzip's header and trailer.
    deflateInit2_(
      &stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
      Int32(MemoryLayout<z_stream>.size))
    defer { deflateEnd(&stream) }
    var packed = [UInt8](repeating: 0, count: Int(deflateBound(&stream, uLong(body.count))))
    var body = body
    body.withUnsafeMutableBufferPointer { input in
      packed.withUnsafeMutableBufferPointer { output in
        stream.next_in = input.baseAddress
        stream.avail_in = uInt(input.count)
        stream.next_out = output.baseAddress
        stream.avail_out = uInt(output.count)
        _ = deflate(&stream, Z_FINISH)
      }
    }
    return Array(packed.prefix(Int(stream.total_out)))
  }

  struct Body: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// What inflates to so many bytes, or would.
    var bytes: @Sendable (Int) -> [UInt8]
  }

  static let bodies: [Body] = [
    Body(testDescription: "one byte again and again") { gzip([UInt8](repeating: 0, count: $0)) },
    Body(testDescription: "bytes as they are") { size in
      gzip((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }, level: 0)
    },
    Body(testDescription: "what is cut off") { size in
      gzip([UInt8](repeating: 0, count: size)).dropLast(4)
    },
    Body(testDescription: "what goes on behind its end") { size in
      gzip([1]) + [UInt8](repeating: 0x1f, count: size)
    },
  ]

  @Test("of gzip", arguments: bodies) func ofInflating(_ body: Body) {
    let ratio = Growth.ratio(size: Self.bodyBytesMax, input: body.bytes) {
      try? Inflate.gzip($0, bytesMax: Self.bodyBytesMax)
    }
    #expect(ratio <= Growth.ratioMax)
  }

  /// What inflates without end is left at the bound, however much is there.
  @Test("of gzip over the bound") func ofInflatingTooMuch() {
    let ratio = Growth.ratio(size: 64 << 20, input: { Self.gzip([UInt8](repeating: 0, count: $0)) })
    {
      try? Inflate.gzip($0, bytesMax: 65_536)
    }
    #expect(ratio <= 3)
  }

  // MARK: - Header fields over HTTP/1.1

  struct Head: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// Header fields of about so many bytes, each with the end of its line.
    var fields: @Sendable (Int) -> String
    /// Bytes that come at a time.
    var pieceBytes = Int.max
    var status = 200
  }

  private static func many(_ size: Int) -> String {
    (0..<size / 32).map { "x-\($0): a\r\n" }.joined()
  }

  static let heads: [Head] = [
    Head(testDescription: "many fields", fields: many),
    Head(testDescription: "many fields of one name") { size in
      String(repeating: "x: a\r\n", count: size / 32)
    },
    Head(testDescription: "one long value") { "x: \(String(repeating: "a", count: $0))\r\n" },
    Head(testDescription: "one long name") { "\(String(repeating: "a", count: $0)): x\r\n" },
    Head(
      testDescription: "many hosts",
      fields: { String(repeating: "host: a\r\n", count: $0 / 32) }, status: 400),
    Head(
      testDescription: "codings",
      fields: { size in
        "transfer-encoding: " + String(repeating: "a,", count: size / 2) + "chunked\r\n"
      }, status: 501),
    Head(testDescription: "many fields, byte by byte", fields: many, pieceBytes: 1),
    Head(
      testDescription: "one long value, byte by byte",
      fields: { "x: \(String(repeating: "a", count: $0))\r\n" }, pieceBytes: 1),
    Head(
      testDescription: "blanks, byte by byte",
      fields: { "x:\(String(repeating: " ", count: $0))a\r\n" }, pieceBytes: 1),
  ]

  private static func request(_ head: Head, _ size: Int) -> [UInt8] {
    Array("GET / HTTP/1.1\r\nhost: a\r\n\(head.fields(size))\r\n".utf8)
  }

  /// The bytes of the answer to `request`, which comes in pieces.
  private static func answer(to request: [UInt8], pieceBytes: Int) -> [UInt8] {
    guard let connection = try? TestConnection() else { return [] }
    var rest = request[...]
    while !rest.isEmpty {
      let piece = rest.prefix(pieceBytes)
      rest = rest.dropFirst(piece.count)
      try? connection.send(Array(piece))
    }
    return (try? connection.takeBytes()) ?? []
  }

  @Test("of header fields", arguments: heads) func ofFields(_ head: Head) {
    let sizeMax = HTTP1Limits().headerListBytesMax * 7 / 8
    let answer = Self.answer(to: Self.request(head, sizeMax), pieceBytes: head.pieceBytes)
    // Else less of it was read.
    #expect(answer.starts(with: Array("HTTP/1.1 \(head.status) ".utf8)))
    let ratio = Growth.ratio(size: sizeMax, input: { Self.request(head, $0) }) {
      Self.answer(to: $0, pieceBytes: head.pieceBytes)
    }
    #expect(ratio <= Growth.ratioMax)
  }
}
