import LatchkeyClient
import RPC
import Synchronization
import SwiftProtobuf
import WireSchema

typealias SwiftProtobufMessage = SwiftProtobuf.Message

/// The rules of wire v1 without leases that end: what a script answers with.
final class FakeLocks: Sendable {
  private let held = Mutex<[String: Latchkey_V1_Resource]>([:])

  /// Who holds the key.
  func owner(of key: String) -> String? { held.withLock { $0[key]?.owner } }
  func kind(of key: String) -> Latchkey_V1_TypeCode? { held.withLock { $0[key]?.typeCode } }

  /// Gives the key to `owner`, whoever has it; to nobody where it is nil.
  func give(_ key: String, to owner: String?) {
    held.withLock { held in
      held[key] = owner.map { owner in
        .with {
          $0.key = key
          $0.owner = owner
          $0.typeCode = .lock
        }
      }
    }
  }

  static let collision = RPCError(.alreadyExists, "lock-collision")

  func answer(_ request: FakeRequest) -> FakeAnswer {
    held.withLock { held in
      switch request.method {
      case "Lock":
        let resource = request.claim!.resource
        if let now = held[resource.key], now.owner != resource.owner {
          return .error(Self.collision)
        }
        held[resource.key] = resource
        return .reply()
      case "Release":
        let resource = request.release!.resource
        if let now = held[resource.key], now.owner != resource.owner {
          return .error(Self.collision)
        }
        held[resource.key] = nil
        return .reply()
      case "Fetch":
        guard let resource = held[request.fetch!.key] else {
          return .error(RPCError(.notFound, "resource-not-found"))
        }
        let response = Latchkey_V1_FetchResponse.with { $0.resource = resource }
        return .reply(body: try! response.serializedBytes())
      case "FetchAll":
        let response = Latchkey_V1_FetchAllResponse.with {
          $0.resources = held.values.sorted { $0.key < $1.key }
        }
        return .reply(body: try! response.serializedBytes())
      default:
        return .error(RPCError(.unimplemented, "no such call: \(request.path)"))
      }
    }
  }
}
