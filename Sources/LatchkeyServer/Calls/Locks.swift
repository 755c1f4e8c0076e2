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
  enum Work {
    case command(Command)
    case get(key: String)
    /// A list, which is written while it is read.
    indirect case list(Query.Range)
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

/// Parts of a request, if nothing is wrong with them; else what is, in the words of the newest wire
/// version.
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

  /// In whole milliseconds: rounded up, so that no lease is shorter than was asked for.
  static func lease(_ duration: Google_Protobuf_Duration) throws(WireError) -> Lease {
    guard isSound(duration, secondsMax: Lease.secondsMax),
      let lease = Lease(
        milliseconds: duration.seconds * 1_000 + (Int64(duration.nanos) + 999_999) / 1_000_000)
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

  static func requestID(_ id: String) throws(WireError) -> String {
    try text(id, bytesMax: NameLimits.requestIDBytesMax, "invalid-request-id", of: "it")
  }

  static func owner(_ owner: String) throws(WireError) -> String {
    guard !owner.isEmpty else { throw WireError(.invalidArgument, "invalid-owner") }
    return try text(
      owner, bytesMax: NameLimits.ownerBytesMax, mayBeEmpty: false, "invalid-owner", of: "an owner")
  }

  static func keyText(_ key: String) throws(WireError) -> String {
    try text(key, bytesMax: NameLimits.keyBytesMax, mayBeEmpty: false, "invalid-key", of: "a key")
  }

  static func key(_ key: String) throws(WireError) -> String {
    let key = try keyText(key)
    guard !ReservedKeys.contains(key) else {
      throw WireError(
        .invalidArgument, "reserved-key",
        "keys that start with \"\(ReservedKeys.prefix)\" belong to the servers")
    }
    return key
  }

  static func partOfKey(_ text: String, _ word: String) throws(WireError) -> String {
    try self.text(text, bytesMax: NameLimits.keyBytesMax, word, of: "it")
  }

  static func value(_ value: String) throws(WireError) -> Content {
    Content(
      text: try text(value, bytesMax: NameLimits.valueBytesMax, "invalid-value", of: "a value"))
  }

  static func attributes(_ message: Google_Protobuf_Struct) throws(WireError) -> Content {
    let attributes = Attributes(message)
    guard attributes.isSound else {
      throw WireError(
        .invalidArgument, "invalid-attributes",
        "numbers are finite, text has no NUL, and there are at most \(Attributes.levelsMax) levels")
    }
    let content = Content(attributes)
    guard content.text.utf8.count <= NameLimits.valueBytesMax else {
      throw WireError(
        .invalidArgument, "invalid-attributes",
        "they take at most \(NameLimits.valueBytesMax) bytes as JSON")
    }
    return content
  }

  static func labels(_ labels: [String: String]) throws(WireError) -> [String: String] {
    guard !labels.isEmpty else { return [:] }
    guard labels.count <= NameLimits.labelsMax,
      labels.allSatisfy({ name, text in
        NameLimits.isLabelName(name)
          && NameLimits.isText(text, bytesMax: NameLimits.labelTextBytesMax)
      })
    else {
      throw WireError(
        .invalidArgument, "invalid-labels",
        "there are at most \(NameLimits.labelsMax), with names of 1 to "
          + "\(NameLimits.labelNameBytesMax) ASCII letters, digits, \".\", \"-\", \"_\" and \"/\", and "
          + "texts of at most \(NameLimits.labelTextBytesMax) bytes of UTF-8, no NUL")
    }
    return labels
  }

  static func time(_ timestamp: Google_Protobuf_Timestamp) throws(WireError) -> StatedTime {
    guard let time = StatedTime(seconds: timestamp.seconds, nanoseconds: timestamp.nanos) else {
      throw WireError(
        .invalidArgument, "invalid-granted-at", "it is in the years 1 to 9999")
    }
    return time
  }

  static func token(_ token: Int64) throws(WireError) -> Int64 {
    guard token > 0 else {
      throw WireError(.invalidArgument, "invalid-token", "a token is 1 or more, not \(token)")
    }
    return token
  }

  private static func text(
    _ text: String, bytesMax: Int, mayBeEmpty: Bool = true, _ word: String, of what: String
  ) throws(WireError) -> String {
    let isSound = mayBeEmpty ? NameLimits.isText : NameLimits.isName
    guard isSound(text, bytesMax) else {
      throw WireError(
        .invalidArgument, word,
        "\(what) has \(mayBeEmpty ? "at most" : "1 to") \(bytesMax) bytes of UTF-8, no NUL")
    }
    return text
  }
}
