import CZlib
import RPC
import TestKit
import Testing

/// Eight times the body takes about eight times as long to inflate, up to the largest that is taken.
@Suite(.serialized) struct InflateGrowthTests {
  /// The largest body, in bytes.
  private static let bodyBytesMax = 524_288

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
}
