import SwiftProtobuf

/// The lens between wire v1 and v2.
///
/// | v1 | v2 |
/// |---|---|
/// | `Lock` | `Acquire` without a wait; the grant that it answers with is not shown |
/// | `Release` by owner | `Release` by owner |
/// | `Fetch` | `Get`; token, revision and lease are not shown |
/// | `FetchAll` | `List` in one page |
///
/// v1 has its checks in an order of its own, type and lease first, and v2 goes on in the same order, so
/// only these two are made here. What v1 cannot carry: tokens, renewals by token, lists of every kind.
/// A wait is only the most that a client wants to wait, so a server that does not wait at all is one.
extension V1: OlderWireVersion {
  package typealias Next = V2
  package static let canWait = false

  // MARK: - Of a peer that speaks v1

  package static func lift(_ request: Request) throws(WireError) -> V2.Request {
    switch request {
    case .lock(let message):
      let resource = message.resource
      let kind: Latchkey_V2_Kind
      do {
        kind = try Self.kind(code: resource.typeCode, name: resource.type)
      } catch {
        throw message.hasResource ? error : missingResource
      }
      guard message.ttlInSeconds > 0 else { throw WireError(.invalidArgument, "invalid-ttl") }
      guard message.ttlInSeconds <= leaseSecondsMax else {
        throw WireError(
          .invalidArgument, "invalid-ttl", "a lease is at most \(leaseSecondsMax) seconds")
      }
      var lifted = Latchkey_V2_AcquireRequest()
      lifted.key = resource.key
      lifted.kind = kind
      lifted.owner = resource.owner
      lifted.value = resource.value
      lifted.lease = Google_Protobuf_Duration(seconds: message.ttlInSeconds)
      return .acquire(lifted)
    case .release(let message):
      guard message.hasResource else { throw missingResource }
      guard !message.resource.owner.isEmpty else {
        throw WireError(.invalidArgument, "invalid-owner")
      }
      var lifted = Latchkey_V2_ReleaseRequest()
      lifted.key = message.resource.key
      lifted.owner = message.resource.owner
      return .release(lifted)
    case .fetch(let message):
      return .get(.with { $0.key = message.key })
    case .fetchAll(let message):
      let kind = try kind(code: message.typeCode, name: message.type)
      return .list(
        .with {
          $0.kind = kind
          $0.pageSize = .max
        })
    }
  }

  package static func project(_ response: V2.Response) throws(WireError) -> Response {
    switch response {
    case .acquire: return .lock(Latchkey_V1_LockResponse())
    case .release: return .release(Latchkey_V1_ReleaseResponse())
    case .get(let message):
      return .fetch(.with { $0.resource = resource(message.resource) })
    case .list(let message):
      guard !message.more else {
        throw WireError(.resourceExhausted, "the list is longer than \(listBytesMax) bytes")
      }
      return .fetchAll(.with { $0.resources = message.resources.map(resource) })
    case .renew, .renewMany: preconditionFailure("no call of v1 is lifted to a renewal by token")
    }
  }

  package static func project(_ error: WireError) -> WireError {
    switch error.word {
    case "held-by-another", "not-the-holder": WireError(.alreadyExists, "lock-collision")
    case "not-held": WireError(.notFound, "resource-not-found")
    default: WireError(error.code, error.word, error.explanation)
    }
  }

  private static let leaseSecondsMax: Int64 = 31_536_000
  private static let listBytesMax = 67_108_864

  private static let missingResource = WireError(
    .invalidArgument, "invalid-resource", "the request carries no resource")

  private static func kind(
    code: Latchkey_V1_TypeCode, name: String
  ) throws(WireError) -> Latchkey_V2_Kind {
    let named = named(name)
    let coded: Latchkey_V2_Kind? =
      switch code {
      case .lock: .lock
      case .presence: .presence
      case .unknown, .UNRECOGNIZED: nil
      }
    let kind = code == .unknown ? named : coded
    guard let kind, name.isEmpty || named == kind else {
      throw WireError(.notFound, "invalid-type")
    }
    return kind
  }

  private static func named(_ name: String) -> Latchkey_V2_Kind? {
    switch name {
    case "lock": .lock
    case "presence": .presence
    default: nil
    }
  }

