import HTTP2
import LatchkeyClient
import RPC
import WireSchema

/// Wire versions that there are not yet: v1 under another number.
protocol FakeDialect: WireDialect {}

extension FakeDialect {
  static func encode(_ call: LockCall) throws(LatchkeyError) -> EncodedCall {
    var encoded = try V1Dialect.encode(call)
    encoded.path = encoded.path.replacing("/latchkey.v1.", with: "/latchkey.v\(number).")
    return encoded
  }

  static func decode(_ body: [UInt8], of call: LockCall) throws(LatchkeyError) -> LockAnswer {
    try V1Dialect.decode(body, of: call)
  }
}

enum V2Dialect: FakeDialect { static let number: UInt32 = 2 }
enum V3Dialect: FakeDialect { static let number: UInt32 = 3 }

extension WireRange {
  init(_ oldest: UInt32, _ newest: UInt32) { self.init(oldest: oldest, newest: newest)! }

  var offer: HandshakeOffer { HandshakeOffer(settingsValue: settingsValue, hello: []) }

  /// What a server of this range answers to any request that is not within it.
  var refusal: RPCError {
    RPCError(
      .unimplemented, "not spoken here",
      details: [.init(type: Self.detailType, value: try! message.serializedBytes())])
  }

  /// A server of this range: answers with nothing in what it speaks, and with its range in the rest.
  func answer(_ request: FakeRequest, header: Bool = true) -> FakeAnswer {
    let fields = header ? ["\(Self.headerName)": headerValue] : [:]
    guard let version = request.version, contains(version) else {
      return .error(refusal, fields: fields)
    }
    return .reply(fields: fields)
  }
}

extension FakeRequest {
  var version: UInt32? { WireVersions.version(inPath: path).flatMap { UInt32($0) } }
}
