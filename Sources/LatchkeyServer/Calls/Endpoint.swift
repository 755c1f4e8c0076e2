import RPC
import WireSchema

/// A method of one wire version: how its requests come to the service, which speaks the newest version
/// only, and how the answers go back.
///
/// read, lift → ``Locks`` → project, write
final class Endpoint: Sendable {
  let path: String
  let method: String
  let version: UInt32
  /// Reads a request and lifts it to the newest version.
  let read: @Sendable ([UInt8], Codec) throws(WireError) -> NewestWire.Request
  /// Projects an answer to this version and writes it.
  let write: @Sendable (NewestWire.Response, Codec) throws(WireError) -> [UInt8]
  /// What an error is in this version.
  private let project: @Sendable (WireError) -> WireError

  /// Every method of every version.
  static let all = endpoints(from: OldestWire.self)

  /// From version to version by their types, so that what is done with each request is compiled for its
  /// version: calls through witness tables took a tenth of the throughput.
  private static func endpoints<Version: WireVersion>(from _: Version.Type) -> [Endpoint] {
    let own = Version.Method.allCases.map { Endpoint(of: Version.self, $0) }
    return Version.isNewest ? own : own + endpoints(from: Version.Next.self)
  }

  private init<Version: WireVersion>(of _: Version.Type, _ method: Version.Method) {
    path = Version.path(of: method)
    self.method = method.rawValue
    version = Version.number
    read = { (body, codec) throws(WireError) in
      try Version.liftToNewest(Version.Request(method, body, codec))
    }
    write = { (response, codec) throws(WireError) in
      try Version.projectFromNewest(response).encoded(codec)
    }
    project = { Version.projectFromNewest($0) }
  }

  /// An error of the service as a peer of this version is to see it.
  func refusal(_ error: WireError) -> RPCError { RPCError(project(error)) }
}
