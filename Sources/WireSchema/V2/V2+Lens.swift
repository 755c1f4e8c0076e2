import LockContent
import SwiftProtobuf

/// The lens between wire v2 and v3, which have the same calls.
///
/// | v2 | v3 |
/// |---|---|
/// | `value` | the same; `attributes` where it is a JSON object |
/// | a lease is granted in whole seconds, rounded up | in milliseconds |
/// | `Acquire` replaces the value, also by the empty one | the same, said explicitly |
/// | no labels, no stated time of the grant, no filters | not shown, and left as they are |
///
/// What v2 cannot carry: labels, the stated time of the grant, lists by attributes or labels, and a claim
/// that leaves the value as it is.
extension V2: OlderWireVersion {
  package typealias Next = V3

  // MARK: - Of a peer that speaks v2

  package static func lift(_ request: Request) throws(WireError) -> V3.Request {
    switch request {
    case .acquire(let message):
      var lifted = Latchkey_V3_AcquireRequest()
      lifted.key = message.key
      lifted.kind = kind(message.kind)
      lifted.owner = message.owner
      lifted.value = message.value
      if message.hasLease { lifted.lease = wholeSeconds(message.lease) }
      if message.hasWait { lifted.wait = message.wait }
      lifted.requestID = message.requestID
      return .acquire(lifted)
    case .renew(let message): return .renew(renewal(message))
    case .renewMany(let message):
      return .renewMany(.with { $0.renewals = message.renewals.map(renewal) })
    case .release(let message):
      var lifted = Latchkey_V3_ReleaseRequest()
      lifted.key = message.key
      lifted.token = message.token
      lifted.owner = message.owner
      return .release(lifted)
    case .get(let message): return .get(.with { $0.key = message.key })
    case .list(let message):
      return .list(
        .with {
          $0.kind = kind(message.kind)
          $0.keyPrefix = message.keyPrefix
          $0.afterKey = message.afterKey
          $0.pageSize = message.pageSize
        })
    }
  }

  package static func project(_ response: V3.Response) throws(WireError) -> Response {
    switch response {
    case .acquire(let message):
      var projected = Latchkey_V2_AcquireResponse()
      projected.grant = grant(message.grant)
      projected.renewed = message.renewed
      return .acquire(projected)
    case .renew(let message): return .renew(.with { $0.grant = grant(message.grant) })
    case .renewMany(let message):
      return .renewMany(
        .with {
          $0.verdicts = message.verdicts.map { verdict in
            .with {
              switch verdict.verdict {
              case .grant(let grant): $0.grant = Self.grant(grant)
              case .refusal(let refusal): $0.refusal = Self.refusal(refusal)
              case nil: break
              }
            }
          }
        })
    case .release: return .release(Latchkey_V2_ReleaseResponse())
    case .get(let message): return .get(.with { $0.resource = resource(message.resource) })
    case .list(let message):
      return .list(
        .with {
          $0.resources = message.resources.map(resource)
          $0.more = message.more
        })
    }
  }

  package static func project(_ error: WireError) -> WireError {
    var projected = error
    projected.details = error.details.map { ($0 as? Latchkey_V3_Refusal).map(refusal) ?? $0 }
    return projected
  }

  private static func renewal(_ older: Latchkey_V2_RenewRequest) -> Latchkey_V3_RenewRequest {
    var lifted = Latchkey_V3_RenewRequest()
    lifted.key = older.key
    lifted.token = older.token
    if older.hasLease { lifted.lease = wholeSeconds(older.lease) }
    if older.hasValue { lifted.value = older.value }
    return lifted
  }

  /// v2 grants the next whole second. What is no length is left for the check.
  private static func wholeSeconds(_ lease: Google_Protobuf_Duration) -> Google_Protobuf_Duration {
    guard (1..<1_000_000_000).contains(lease.nanos), (0..<Int64.max).contains(lease.seconds) else {
      return lease
    }
    return Google_Protobuf_Duration(seconds: lease.seconds + 1)
  }

  private static func kind(_ older: Latchkey_V2_Kind) -> Latchkey_V3_Kind {
    Latchkey_V3_Kind(rawValue: older.rawValue) ?? .unspecified
  }

  private static func kind(_ newer: Latchkey_V3_Kind) -> Latchkey_V2_Kind {
    Latchkey_V2_Kind(rawValue: newer.rawValue) ?? .unspecified
  }

  private static func grant(_ newer: Latchkey_V3_Grant) -> Latchkey_V2_Grant {
    var grant = Latchkey_V2_Grant()
    grant.key = newer.key
    grant.owner = newer.owner
    grant.token = newer.token
    grant.revision = newer.revision
    if newer.hasLease { grant.lease = newer.lease }
    return grant
  }

  private static func resource(_ newer: Latchkey_V3_Resource) -> Latchkey_V2_Resource {
    var resource = Latchkey_V2_Resource()
    resource.key = newer.key
    resource.kind = kind(newer.kind)
    resource.owner = newer.owner
    resource.value = newer.value
    resource.token = newer.token
    resource.revision = newer.revision
    if newer.hasLease { resource.lease = newer.lease }
    return resource
  }

  private static func refusal(_ newer: Latchkey_V3_Refusal) -> Latchkey_V2_Refusal {
    var refusal = Latchkey_V2_Refusal()
    refusal.reason = newer.reason
    refusal.key = newer.key
    refusal.owner = newer.owner
    refusal.kind = kind(newer.kind)
    refusal.token = newer.token
    refusal.revision = newer.revision
    if newer.hasLeaseLeft { refusal.leaseLeft = newer.leaseLeft }
    refusal.retry = Latchkey_V2_Retry(rawValue: newer.retry.rawValue) ?? .unspecified
    return refusal
  }

