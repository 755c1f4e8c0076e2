import HTTP
import LatchkeyClient
import SwiftProtobuf
import WireSchema

/// Wire versions that there are not yet: v1 under another number.
protocol FakeWire: OlderWireVersion
where Method == V1.Method, Request == V1.Request, Response == V1.Response, Next == V2 {}

extension FakeWire {
  static var detailTypes: [any Message.Type] { V1.detailTypes }
  static func lift(_ request: Request) throws(WireError) -> V2.Request { try V1.lift(request) }
  static func project(_ response: V2.Response) throws(WireError) -> Response {
    try V1.project(response)
  }
  static func project(_ error: WireError) -> WireError { V1.project(error) }
  static func lower(_ request: V2.Request) throws(Inexpressible) -> Request {
    try V1.lower(request)
  }
  static func raise(
    _ response: Response, of request: V2.Request
  ) throws(Inexpressible) -> V2.Response { try V1.raise(response, of: request) }
  static func raise(_ error: WireError) -> WireError { V1.raise(error) }
}

enum FakeV2: FakeWire { static let number: UInt32 = 2 }
enum FakeV3: FakeWire { static let number: UInt32 = 3 }

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

extension WireVersion {
  /// That of a peer that speaks nothing else.
  static var range: WireRange { WireRange(number, number) }
}
