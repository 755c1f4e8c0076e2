import SwiftProtobuf
import Testing
import WireSchema

@Suite("HELLO")
struct HelloFrameTests {
  private static let hello = Latchkey_Handshake_V1_Hello.with {
    $0.software = "0.1.0"
    $0.serverID = "node-a"
    $0.wire = .with {
      $0.oldest = 1
      $0.newest = 3
    }
    $0.features = ["one", "two"]
    $0.reason = "because"
  }

  @Test("without grease it is the message and nothing else")
  func plain() throws {
    let bytes = HelloFrame.encode(Self.hello, grease: 0)
    #expect(bytes == (try Self.hello.serializedBytes() as [UInt8]))
    #expect(HelloFrame.decode(bytes) == Self.hello)
  }

  @Test("grease adds unknown fields of the numbers set aside, and takes nothing away")
  func grease() throws {
    var greased = 0
    for seed in UInt64(0)..<500 {
      let bits = seed &* 0x9E37_79B9_7F4A_7C15
      let bytes = HelloFrame.encode(Self.hello, grease: bits)
      #expect(bytes.count <= HelloFrame.bytesMax)
      var decoded = try #require(HelloFrame.decode(bytes))
      let unknown = Array(decoded.unknownFields.data)
      let fields = try Self.fieldNumbers(of: unknown)
      #expect(fields.count == Int(bits & 3), "bits \(bits)")
      #expect(fields.allSatisfy(HelloFrame.greaseFields.contains), "bits \(bits)")
      greased += fields.count
      decoded.unknownFields = .init()
      #expect(decoded == Self.hello)
    }
    #expect(greased > 0)
  }

  /// The numbers of fields that are all varints.
  private static func fieldNumbers(of bytes: [UInt8]) throws -> [Int] {
    var values: [UInt64] = []
    var value: UInt64 = 0
    var shift: UInt64 = 0
    for byte in bytes {
      value |= UInt64(byte & 0x7f) << shift
      shift += 7
      guard byte < 0x80 else { continue }
      values.append(value)
      (value, shift) = (0, 0)
    }
    try #require(shift == 0 && values.count.isMultiple(of: 2))
    return stride(from: 0, to: values.count, by: 2).map { index in
      #expect(values[index] & 7 == 0, "wire type 0")
      return Int(values[index] >> 3)
    }
  }

  @Test(
    "fields of later versions are ignored", arguments: [6, 15, 16, 999, 1_000, 1_999, 536_870_911])
  func unknownField(_ number: UInt64) throws {
    var bytes = HelloFrame.encode(Self.hello, grease: 0)
    // A field of bytes: "abc".
    for byte in Self.varint(number << 3 | 2) + [3, 0x61, 0x62, 0x63] { bytes.append(byte) }
    var decoded = try #require(HelloFrame.decode(bytes))
    decoded.unknownFields = .init()
    #expect(decoded == Self.hello)
  }

  private static func varint(_ value: UInt64) -> [UInt8] {
    value < 128
      ? [UInt8(value)] : [UInt8(truncatingIfNeeded: value & 127 | 128)] + varint(value >> 7)
  }

  @Test(
    "what is no HELLO is nil",
    arguments: [
      [0x0a], [0x0a, 0x05, 0x61], [0x00, 0x00], [0x0a, 0x02, 0xff, 0x00], [0x1a, 0x02, 0x08],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] as [[UInt8]])
  func malformed(_ bytes: [UInt8]) {
    #expect(HelloFrame.decode(bytes) == nil)
  }

  @Test("an empty one says nothing")
  func empty() {
    #expect(HelloFrame.decode([]) == Latchkey_Handshake_V1_Hello())
  }

  @Test("the bound on its size is inclusive")
  func bound() throws {
    func hello(bytes count: Int) throws -> [UInt8] {
      // A reason of 128 bytes or more has a head of three.
      let hello = Latchkey_Handshake_V1_Hello.with {
        $0.reason = String(repeating: "r", count: count - 3)
      }
      let bytes: [UInt8] = try hello.serializedBytes()
      try #require(bytes.count == count)
      return bytes
    }
    #expect(HelloFrame.decode(try hello(bytes: HelloFrame.bytesMax)) != nil)
    #expect(HelloFrame.decode(try hello(bytes: HelloFrame.bytesMax + 1)) == nil)
  }
}
