package import SwiftProtobuf

/// A wire version: its calls as messages, and how they are seen in the newest version and back.
///
/// Servers lift requests and project answers; clients that are newer than their server lower requests
/// and raise answers. All of it is pure.
package protocol WireVersion: Sendable {
  static var number: UInt32 { get }
  /// What the details of its errors may be.
  static var detailTypes: [any Message.Type] { get }
  /// Whether a request to acquire can stay open until the resource is free.
  static var canWait: Bool { get }
  /// The version that came after; the newest one has itself.
  associatedtype Next: WireVersion
  associatedtype Method: WireMethod
  associatedtype Request: WireRequest where Request.Method == Method
  associatedtype Response: WireResponse where Response.Method == Method

  // MARK: Of an older peer

  /// - Throws: What is wrong with the request, in the words of this version.
  static func liftToNewest(_ request: Request) throws(WireError) -> NewestWire.Request
  /// - Throws: What of the answer this version cannot say.
  static func projectFromNewest(_ response: NewestWire.Response) throws(WireError) -> Response
  static func projectFromNewest(_ error: WireError) -> WireError

  // MARK: For an older peer

  /// - Throws: What this version cannot carry; nothing is dropped in silence.
  static func lowerFromNewest(_ request: NewestWire.Request) throws(Inexpressible) -> Request
  static func raiseToNewest(
    _ response: Response, of request: NewestWire.Request
  ) throws(Inexpressible) -> NewestWire.Response
  static func raiseToNewest(_ error: WireError) -> WireError
}

extension WireVersion {
  package static var isNewest: Bool { number == NewestWire.number }

  package static var canWait: Bool { true }

  /// The service as it stands in a path.
  package static var service: String { "latchkey.v\(number).Locks" }

  /// The service's methods, in the order of the specification.
  package static var methods: [String] { Method.allCases.map(\.rawValue) }

  package static func path(of method: Method) -> String { "/\(service)/\(method.rawValue)" }
}

package protocol WireMethod: RawRepresentable, CaseIterable, Sendable where RawValue == String {}

/// The message of one of a version's calls.
package protocol WireRequest: Sendable, Equatable {
  associatedtype Method: WireMethod
  init(_ method: Method, _ body: [UInt8], _ codec: Codec) throws(WireError)
  var method: Method { get }
  func encoded(_ codec: Codec) throws(WireError) -> [UInt8]
}

/// The message that answers one of a version's calls.
package protocol WireResponse: Sendable, Equatable {
  associatedtype Method: WireMethod
  init(_ method: Method, _ body: [UInt8], _ codec: Codec) throws(WireError)
  func encoded(_ codec: Codec) throws(WireError) -> [UInt8]
}

/// A version that has a successor. Its lens to that one is all that is ever written about it again;
/// the way to the newest version goes from neighbour to neighbour.
package protocol OlderWireVersion: WireVersion {
  static func lift(_ request: Request) throws(WireError) -> Next.Request
  static func project(_ response: Next.Response) throws(WireError) -> Response
  static func project(_ error: WireError) -> WireError
  static func lower(_ request: Next.Request) throws(Inexpressible) -> Request
  static func raise(
    _ response: Response, of request: Next.Request
  ) throws(Inexpressible) -> Next.Response
  static func raise(_ error: WireError) -> WireError
}

extension OlderWireVersion {
  package static func liftToNewest(_ request: Request) throws(WireError) -> NewestWire.Request {
    try Next.liftToNewest(try lift(request))
  }
  package static func projectFromNewest(
    _ response: NewestWire.Response
  ) throws(WireError) -> Response {
    try project(try Next.projectFromNewest(response))
  }
  package static func projectFromNewest(_ error: WireError) -> WireError {
    project(Next.projectFromNewest(error))
  }
  package static func lowerFromNewest(
    _ request: NewestWire.Request
  ) throws(Inexpressible) -> Request {
    try lower(try Next.lowerFromNewest(request))
  }
  package static func raiseToNewest(
    _ response: Response, of request: NewestWire.Request
  ) throws(Inexpressible) -> NewestWire.Response {
    let raised = try raise(response, of: try Next.lowerFromNewest(request))
    return try Next.raiseToNewest(raised, of: request)
  }
  package static func raiseToNewest(_ error: WireError) -> WireError {
    Next.raiseToNewest(raise(error))
  }
}
