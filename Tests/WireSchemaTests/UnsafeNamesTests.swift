import LockContent
import SwiftProtobuf
import TestKit
import Testing
import WireSchema

/// Names that would take long to look up never reach a dictionary; all else is read as it was.
@Suite struct UnsafeNamesTests {
  private static let long = "n" + Marks.run(31)
  private static let short = "n" + Marks.run(30)
  private static let several: Attributes = ["a": [["b": "c"]], long: ["d": 1]]

  /// A message with a name in each place where there is one.
  struct Place: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// The request whose body has `name` there.
    var body: @Sendable (_ name: String, Codec) throws -> [UInt8]
    /// The names that were read there.
    var names: @Sendable ([UInt8], Codec) throws -> [String]
  }

  private static func nested(_ name: String) -> Google_Protobuf_Struct {
    (["a": [["b": .nested([name: 1])]]] as Attributes).message
  }

  private static func names(_ attributes: Google_Protobuf_Struct) -> [String] {
    attributes.fields["a"]?.listValue.values.first?.structValue.fields["b"]?.structValue
      .fields.keys.map(\.self) ?? []
  }

  static let places: [Place] = [
    Place(testDescription: "attributes of a claim") { name, codec in
      try codec.encode(
        V3.AcquireRequest.with {
          $0.key = "k"
          $0.attributes = nested(name)
        })
    } names: { body, codec in
      guard case .acquire(let message) = try V3.Request(.acquire, body, codec) else { return [] }
      return names(message.attributes)
    },
    Place(testDescription: "labels of a claim") { name, codec in
      try codec.encode(V3.AcquireRequest.with { $0.labels = [name: "t"] })
    } names: { body, codec in
      guard case .acquire(let message) = try V3.Request(.acquire, body, codec) else { return [] }
      return message.labels.keys.map(\.self)
    },
    Place(testDescription: "attributes of a renewal") { name, codec in
      try codec.encode(V3.RenewRequest.with { $0.attributes = nested(name) })
    } names: { body, codec in
      guard case .renew(let message) = try V3.Request(.renew, body, codec) else { return [] }
      return names(message.attributes)
    },
    Place(testDescription: "labels of one of many renewals") { name, codec in
      try codec.encode(
        V3.RenewManyRequest.with {
          $0.renewals = [.with { $0.key = "k" }, .with { $0.labels = [name: "t"] }]
        })
    } names: { body, codec in
      guard case .renewMany(let message) = try V3.Request(.renewMany, body, codec) else {
        return []
      }
      return message.renewals[1].labels.keys.map(\.self)
    },
    Place(testDescription: "attributes that a list asks for") { name, codec in
      try codec.encode(V3.ListRequest.with { $0.attributes = nested(name) })
    } names: { body, codec in
      guard case .list(let message) = try V3.Request(.list, body, codec) else { return [] }
      return names(message.attributes)
    },
    Place(testDescription: "labels that a list asks for") { name, codec in
      try codec.encode(V3.ListRequest.with { $0.labels = [name: "t"] })
    } names: { body, codec in
      guard case .list(let message) = try V3.Request(.list, body, codec) else { return [] }
      return message.labels.keys.map(\.self)
    },
    Place(testDescription: "attributes of what a client gets") { name, codec in
      try codec.encode(V3.GetResponse.with { $0.resource.attributes = nested(name) })
    } names: { body, codec in
      guard case .get(let message) = try V3.Response(.get, body, codec) else { return [] }
      return names(message.resource.attributes)
    },
    Place(testDescription: "labels of what a client lists") { name, codec in
      try codec.encode(
        V3.ListResponse.with { $0.resources = [.init(), .with { $0.labels = [name: "t"] }] })
    } names: { body, codec in
      guard case .list(let message) = try V3.Response(.list, body, codec) else { return [] }
      return message.resources[1].labels.keys.map(\.self)
    },
  ]

  @Test("a name is taken out before it is read", arguments: places, Codec.allCases)
  func takenOut(_ place: Place, _ codec: Codec) throws {
    let names = try place.names(place.body(Self.long, codec), codec)
    #expect(names.count == 1)
    // Neither attributes nor labels may have a name with a NUL.
    #expect(names.first?.utf8.contains(0) == true)
    let kept = try place.names(place.body(Self.short, codec), codec)
    #expect(kept.first?.isSameText(as: Self.short) == true)
  }

  @Test("escapes in JSON are seen through")
  func escapes() throws {
    let name = #"n\n\"\\"# + String(repeating: #"\u0315\u0316"#, count: 20)
    let body = Array("{\"labels\" : { \"a\":\"\", \"\(name)\" \n:\"t\"},\"key\":\"é\"}".utf8)
    guard case .acquire(let message) = try V3.Request(.acquire, body, .json) else { return }
    #expect(message.key == "é" && message.labels["a"] == "")
    #expect(message.labels.keys.filter { $0.utf8.contains(0) }.count == 1)
  }

  @Test("two of them are still two", arguments: Codec.allCases)
  func two(_ codec: Codec) throws {
    let names = [Self.long, Self.long + "x", "m" + Marks.run(31)]
    let body = try codec.encode(
      V3.ListRequest.with { request in
        for name in names { request.labels[name] = "t" }
        request.keyPrefix = "p"
      })
    guard case .list(let message) = try V3.Request(.list, body, codec) else { return }
    #expect(message.keyPrefix == "p")
    #expect(message.labels.keys.allSatisfy { $0.utf8.contains(0) })
  }

  @Test("texts with as many marks are read as they are", arguments: Codec.allCases)
  func texts(_ codec: Codec) throws {
    let message = V3.AcquireRequest.with {
      $0.key = Self.long
      $0.owner = Self.long
      $0.labels = ["a": Self.long]
      $0.attributes = ["b": .init(stringValue: Self.long)]
    }
    guard case .acquire(let read) = try V3.Request(.acquire, codec.encode(message), codec) else {
      return
    }
    #expect(read.key.isSameText(as: Self.long) && read.owner.isSameText(as: Self.long))
    #expect(read.labels["a"]?.isSameText(as: Self.long) == true)
    #expect(read.attributes.fields["b"]?.stringValue.isSameText(as: Self.long) == true)
  }

  @Test("lengths of time are taken out as well, and nothing else that looks like them")
  func times() throws {
    let text =
      "{\"attributes\":{\"lease\":\"\(Self.long)\",\"labels\":[{\"wait\":\"\(Self.long)\"}]}"
    let labels = "\"labels\":{\"wait\":\"\(Self.long)\"}"
    guard
      case .acquire(let message) = try V3.Request(
        .acquire, Array("\(text),\(labels),\"lease\":\"1.5s\"}".utf8), .json)
    else { return }
    #expect(message.attributes.fields["lease"]?.stringValue.isSameText(as: Self.long) == true)
    let nested = message.attributes.fields["labels"]?.listValue.values.first?.structValue
    #expect(nested?.fields["wait"]?.stringValue.isSameText(as: Self.long) == true)
    #expect(message.labels["wait"]?.isSameText(as: Self.long) == true)
    #expect(message.lease.nanos == 500_000_000)
    for lease in [#""lease""#, #""le\u0061se""#] {
      #expect {
        try V3.Request(.acquire, Array("\(text),\(labels),\(lease):\"\(Self.long)\"}".utf8), .json)
      } throws: {
        // Its text is not shown, which would have the marks in it.
        ($0 as? WireError)?.word == "invalid-message"
      }
    }
  }

  // MARK: - Bytes of protobuf

  /// Field 8 of a claim: attributes with one entry of that name.
  private static func attributes(_ name: String) throws -> [UInt8] {
    try Codec.proto.encode(V3.AcquireRequest.with { $0.attributes = [name: 1] })
  }

  @Test("a message that comes often is not merged without end")
  func merges() throws {
    func claim(_ times: Int) throws -> V3.Request {
      try V3.Request(
        .acquire, Array((0..<times).map { try Self.attributes("a\($0)") }.joined()), .proto)
    }
    guard case .acquire(let message) = try claim(8) else { return }
    #expect(message.attributes.fields.count == 8)
    #expect {
      try claim(9)
    } throws: {
      ($0 as? WireError)?.word == "invalid-message"
    }
  }

  @Test(
    "unknown fields of every type are passed over",
    arguments: [
      [0xf8, 0x3f, 0x96, 0x01], [0xf9, 0x3f, 1, 2, 3, 4, 5, 6, 7, 8], [0xfa, 0x3f, 2, 0x61, 0x62],
      [0xfd, 0x3f, 1, 2, 3, 4], [0xfb, 0x3f, 0x08, 0x01, 0x13, 0x14, 0xfc, 0x3f],
      // A known field of another type than it should have.
      [0x40, 0x01],
    ] as [[UInt8]])
  func unknown(_ field: [UInt8]) throws {
    let body = field + (try Self.attributes(Self.long)) + field
    guard case .acquire(let message) = try V3.Request(.acquire, body, .proto) else { return }
    #expect(message.attributes.fields.keys.first?.utf8.contains(0) == true)
  }

  @Test("what is not protobuf is an invalid message, wherever it is cut off")
  func cutOff() throws {
    let body = try Codec.proto.encode(
      V3.RenewManyRequest.with {
        $0.renewals = [.with { $0.attributes = Self.several.message }]
      })
    for length in 1..<body.count {
      #expect {
        try V3.Request(.renewMany, Array(body[..<length]), .proto)
      } throws: {
        ($0 as? WireError)?.word == "invalid-message"
      }
    }
  }

  @Test("noise is read, or is an invalid message", arguments: 0..<20 as Range<UInt64>)
  func noise(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let whole = try Codec.proto.encode(
      V3.AcquireRequest.with {
        $0.attributes = Self.several.message
        $0.labels = [Self.long: "x", "y": "z"]
      })
    for _ in 0..<500 {
      var body = whole
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        body[Int.random(in: 0..<body.count, using: &random)] = UInt8.random(
          in: .min ... .max, using: &random)
      }
      do throws(WireError) {
        guard case .acquire(let message) = try V3.Request(.acquire, body, .proto) else { continue }
        let names = Array(message.attributes.fields.keys) + Array(message.labels.keys)
        #expect(names.allSatisfy { $0.isStreamSafe })
      } catch {
        #expect(error.word == "invalid-message")
      }
    }
  }
}
