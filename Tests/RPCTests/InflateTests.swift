import RPC
import WireSchema
import Testing

/// Bodies that gzip made (RFC 1952).
enum Gzipped {
  static var hello: [UInt8] {
    get throws { try bytes("1f8b0800000000000203cb48cdc9c9070086a6103605000000") }
  }
  static var empty: [UInt8] {
    get throws { try bytes("1f8b080000000000020303000000000000000000") }
  }
  /// 65,536 zeros in fewer than a hundred bytes.
  static var zeros: [UInt8] { get throws { try bytes(zerosHex) } }

  private static let zerosHex =
    "1f8b0800000000000203edc101010000008090feafee080a00000000000000000000000000000000"
    + "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
    + "000000000000006aeb8e97d700000100"

  private static func bytes(_ hex: String) throws -> [UInt8] {
    let digits = Array(hex)
    return try stride(from: 0, to: digits.count, by: 2).map {
      try #require(UInt8(String(digits[$0..<$0 + 2]), radix: 16))
    }
  }
}

@Suite("Inflate")
struct InflateTests {
  @Test("what gzip made comes back")
  func good() throws {
    #expect(try Inflate.gzip(Gzipped.hello, bytesMax: 5) == Array("hello".utf8))
    #expect(try Inflate.gzip(Gzipped.empty, bytesMax: 0) == [])
    let zeros = try Inflate.gzip(Gzipped.zeros, bytesMax: 65_536)
    #expect(zeros == Array(repeating: 0, count: 65_536))
  }

  @Test("a result over the bound is refused, one at the bound is not")
  func bound() throws {
    let packed = try Gzipped.zeros
    #expect(packed.count < 200)
    for bytesMax in [0, 1, 16_384, 65_535] {
      let error = #expect(throws: RPCError.self) { try Inflate.gzip(packed, bytesMax: bytesMax) }
      #expect(error?.code == .resourceExhausted, "bound \(bytesMax)")
    }
    #expect(try Inflate.gzip(Gzipped.hello, bytesMax: 6).count == 5)
  }

  @Test("a body is inflated no further than it says")
  func statedLess() throws {
    var packed = try Gzipped.zeros
    #expect(Inflate.statedBytes(packed) == 65_536)
    packed.replaceSubrange(packed.count - 4..<packed.count, with: [5, 0, 0, 0])
    #expect(Inflate.statedBytes(packed) == 5)
    refuses(packed, "65,536 bytes for 5", bytesMax: 65_536)
    #expect(Inflate.statedBytes([1, 2, 3]) == nil)
  }

  @Test("a body cut off anywhere is refused")
  func truncated() throws {
    let packed = try Gzipped.hello
    for count in 0..<packed.count { refuses(Array(packed.prefix(count)), "\(count) bytes") }
  }

  @Test("a changed byte of the body or its checksum is refused")
  func damaged() throws {
    let packed = try Gzipped.hello
    // The last eight bytes are checksum and length; ten come first as the head.
    for index in 10..<packed.count {
      var copy = packed
      copy[index] ^= 0xff
      refuses(copy, "byte \(index)")
    }
  }

  @Test("bytes behind the body are refused, another body included")
  func trailing() throws {
    refuses(try Gzipped.hello + [0], "a zero")
    refuses(try Gzipped.hello + Gzipped.hello, "a second member")
  }

  @Test("what is not gzip is refused", arguments: ["", "hello", "{}", "\u{1f}", "x\u{9c}"])
  func notGzip(_ text: String) {
    refuses(Array(text.utf8), text)
  }

  private func refuses(_ body: [UInt8], _ what: String, bytesMax: Int = 1_000) {
    let error = #expect(throws: RPCError.self, "\(what)") {
      try Inflate.gzip(body, bytesMax: bytesMax)
    }
    #expect(error?.code == .invalidArgument, "\(what)")
  }
}