  private static func resource(_ newer: Latchkey_V2_Resource) -> Latchkey_V1_Resource {
    .with {
      $0.key = newer.key
      $0.owner = newer.owner
      $0.value = newer.value
      ($0.type, $0.typeCode) = type(newer.kind)
    }
  }

  private static func type(_ kind: Latchkey_V2_Kind) -> (String, Latchkey_V1_TypeCode) {
    kind == .presence ? ("presence", .presence) : ("lock", .lock)
  }

  // MARK: - For a peer that speaks v1

  package static func lower(_ request: V2.Request) throws(Inexpressible) -> Request {
    switch request {
    case .acquire(let message):
      try expressible(message.kind)
      return .lock(
        .with {
          $0.resource = .with {
            $0.key = message.key
            $0.owner = message.owner
            $0.value = message.value
            ($0.type, $0.typeCode) = type(message.kind)
          }
          $0.ttlInSeconds = seconds(message.lease)
        })
    case .release(let message):
      guard message.token == 0 else { throw Inexpressible("release by token", needs: 2) }
      return .release(
        .with {
          $0.resource.key = message.key
          $0.resource.owner = message.owner
        })
    case .get(let message): return .fetch(.with { $0.key = message.key })
    case .list(let message):
      guard message.kind != .unspecified else {
        throw Inexpressible("list of every kind", needs: 2)
      }
      try expressible(message.kind)
      return .fetchAll(.with { ($0.type, $0.typeCode) = type(message.kind) })
    case .renew: throw Inexpressible("renewal by token", needs: 2)
    case .renewMany: throw Inexpressible("renewal of several locks at once", needs: 2)
    }
  }

  package static func raise(
    _ response: Response, of request: V2.Request
  ) throws(Inexpressible) -> V2.Response {
    switch (response, request) {
    case (.lock, .acquire(let request)):
      return .acquire(
        .with {
          $0.grant = .with {
            $0.key = request.key
            $0.owner = request.owner
            $0.lease = Google_Protobuf_Duration(seconds: seconds(request.lease))
          }
        })
    case (.release, _): return .release(Latchkey_V2_ReleaseResponse())
    case (.fetch(let message), _):
      return .get(.with { $0.resource = raised(message.resource) })
    case (.fetchAll(let message), .list(let request)):
      return .list(page(of: message.resources.map(raised), request))
    default: preconditionFailure("the answer \(response) belongs to another call")
    }
  }

  package static func raise(_ error: WireError) -> WireError {
    switch error.word {
    case "lock-collision": WireError(.alreadyExists, "held-by-another")
    case "resource-not-found": WireError(.notFound, "not-held")
    case "invalid-type": WireError(.invalidArgument, "invalid-kind", error.explanation)
    case "invalid-ttl": WireError(.invalidArgument, "invalid-lease", error.explanation)
    default: error
    }
  }

  private static func expressible(_ kind: Latchkey_V2_Kind) throws(Inexpressible) {
    if case .UNRECOGNIZED(let number) = kind { throw Inexpressible("kind \(number)", needs: 2) }
  }

  /// v1 counts in whole seconds. A lease may be longer than was asked for, never shorter.
  private static func seconds(_ lease: Google_Protobuf_Duration) -> Int64 {
    lease.seconds + (lease.nanos > 0 ? 1 : 0)
  }

  private static func raised(_ older: Latchkey_V1_Resource) -> Latchkey_V2_Resource {
    .with {
      $0.key = older.key
      $0.kind = (try? kind(code: older.typeCode, name: "")) ?? named(older.type) ?? .unspecified
      $0.owner = older.owner
      $0.value = older.value
    }
  }

  /// v1 lists everything of a kind.
  private static func page(
    of all: [Latchkey_V2_Resource], _ request: Latchkey_V2_ListRequest
  ) -> Latchkey_V2_ListResponse {
    let after = request.afterKey.utf8
    let wanted = all.filter {
      $0.key.utf8.starts(with: request.keyPrefix.utf8)
        && (after.isEmpty || after.lexicographicallyPrecedes($0.key.utf8))
    }
    let size = request.pageSize > 0 ? Int(request.pageSize) : V2.pageSizeDefault
    return .with {
      $0.resources = Array(wanted.prefix(size))
      $0.more = wanted.count > size
    }
  }
}
