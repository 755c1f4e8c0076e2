import SwiftProtobuf
import Testing
import WireSchema

@Suite("Codecs")
struct CodecTests {
  @Test(
    "content types that are understood",
    arguments: [
      ("application/json", .json), ("application/proto", .proto), ("Application/JSON", .json),
      ("application/json; charset=utf-8", .json), ("application/json;charset=utf-8", .json),
      ("application/proto ; x=1", .proto), (" application/proto", .proto),
    ] as [(String, Codec)])
  func understood(_ contentType: String, _ codec: Codec) {
    #expect(Codec(contentType: contentType) == codec)
  }

  @Test(
    "content types that are not",
    arguments: [
      "", ";", "json", "application/", "application/jsonx", "application/x-protobuf",
      "application/grpc", "application/connect+json", "text/json", "application/json, a/b",
    ])
  func notUnderstood(_ contentType: String) {
    #expect(Codec(contentType: contentType) == nil)
  }

  private static let request = Latchkey_V1_LockRequest.with {
    $0.resource.key = "k/é"
    $0.resource.owner = "o"
    $0.resource.typeCode = .lock
    $0.ttlInSeconds = 15
  }

  @Test("a message comes back from its bytes", arguments: Codec.allCases)
  func roundTrip(_ codec: Codec) throws {
    let bytes = try codec.encode(Self.request)
    #expect(try codec.decode(Latchkey_V1_LockRequest.self, from: bytes) == Self.request)
  }

  @Test("each codec writes what the wire says")
  func bytes() throws {
    #expect(
      try Codec.json.encode(Self.request)
        == Array(
          #"{"resource":{"key":"k/é","owner":"o","typeCode":"LOCK"},"ttlInSeconds":"15"}"#.utf8))
    #expect(
      try Codec.proto.encode(Self.request)
        == [
          0x0a, 0x0b, 0x0a, 0x04, 0x6b, 0x2f, 0xc3, 0xa9, 0x12, 0x01, 0x6f, 0x28, 0x01, 0x10, 0x0f,
        ])
  }

  @Test("unknown fields are ignored, whoever sent them may be newer")
  func unknownFields() throws {
    let json = Array(#"{"later":{"a":[1,null]},"key":"k","soon":"x"}"#.utf8)
    #expect(try Codec.json.decode(Latchkey_V1_FetchRequest.self, from: json).key == "k")
    let proto: [UInt8] = [0xf8, 0x3f, 0x01, 0x0a, 0x01, 0x6b, 0xfa, 0x3f, 0x01, 0x61]
    #expect(try Codec.proto.decode(Latchkey_V1_FetchRequest.self, from: proto).key == "k")
  }

  /// Every plane has another high surrogate.
  @Test("characters beyond the first 65,536 are the same as escapes")
  func surrogatePairs() throws {
    for plane in 1...16 as ClosedRange<UInt32> {
      for low in [0, 1, 0x3FF, 0x400, 0xFFFF] as [UInt32] {
        let scalar = try #require(Unicode.Scalar(plane << 16 | low))
        let units = Array(String(scalar).utf16).map { String($0, radix: 16) }
        let json = Array("{\"key\":\"\\\\\\u\(units[0])\\u\(units[1].uppercased())\\\\u\"}".utf8)
        let message = try Codec.json.decode(Latchkey_V1_FetchRequest.self, from: json)
        #expect(message.key == "\\\(scalar)\\u")
      }
    }
  }

  @Test(
    "what is no message is the peer's fault",
    arguments: [
      (.json, ""), (.json, "{"), (.json, "[]"), (.json, "{\"key\":1}"),
      (.json, "{\"key\":\"\\ud840\"}"),
      (.json, "{\"key\":\"\\ud840\\u0041\"}"), (.json, "{\"key\":\"\\udc00\\ud840\"}"),
      (.json, "{\"key\":\"\\"), (.json, "{\"key\":\"\\ud8"), (.json, "{}x"),
      (.proto, "\n\u{5}k"), (.proto, "\u{0}\u{0}"),
    ] as [(Codec, String)])
  func malformed(_ codec: Codec, _ text: String) {
    let error = #expect(throws: WireError.self) {
      try codec.decode(Latchkey_V1_FetchRequest.self, from: Array(text.utf8))
    }
    #expect(error?.code == .invalidArgument)
    #expect(error?.word == "invalid-message")
    let beginning = "the body is no \(codec.contentType) of latchkey.v1.FetchRequest"
    #expect(error?.explanation.hasPrefix(beginning) == true)
  }

  @Test("text that is not UTF-8 is refused", arguments: Codec.allCases)
  func notUTF8(_ codec: Codec) {
    let body: [UInt8] =
      codec == .proto ? [0x0a, 0x01, 0xff] : Array("{\"key\":\"".utf8) + [0xff] + Array("\"}".utf8)
    let error = #expect(throws: WireError.self) {
      try codec.decode(Latchkey_V1_FetchRequest.self, from: body)
    }
    #expect(error?.code == .invalidArgument)
  }

  /// A decoder that recurses without a bound would take the process with it.
  @Test("deep nesting is refused", arguments: ["[", "{\"a\":"])
  func deep(_ opening: String) {
    let text = "{\"later\":" + String(repeating: opening, count: 100_000)
    let error = #expect(throws: WireError.self) {
      try Codec.json.decode(Latchkey_V1_FetchRequest.self, from: Array(text.utf8))
    }
    #expect(error?.code == .invalidArgument)
  }
}
