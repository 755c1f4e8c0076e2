import LockContent
import SwiftProtobuf
import TestKit
import Testing
import WireSchema

/// Eight times the body takes about eight times as long to read, lift and write again, whatever is
/// in it.
@Suite(.serialized) struct BodyGrowthTests {
  /// A quarter of the largest body, in bytes: a debug build takes its time.
  private static let sizeMax = 131_072

  struct Body: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var codec: Codec
    var method: V3.Method
    /// Of about so many bytes.
    var bytes: @Sendable (Int) -> [UInt8]

    static func json(
      _ description: String, _ method: V3.Method, _ text: @escaping @Sendable (Int) -> String
    ) -> Body {
      Body(testDescription: "json: \(description)", codec: .json, method: method) {
        Array(text($0).utf8)
      }
    }

    /// Both codecs.
    static func message<M: Message>(
      _ description: String, _ method: V3.Method, _ make: @escaping @Sendable (Int) -> M
    ) -> [Body] {
      Codec.allCases.map { codec in
        Body(testDescription: "\(codec): \(description)", codec: codec, method: method) {
          (try? codec.encode(make($0))) ?? []
        }
      }
    }
  }

  private static func members(_ count: Int) -> Attributes {
    Attributes(Dictionary(uniqueKeysWithValues: (0..<count).map { ("\($0)", .number(1)) }))
  }

  private static func labels(_ count: Int) -> [String: String] {
    Dictionary(uniqueKeysWithValues: (0..<count).map { ("\($0)", "t") })
  }

  static let bodies: [Body] =
    Body.message("one name of marks", .acquire) { size in
      V3.AcquireRequest.with {
        $0.attributes.fields[Marks.run(size / 16)] = 1
      }
    }
    + Body.message("a label of marks", .renew) { size in
      V3.RenewRequest.with { $0.labels = [Marks.run(size / 16): "t"] }
    }
    + Body.message("marks that a list looks for", .list) { size in
      V3.ListRequest.with { $0.labels = [Marks.run(size / 16): "t"] }
    }
    + Body.message("texts of marks", .acquire) { size in
      V3.AcquireRequest.with {
        $0.key = Marks.run(size / 10)
        $0.owner = Marks.run(size / 10)
        $0.value = Marks.run(size / 10)
      }
    }
    + Body.message("many attributes", .acquire) { size in
      V3.AcquireRequest.with { $0.attributes = members(size / 24).message }
    }
    + Body.message("many labels", .acquire) { size in
      V3.AcquireRequest.with { $0.labels = labels(size / 14) }
    }
    + Body.message("many renewals", .renewMany) { size in
      V3.RenewManyRequest.with {
        $0.renewals = .init(
          repeating: .with {
            $0.key = "some/key"
            $0.labels = ["a": "b"]
            $0.attributes = members(3).message
          }, count: size / 80)
      }
    }
    + Body.message("attributes that a list looks for", .list) { size in
      V3.ListRequest.with { $0.attributes = members(size / 24).message }
    }
    + [
      Body.json("escapes of marks in a name", .acquire) { size in
        "{\"attributes\":{\"" + String(repeating: "\\u0315\\u0316", count: size / 12) + "\":1}}"
      },
      Body.json("an unknown name of marks", .acquire) { "{\"\(Marks.run($0 / 2))\":1}" },
      Body.json("an enumeration of marks", .acquire) { "{\"kind\":\"\(Marks.run($0 / 2))\"}" },
      Body.json("a duration of marks", .acquire) { "{\"lease\":\"\(Marks.run($0 / 2))\"}" },
      Body.json("a duration of marks after labels", .renewMany) {
        "{\"renewals\":[{\"labels\":{},\"l\\u0065ase\" : \"\(Marks.run($0 / 2))\"}]}"
      },
      Body.json("unknown members", .acquire) { size in
        "{" + (0..<size / 10).map { "\"x\($0)\":1" }.joined(separator: ",") + "}"
      },
      Body.json("names of marks", .acquire) { size in
        let members = (0..<size / 100).map { "\"\($0)\(Marks.run(40))\":1" }
        return "{\"attributes\":{" + members.joined(separator: ",") + "}}"
      },
      Body.json("lists without an end", .acquire) {
        "{\"attributes\":{\"a\":" + String(repeating: "[", count: $0)
      },
      Body.json("unknown lists without an end", .acquire) {
        "{\"x\":" + String(repeating: "[", count: $0)
      },
      Body.json("quotes without an end", .acquire) {
        "{\"a\(Marks.run(31))" + String(repeating: "\\\"", count: $0 / 2)
      },
      Body.json("a long number", .acquire) {
        "{\"attributes\":{\"a\":" + String(repeating: "9", count: $0) + "}}"
      },
      Body.json("a long duration", .acquire) {
        "{\"lease\":\"" + String(repeating: "9", count: $0) + "s\"}"
      },
      Body.json("blanks", .acquire) {
        "{\"key\":" + String(repeating: " \n", count: $0 / 2) + "\"k\"}"
      },
    ] + protobuf

  /// A field of protobuf that has a length.
  private static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
    var (length, count) = ([UInt8](), bytes.count)
    while count > 127 {
      length.append(UInt8(count & 127) | 128)
      count >>= 7
    }
    return [number << 3 | 2] + length + [UInt8(count)] + bytes
  }

  /// What no encoder writes.
  private static let protobuf: [Body] = [
    Body(testDescription: "proto: attributes that come again", codec: .proto, method: .acquire) {
      let first = (try? Codec.proto.encode(members($0 / 40).message)) ?? []
      let small = (try? Codec.proto.encode((["a": 1] as Attributes).message)) ?? []
      return field(8, first)
        + Array((0..<$0 / 40).map { _ in field(8, small) }.joined())
    },
    Body(testDescription: "proto: a nested one that comes again", codec: .proto, method: .list) {
      let first = (try? Codec.proto.encode(members($0 / 40).message)) ?? []
      let small = (try? Codec.proto.encode((["a": 1] as Attributes).message)) ?? []
      let value = field(5, first) + Array((0..<$0 / 40).map { _ in field(5, small) }.joined())
      return field(5, field(1, field(1, [0x61]) + field(2, value)))
    },
    Body(testDescription: "proto: a lease that comes again", codec: .proto, method: .acquire) {
      Array((0..<$0 / 4).map { _ in field(5, [0x08, 0x01]) }.joined())
    },
    Body(testDescription: "proto: unknown fields", codec: .proto, method: .acquire) {
      Array((0..<$0 / 4).map { _ in field(15, [0x61, 0x62]) }.joined())
    },
    Body(testDescription: "proto: unknown fields of an entry", codec: .proto, method: .list) {
      field(5, field(1, Array((0..<$0 / 4).map { _ in field(15, [0x61, 0x62]) }.joined())))
    },
    Body(testDescription: "proto: one key that comes again", codec: .proto, method: .acquire) {
      Array((0..<$0 / 8).map { _ in field(1, [0x61, 0x62, 0x63, 0x64]) }.joined())
    },
    Body(testDescription: "proto: groups without an end", codec: .proto, method: .acquire) {
      [UInt8](repeating: 0x7b, count: $0)
    },
    Body(testDescription: "proto: values in values", codec: .proto, method: .acquire) { size in
      var value: [UInt8] = []
      // More would be too deep, so wide it is.
      for _ in 0..<16 { value = field(6, field(1, value)) }
      let values = (0..<size / (value.count + 4)).map { _ in field(1, value) }
      return field(8, field(1, field(2, field(6, Array(values.joined())))))
    },
  ]

  @Test(arguments: bodies) func ofReading(_ body: Body) {
    let ratio = Growth.ratio(size: Self.sizeMax, input: body.bytes) { bytes in
      try? V3.Request(body.method, bytes, body.codec)
    }
    #expect(ratio <= Growth.ratioMax)
  }

  /// What protobuf writes, JSON reads, and the other way round: the texts of both are the same.
  @Test(arguments: bodies.prefix(18)) func ofWriting(_ body: Body) throws {
    let ratio = Growth.ratio(
      size: Self.sizeMax, input: { try? V3.Request(body.method, body.bytes($0), body.codec) }
    ) { request in
      Codec.allCases.map { try? request?.encoded($0) }
    }
    #expect(ratio <= Growth.ratioMax)
  }

  /// Requests of older versions, from their bytes to the newest version.
  @Test(arguments: Codec.allCases) func ofOlderVersions(_ codec: Codec) {
    let ratios = [
      Growth.ratio(size: Self.sizeMax) { size in
        try? codec.encode(Latchkey_V1_LockRequest.with { $0.resource.value = Marks.run(size / 3) })
      } work: {
        try? V1.liftToNewest(V1.Request(.lock, $0 ?? [], codec))
      },
      Growth.ratio(size: Self.sizeMax) { size in
        try? codec.encode(Latchkey_V2_AcquireRequest.with { $0.value = Marks.run(size / 3) })
      } work: {
        try? V2.liftToNewest(V2.Request(.acquire, $0 ?? [], codec))
      },
    ]
    for ratio in ratios { #expect(ratio <= Growth.ratioMax) }
  }

  /// Answers with values that are the text of attributes, or look like it.
  @Test(arguments: Codec.allCases) func ofAnswers(_ codec: Codec) {
    for value in [
      { (size: Int) in "{\"\(Marks.run(size / 2))\":1}" },
      { (size: Int) in Self.members(size / 10).json },
    ] as [(Int) -> String] {
      let ratio = Growth.ratio(size: 65_536) { size in
        V3.Response.get(.with { $0.resource.value = value(size) })
      } work: { response in
        let bytes = (try? response.encoded(codec)) ?? []
        return try? V3.Response(.get, bytes, codec)
      }
      #expect(ratio <= Growth.ratioMax)
    }
  }

  /// What the handshake, errors and headers bring.
  @Test func ofTheRest() {
    let ratios = [
      Growth.ratio(size: HelloFrame.bytesMax) { size in
        HelloFrame.encode(.with { $0.software = Marks.run(size / 2 - 8) }, grease: 0)
      } work: {
        HelloFrame.decode($0)
      },
      Growth.ratio(size: 65_536, input: { Marks.run($0 / 2) }) {
        WireError(.aborted, message: $0)
      },
      Growth.ratio(size: 65_536, input: { Marks.run($0 / 2) }) { WireRange(headerValue: $0) },
      Growth.ratio(size: 65_536, input: { Marks.run($0 / 2) }) { Codec(contentType: $0) },
    ]
    for ratio in ratios { #expect(ratio <= Growth.ratioMax) }
  }
}
