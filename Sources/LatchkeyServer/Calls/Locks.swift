import LockContent
import LockCore
import Storage
import SwiftProtobuf
import WireSchema

/// The service `Locks` of the newest wire version: from its messages to the store and back.
///
/// Requests of older versions come here through their lenses, and the answers go back the same way
/// (``Endpoint``).
enum Locks {
  /// What a request asks of the store.
  enum Work: Sendable {
    case command(Command)
    case get(key: String)
    /// A list, which is written while it is read.
    indirect case list(Query.Range)

    /// The key that it is about; empty where that is not one.
    var key: String {
      switch self {
      case .command(let command): command.key ?? ""
      case .get(let key): key
      case .list: ""
      }
    }
  }

  /// The most renewals in one request.
  static let renewalsMax = 1_000
  /// What a verdict takes beside its names, in bytes.
  private static let verdictBytesMax = 256

  // MARK: - Requests

  /// Reads and judges a request. What only the store can tell is left to it.
  ///
  /// The order of the checks is part of the protocol: what kind, how long, by whom, what.
  ///
  /// - Parameter now: When the request came.
  static func work(
    _ request: NewestWire.Request, at now: MonotonicTime
  ) throws(WireError) -> Work {
    switch request {
    case .acquire(let message): .command(try acquire(message, at: now))
    case .renew(let message): .command(.renew(try renewal(message)))
    case .renewMany(let message): .command(.renewMany(try renewals(message)))
    case .release(let message): .command(try release(message))
    case .get(let message):
      .get(key: try Check.keyText(message.key))
    case .list(let message): .list(try range(message))
    }
  }

  private static func acquire(
    _ message: NewestWire.AcquireRequest, at now: MonotonicTime
  ) throws(WireError) -> Command {
    let kind = try Check.kind(message.kind) ?? .lock
    let lease = try Check.lease(message.lease)
    let wait = try Check.wait(message.wait)
    let owner = try Check.owner(message.owner)
    let key = try Check.key(message.key)
    var claim = Claim(kind: kind, owner: owner, lease: lease)
    switch message.content {
    case .value(let text): claim.content = try Check.value(text)
    case .attributes(let attributes): claim.content = try Check.attributes(attributes)
    case nil: break
    }
    claim.labels = try Check.labels(message.labels)
    if message.hasGrantedAt { claim.grantedAt = try Check.time(message.grantedAt) }
    let requestID = try Check.requestID(message.requestID)
    guard wait > 0 else { return .claim(key: key, claim) }
    return .claimWaiting(key: key, claim, Wait(end: now + wait, requestID: requestID))
  }

  private static func renewals(
    _ message: NewestWire.RenewManyRequest
  ) throws(WireError) -> [Renewal] {
    guard (1...renewalsMax).contains(message.renewals.count) else {
      throw WireError(
        .invalidArgument, "invalid-renewals",
        "a request has 1 to \(renewalsMax) renewals, not \(message.renewals.count)")
    }
    var renewals: [Renewal] = []
    renewals.reserveCapacity(message.renewals.count)
    for (index, item) in message.renewals.enumerated() {
      do {
        renewals.append(try renewal(item))
      } catch {
        throw WireError(
          .invalidArgument, "invalid-renewals", "number \(index + 1): \(error.message)")
      }
    }
    return renewals
  }

  private static func renewal(_ message: NewestWire.RenewRequest) throws(WireError) -> Renewal {
    let token = try Check.token(message.token)
    let lease = message.hasLease ? try Check.lease(message.lease) : nil
    var renewal = Renewal(key: try Check.key(message.key), token: token, lease: lease)
    switch message.content {
    case .value(let text): renewal.content = try Check.value(text)
    case .attributes(let attributes): renewal.content = try Check.attributes(attributes)
    case nil: break
    }
    renewal.labels = try Check.labels(message.labels)
    if message.hasGrantedAt { renewal.grantedAt = try Check.time(message.grantedAt) }
    return renewal
  }