  // MARK: - For a peer that speaks v2

  package static func lower(_ request: V3.Request) throws(Inexpressible) -> Request {
    switch request {
    case .acquire(let message):
      try refuse(message.labels, message.hasGrantedAt)
      var lowered = Latchkey_V2_AcquireRequest()
      lowered.key = message.key
      lowered.kind = kind(message.kind)
      lowered.owner = message.owner
      switch message.content {
      case .value(let text): lowered.value = text
      case .attributes(let attributes): lowered.value = try text(attributes)
      case nil: throw Inexpressible("a claim that leaves the value as it is", needs: 3)
      }
      if message.hasLease { lowered.lease = message.lease }
      if message.hasWait { lowered.wait = message.wait }
      lowered.requestID = message.requestID
      return .acquire(lowered)
    case .renew(let message): return .renew(try lowered(message))
    case .renewMany(let message):
      var renewals: [Latchkey_V2_RenewRequest] = []
      for renewal in message.renewals { renewals.append(try lowered(renewal)) }
      return .renewMany(.with { $0.renewals = renewals })
    case .release(let message):
      return .release(
        .with {
          $0.key = message.key
          $0.token = message.token
          $0.owner = message.owner
        })
    case .get(let message): return .get(.with { $0.key = message.key })
    case .list(let message):
      guard message.attributes.fields.isEmpty else {
        throw Inexpressible("list by attributes", needs: 3)
      }
      guard message.labels.isEmpty else { throw Inexpressible("list by labels", needs: 3) }
      return .list(
        .with {
          $0.kind = kind(message.kind)
          $0.keyPrefix = message.keyPrefix
          $0.afterKey = message.afterKey
          $0.pageSize = message.pageSize
        })
    }
  }

  package static func raise(
    _ response: Response, of request: V3.Request
  ) throws(Inexpressible) -> V3.Response {
    switch response {
    case .acquire(let message):
      return .acquire(
        .with {
          $0.grant = raised(message.grant)
          $0.renewed = message.renewed
        })
    case .renew(let message): return .renew(.with { $0.grant = raised(message.grant) })
    case .renewMany(let message):
      return .renewMany(
        .with {
          $0.verdicts = message.verdicts.map { verdict in
            .with {
              switch verdict.verdict {
              case .grant(let grant): $0.grant = raised(grant)
              case .refusal(let refusal): $0.refusal = raised(refusal)
              case nil: break
              }
            }
          }
        })
    case .release: return .release(Latchkey_V3_ReleaseResponse())
    case .get(let message): return .get(.with { $0.resource = raised(message.resource) })
    case .list(let message):
      return .list(
        .with {
          $0.resources = message.resources.map(raised)
          $0.more = message.more
        })
    }
  }

  package static func raise(_ error: WireError) -> WireError {
    var raised = error
    raised.details = error.details.map { ($0 as? Latchkey_V2_Refusal).map(Self.raised) ?? $0 }
    return raised
  }

  private static func refuse(
    _ labels: [String: String], _ statesTime: Bool
  ) throws(Inexpressible) {
    guard labels.isEmpty else { throw Inexpressible("labels", needs: 3) }
    guard !statesTime else { throw Inexpressible("a stated time of the grant", needs: 3) }
  }

  private static func text(
    _ message: Google_Protobuf_Struct
  ) throws(Inexpressible) -> String {
    let attributes = Attributes(message)
    guard attributes.isSound else { throw Inexpressible("attributes that JSON has not", needs: 3) }
    return attributes.json
  }

  private static func lowered(
    _ newer: Latchkey_V3_RenewRequest
  ) throws(Inexpressible) -> Latchkey_V2_RenewRequest {
    try refuse(newer.labels, newer.hasGrantedAt)
    var lowered = Latchkey_V2_RenewRequest()
    lowered.key = newer.key
    lowered.token = newer.token
    if newer.hasLease { lowered.lease = newer.lease }
    switch newer.content {
    case .value(let text): lowered.value = text
    case .attributes(let attributes): lowered.value = try text(attributes)
    case nil: break
    }
    return lowered
  }

  private static func raised(_ older: Latchkey_V2_Grant) -> Latchkey_V3_Grant {
    .with {
      $0.key = older.key
      $0.owner = older.owner
      $0.token = older.token
      $0.revision = older.revision
      if older.hasLease { $0.lease = older.lease }
    }
  }

  private static func raised(_ older: Latchkey_V2_Resource) -> Latchkey_V3_Resource {
    .with {
      $0.key = older.key
      $0.kind = kind(older.kind)
      $0.owner = older.owner
      $0.value = older.value
      $0.token = older.token
      $0.revision = older.revision
      if older.hasLease { $0.lease = older.lease }
      if let attributes = Attributes(exactly: older.value) { $0.attributes = attributes.message }
    }
  }

  private static func raised(_ older: Latchkey_V2_Refusal) -> Latchkey_V3_Refusal {
    .with {
      $0.reason = older.reason
      $0.key = older.key
      $0.owner = older.owner
      $0.kind = kind(older.kind)
      $0.token = older.token
      $0.revision = older.revision
      if older.hasLeaseLeft { $0.leaseLeft = older.leaseLeft }
      $0.retry = Latchkey_V3_Retry(rawValue: older.retry.rawValue) ?? .unspecified
    }
  }
}
