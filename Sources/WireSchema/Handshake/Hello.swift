import SwiftProtobuf

/// The HELLO of the handshake, as bytes for the frame.
package enum HelloFrame {
  /// A HELLO that is larger is not read.
  package static let bytesMax = 4_096

  /// Field numbers that no version will ever use: greasing peers send some of them.
  package static let greaseFields: ClosedRange<Int> = 1_000...1_999

  /// Encodes `hello`.
  ///
  /// - Parameter grease: Random bits, of which some decide whether unknown fields are added, and
  ///   which. 0 adds none.
  package static func encode(_ hello: Latchkey_Handshake_V1_Hello, grease: UInt64) -> [UInt8] {
    // A message of strings and numbers always encodes.
    var bytes: [UInt8] = (try? hello.serializedBytes()) ?? []
    guard grease != 0 else { return bytes }
    var bits = grease
    for _ in 0..<(bits & 3) {
      bits = bits &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let field = greaseFields.lowerBound + Int((bits >> 33) % UInt64(greaseFields.count))
      appendVarint(UInt64(field) << 3, to: &bytes)  // wire type 0: a varint
      appendVarint(bits >> 40, to: &bytes)
    }
    return bytes
  }

  /// Nil where `bytes` are no HELLO. Unknown fields are ignored.
  package static func decode(_ bytes: [UInt8]) -> Latchkey_Handshake_V1_Hello? {
    guard bytes.count <= bytesMax else { return nil }
    return try? Latchkey_Handshake_V1_Hello(serializedBytes: bytes)
  }

  private static func appendVarint(_ value: UInt64, to bytes: inout [UInt8]) {
    var value = value
    while value > 127 {
      bytes.append(UInt8(value & 127) | 128)
      value >>= 7
    }
    bytes.append(UInt8(value))
  }
}
