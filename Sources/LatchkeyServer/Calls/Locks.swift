import LockCore
import Storage
import SwiftProtobuf
import WireSchema

/// The service `Locks` of the newest wire version: from its messages to the store and back.
///
/// Requests of older versions come here through their lenses, and the answers go back the same way
/// (``Endpoint``).
struct Locks {
  /// What a call asks of the store, and how the outcome becomes its answer. For a change that has a
  /// long answer there must be room before it is made.
  enum Work {
    case command(
      Command, undelivered: UnaryCall.Undelivered? = nil, answerBytesMax: Int = 0,
      answer: (Outcome) throws(WireError) -> NewestWire.Response)
    case query(Query, answer: (Outcome) throws(WireError) -> NewestWire.Response)
    /// A list, which is written while it is read.
    case list(Query.Range)
  }

  /// The most renewals in one request.
  static let renewalsMax = 1_000
  /// What a verdict takes beside its names, in bytes.
  private static let verdictBytesMax = 256

  /// Reads and judges a request. What only the store can tell is left to it.
  ///
  /// The order of the checks is part of the protocol: what kind, how long, by whom, what.
  ///
  /// - Parameter now: When the request came.
  func work(_ request: NewestWire.Request, at now: MonotonicTime) throws(WireError) -> Work {
    switch request {
    case .acquire(let message): try acquire(message, at: now)
    case .renew(let message): try renew(message)
    case .renewMany(let message): try renewMany(message)
    case .release(let message): try release(message)
    case .get(let message): try get(message)
    case .list(let message): try list(message)
    }
  }

  // MARK: - The calls

  private func acquire(
    _ message: NewestWire.AcquireRequest, at now: MonotonicTime
  ) throws(WireError) -> Work {
    let kind = try Check.kind(message.kind) ?? .lock
    let lease = try Check.lease(message.lease)
    let wait = try Check.wait(message.wait)
    try Check.owner(message.owner)
    try Check.key(message.key)
    try Check.value(message.value)
    try Check.requestID(message.requestID)
    let key = message.key
    let holder = Holder(kind: kind, owner: message.owner, value: message.value, lease: lease)
    let answer = { (outcome: Outcome) throws(WireError) -> NewestWire.Response in
      guard case .claimed(let token, let revision, let isNewGrant) = outcome else {
        throw WireError(refusal: outcome, key: key)
      }
      var response = NewestWire.AcquireResponse()
      response.grant = NewestWire.Grant(key, to: holder, token: token, revision: revision)
      response.renewed = !isNewGrant
      return .acquire(response)
    }
    guard wait > 0 else { return .command(.claim(key: key, holder: holder), answer: answer) }
    let command = Command.claimWaiting(
      key: key, holder: holder, Wait(end: now + wait, requestID: message.requestID))
    return .command(
      command,
      undelivered: { outcome in
        guard case .claimed(let token, let revision, isNewGrant: true) = outcome else { return nil }
        return .withdraw(key: key, Sighting(token: token, revision: revision))
      }, answer: answer)
  }

  private func renew(_ message: NewestWire.RenewRequest) throws(WireError) -> Work {
    let renewal = try renewal(message)
    return .command(.renew(renewal)) { outcome throws(WireError) in
      guard case .renewed(let record) = outcome, let grant = NewestWire.Grant(record) else {
        throw WireError(refusal: outcome, key: renewal.key)
      }
      return .renew(.with { $0.grant = grant })
    }
  }

  private func renewMany(_ message: NewestWire.RenewManyRequest) throws(WireError) -> Work {
    guard (1...Self.renewalsMax).contains(message.renewals.count) else {
      throw WireError(
        .invalidArgument, "invalid-renewals",
        "a request has 1 to \(Self.renewalsMax) renewals, not \(message.renewals.count)")
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
    let answerBytesMax = renewals.reduce(0) {
      $0 + $1.key.utf8.count + NameLimits.ownerBytesMax + Self.verdictBytesMax
    }
    return .command(.renewMany(renewals), answerBytesMax: answerBytesMax) {
      [renewals] outcome throws(WireError) in
      guard case .many(let results) = outcome else {
        throw WireError(refusal: outcome, key: "")
      }
      return .renewMany(
        .with {
          $0.verdicts = zip(renewals, results).map { NewestWire.RenewVerdict($1, key: $0.key) }
        })
    }
  }

  private func renewal(_ message: NewestWire.RenewRequest) throws(WireError) -> Renewal {
    try Check.token(message.token)
    let lease = message.hasLease ? try Check.lease(message.lease) : nil
    try Check.key(message.key)
    if message.hasValue { try Check.value(message.value) }
    return Renewal(
      key: message.key, token: message.token, lease: lease,
      value: message.hasValue ? message.value : nil)
  }

  private func release(_ message: NewestWire.ReleaseRequest) throws(WireError) -> Work {
    let isByOwner = !message.owner.isEmpty
    if message.token != 0 || !isByOwner { try Check.token(message.token) }
    if isByOwner { try Check.owner(message.owner) }
    try Check.key(message.key)
    let key = message.key
    let name = GrantName(
      token: message.token == 0 ? nil : message.token, owner: isByOwner ? message.owner : nil)
    return .command(.release(key: key, name)) { outcome throws(WireError) in
      guard case .released = outcome else { throw WireError(refusal: outcome, key: key) }
      return .release(NewestWire.ReleaseResponse())
    }
  }

  private func get(_ message: NewestWire.GetRequest) throws(WireError) -> Work {
    try Check.keyText(message.key)
    let key = message.key
    return .query(.fetch(key: key)) { outcome throws(WireError) in
      guard case .found(let record) = outcome else {
        throw WireError(refusal: outcome, key: key)
      }
      guard let record, let resource = NewestWire.Resource(record) else {
        throw WireError(.notFound, "not-held")
      }
      return .get(.with { $0.resource = resource })
    }
  }

  private func list(_ message: NewestWire.ListRequest) throws(WireError) -> Work {
    let kind = try Check.kind(message.kind)
    try Check.partOfKey(message.keyPrefix, "invalid-prefix")
    try Check.partOfKey(message.afterKey, "invalid-after-key")
    guard message.pageSize >= 0 else {
      throw WireError(.invalidArgument, "invalid-page-size", "a page size cannot be negative")
    }
    return .list(
      Query.Range(
        kind: kind, prefix: message.keyPrefix, afterKey: message.afterKey,
        countMax: message.pageSize == 0 ? NewestWire.pageSizeDefault : Int(message.pageSize)))
  }
}

/// What is wrong with a part of a request, in the words of the newest wire version.
private enum Check {
  /// Nil where it is left open.
  static func kind(_ kind: NewestWire.Kind) throws(WireError) -> LockCore.Kind? {
    switch kind {
    case .unspecified: nil
    case .lock: .lock
    case .presence: .presence
    case .UNRECOGNIZED(let number):
      throw WireError(.invalidArgument, "invalid-kind", "\(number) is no kind")
    }
  }