  private static func release(_ message: NewestWire.ReleaseRequest) throws(WireError) -> Command {
    var name = GrantName()
    let isByOwner = !message.owner.isEmpty
    if message.token != 0 || !isByOwner { name.token = try Check.token(message.token) }
    if isByOwner { name.owner = try Check.owner(message.owner) }
    return .release(key: try Check.key(message.key), name)
  }

  private static func range(_ message: NewestWire.ListRequest) throws(WireError) -> Query.Range {
    let kind = try Check.kind(message.kind)
    let prefix = try Check.partOfKey(message.keyPrefix, "invalid-prefix")
    let afterKey = try Check.partOfKey(message.afterKey, "invalid-after-key")
    guard message.pageSize >= 0 else {
      throw WireError(.invalidArgument, "invalid-page-size", "a page size cannot be negative")
    }
    var range = Query.Range(
      kind: kind, prefix: prefix, afterKey: afterKey,
      countMax: message.pageSize == 0 ? NewestWire.pageSizeDefault : Int(message.pageSize))
    range.attributes = try Check.attributes(message.attributes).attributes ?? [:]
    range.labels = try Check.labels(message.labels)
    guard range.labels.values.allSatisfy({ !$0.isEmpty }) else {
      throw WireError(.invalidArgument, "invalid-labels", "no label has an empty text")
    }
    return range
  }

  // MARK: - Answers

  /// The answer to a request that became `command`.
  static func answer(
    to command: Command, _ outcome: Outcome
  ) throws(WireError) -> NewestWire.Response {
    switch (command, outcome) {
    case (.claim(let key, let claim), .claimed(let token, let revision, let isNewGrant)),
      (.claimWaiting(let key, let claim, _), .claimed(let token, let revision, let isNewGrant)):
      var response = NewestWire.AcquireResponse()
      response.grant = NewestWire.Grant(
        key, owner: claim.owner, lease: claim.lease, token: token, revision: revision)
      response.renewed = !isNewGrant
      return .acquire(response)
    case (.renew, .renewed(let record)):
      return .renew(.with { if let grant = NewestWire.Grant(record) { $0.grant = grant } })
    case (.renewMany(let renewals), .many(let results)):
      return .renewMany(
        .with {
          $0.verdicts = zip(renewals, results).map { NewestWire.RenewVerdict($1, key: $0.key) }
        })
    case (.release, .released): return .release(NewestWire.ReleaseResponse())
    default: throw WireError(refusal: outcome, key: command.key ?? "")
    }
  }

  /// The answer to a request for the resource under `key`.
  static func answer(
    toGet key: String, _ outcome: Outcome
  ) throws(WireError) -> NewestWire.Response {
    guard case .found(let record) = outcome else { throw WireError(refusal: outcome, key: key) }
    guard let record, let resource = NewestWire.Resource(record) else {
      throw WireError(.notFound, "not-held")
    }
    return .get(.with { $0.resource = resource })
  }

  /// What the answer to a change takes at most, where it may be long: for that there must be room before
  /// the change is made.
  static func answerBytesMax(of command: Command, _ codec: Codec) -> Int {
    guard case .renewMany(let renewals) = command else { return 0 }
    // JSON writes a control character in six bytes.
    let growth = codec == .json ? 6 : 1
    return renewals.reduce(0) {
      $0 + growth * ($1.key.utf8.count + NameLimits.ownerBytesMax) + verdictBytesMax
    }
  }

  /// The command that undoes what `command` did, for a peer that waited and is gone by now.
  static func undoing(_ command: Command, _ outcome: Outcome) -> Command? {
    guard case .claimWaiting(let key, _, _) = command,
      case .claimed(let token, let revision, isNewGrant: true) = outcome
    else { return nil }
    return .withdraw(key: key, Sighting(token: token, revision: revision))
  }
}
