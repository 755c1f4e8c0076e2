import RPC
import SwiftProtobuf
import WireSchema

/// Wire v1: the four calls of Protocol/latchkey/v1/locks.proto.
package enum V1Dialect: WireDialect {
  package static let number: UInt32 = 1

  package static func encode(_ call: LockCall) throws(LatchkeyError) -> EncodedCall {
    switch call {
    case .claim(let resource, let leaseSeconds):
      let request = Latchkey_V1_LockRequest.with {
        $0.resource = message(resource)
        $0.ttlInSeconds = leaseSeconds
      }
      return try encode(request, method: "Lock")
    case .release(let key, let owner):
      let request = Latchkey_V1_ReleaseRequest.with {
        $0.resource.key = key
        $0.resource.owner = owner
      }
      return try encode(request, method: "Release")
    case .fetch(let key):
      return try encode(Latchkey_V1_FetchRequest.with { $0.key = key }, method: "Fetch")
    case .fetchAll(let kind):
      let request = Latchkey_V1_FetchAllRequest.with {
        $0.type = kind.rawValue
        $0.typeCode = typeCode(kind)
      }
      return try encode(request, method: "FetchAll")
    }
  }

  package static func decode(
    _ body: [UInt8], of call: LockCall
  ) throws(LatchkeyError) -> LockAnswer {
    switch call {
    // These answers are empty, and whatever a later server adds to them is not for us.
    case .claim:
      _ = try decode(Latchkey_V1_LockResponse.self, from: body)
      return .done
    case .release:
      _ = try decode(Latchkey_V1_ReleaseResponse.self, from: body)
      return .done
    case .fetch:
      let response = try decode(Latchkey_V1_FetchResponse.self, from: body)
      return .resources(try [resource(response.resource)])
    case .fetchAll:
      var resources: [Resource] = []
      for message in try decode(Latchkey_V1_FetchAllResponse.self, from: body).resources {
        resources.append(try resource(message))
      }
      return .resources(resources)
    }
  }

  private static func encode(
    _ message: some Message, method: String
  ) throws(LatchkeyError) -> EncodedCall {
    do {
      return EncodedCall(
        path: "/latchkey.v1.Locks/\(method)", body: try Codec.proto.encode(message))
    } catch {
      throw LatchkeyError(.invalidRequest, "the request cannot be encoded", cause: error)
    }
  }

  private static func decode<M: Message>(
    _ type: M.Type, from body: [UInt8]
  ) throws(LatchkeyError) -> M {
    do {
      return try Codec.proto.decode(type, from: body)
    } catch {
      throw LatchkeyError(.unknown, "the answer is no \(M.protoMessageName)", cause: error)
    }
  }

  private static func message(_ resource: Resource) -> Latchkey_V1_Resource {
    .with {
      $0.key = resource.key
      $0.owner = resource.owner
      $0.value = resource.value
      $0.type = resource.kind.rawValue
      $0.typeCode = typeCode(resource.kind)
    }
  }

  private static func resource(
    _ message: Latchkey_V1_Resource
  ) throws(LatchkeyError) -> Resource {
    let kind: ResourceKind? =
      switch message.typeCode {
      case .lock: .lock
      case .presence: .presence
      default: ResourceKind(rawValue: message.type)
      }
    guard let kind else {
      throw LatchkeyError(
        .unknown, "the answer has a resource of unknown type \"\(message.type)\"")
    }
    return Resource(key: message.key, kind: kind, owner: message.owner, value: message.value)
  }

  private static func typeCode(_ kind: ResourceKind) -> Latchkey_V1_TypeCode {
    switch kind {
    case .lock: .lock
    case .presence: .presence
    }
  }
}