  /// In the whole seconds of shape s1: rounded up, so that no lease is shorter than was asked for.
  static func lease(_ duration: Google_Protobuf_Duration) throws(WireError) -> Lease {
    guard isSound(duration, secondsMax: Lease.secondsMax),
      let lease = Lease(seconds: duration.seconds + (duration.nanos == 0 ? 0 : 1))
    else {
      throw WireError(
        .invalidArgument, "invalid-lease",
        "a lease is longer than 0 and at most \(Lease.secondsMax) seconds")
    }
    return lease
  }

  /// Whether it is 0 to `secondsMax` seconds, as protobuf writes it.
  private static func isSound(_ duration: Google_Protobuf_Duration, secondsMax: Int64) -> Bool {
    duration.seconds >= 0 && (0..<1_000_000_000).contains(duration.nanos)
      && (duration.seconds < secondsMax || (duration.seconds == secondsMax && duration.nanos == 0))
  }

  /// The longest wait of one request: an hour.
  private static let waitSecondsMax: Int64 = 3_600

  /// In nanoseconds.
  static func wait(_ duration: Google_Protobuf_Duration) throws(WireError) -> Int64 {
    guard isSound(duration, secondsMax: waitSecondsMax) else {
      throw WireError(
        .invalidArgument, "invalid-wait", "a wait is 0 to \(waitSecondsMax) seconds")
    }
    return duration.seconds * 1_000_000_000 + Int64(duration.nanos)
  }

  static func requestID(_ id: String) throws(WireError) {
    guard NameLimits.isText(id, bytesMax: NameLimits.requestIDBytesMax) else {
      throw WireError(
        .invalidArgument, "invalid-request-id",
        "it has at most \(NameLimits.requestIDBytesMax) bytes of UTF-8, no NUL")
    }
  }

  static func owner(_ owner: String) throws(WireError) {
    guard !owner.isEmpty else { throw WireError(.invalidArgument, "invalid-owner") }
    guard NameLimits.isName(owner, bytesMax: NameLimits.ownerBytesMax) else {
      throw WireError(
        .invalidArgument, "invalid-owner",
        "an owner has 1 to \(NameLimits.ownerBytesMax) bytes of UTF-8, no NUL")
    }
  }

  static func keyText(_ key: String) throws(WireError) {
    guard NameLimits.isName(key, bytesMax: NameLimits.keyBytesMax) else {
      throw WireError(
        .invalidArgument, "invalid-key",
        "a key has 1 to \(NameLimits.keyBytesMax) bytes of UTF-8, no NUL")
    }
  }

  static func key(_ key: String) throws(WireError) {
    try keyText(key)
    guard !ReservedKeys.contains(key) else {
      throw WireError(
        .invalidArgument, "reserved-key",
        "keys that start with \"\(ReservedKeys.prefix)\" belong to the servers")
    }
  }

  static func partOfKey(_ text: String, _ word: String) throws(WireError) {
    guard NameLimits.isText(text, bytesMax: NameLimits.keyBytesMax) else {
      throw WireError(
        .invalidArgument, word, "it has at most \(NameLimits.keyBytesMax) bytes of UTF-8, no NUL")
    }
  }

  static func value(_ value: String) throws(WireError) {
    guard NameLimits.isText(value, bytesMax: NameLimits.valueBytesMax) else {
      throw WireError(
        .invalidArgument, "invalid-value",
        "a value has at most \(NameLimits.valueBytesMax) bytes of UTF-8, no NUL")
    }
  }

  static func token(_ token: Int64) throws(WireError) {
    guard token > 0 else {
      throw WireError(.invalidArgument, "invalid-token", "a token is 1 or more, not \(token)")
    }
  }
}
