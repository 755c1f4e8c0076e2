public import LockContent
import WireSchema

// The calls of the service, one by one.
extension LatchkeyClient {
  /// Acquires a resource for an owner, or renews the lease of the owner that has it; replaces its value
  /// and kind.
  ///
  /// The caller must stop relying on it when `lease` is over, counted from before this was called or,
  /// where it waited, from before the renewal that it then makes, and renew it in time.
  /// ``withLock(_:owner:value:attributes:labels:lease:wait:isolation:_:)`` does all of that.
  ///
  /// - Parameters:
  ///   - key: 1 to 512 bytes of UTF-8 without NUL, not starting with "_latchkey/".
  ///   - owner: Who is to have it: 1 to 512 bytes of UTF-8 without NUL. Two requests by the same owner
  ///     are the same holder, so it should name one run of one program.
  ///   - value: What is to be known of the owner: at most 65,536 bytes of UTF-8 without NUL.
  ///   - attributes: The value as named, typed values, in its place.
  ///   - labels: What is to be stuck on it, by name: needs servers of wire v3.
  ///   - grantedAt: When the owner was granted it, since 1970-01-01T00:00:00Z, for people to see: needs
  ///     servers of wire v3.
  ///   - lease: 500 ms to 365 days. The server counts in milliseconds, one before wire v3 in whole
  ///     seconds, rounded up.
  ///   - wait: How long to wait while another owner has it; nil waits for as long as it takes. It
  ///     bounds the call as in
  ///     ``withLock(_:owner:value:attributes:labels:lease:wait:isolation:_:)``.
  /// - Throws: ``LatchkeyError/Code/waitEnded`` where another owner has it, and what every call
  ///   throws: `unavailable`, `deadlineExceeded`, `cancelled` (each of which leaves open whether it
  ///   was done), `invalidRequest`, `noCommonVersion`, `requiresNewerServer`, `requiresNewerPeer`,
  ///   `overloaded`, `closed`, `unknown`.
  public func acquire(
    _ key: String, owner: String, value: String = "", attributes: Attributes? = nil,
    labels: [String: String] = [:], grantedAt: Duration? = nil, kind: ResourceKind = .lock,
    lease: Duration, wait: Duration? = .zero
  ) async throws(LatchkeyError) -> Grant {
    let resource = try Resource(
      key, kind, owner: owner, value: value, attributes: attributes, labels: labels,
      grantedAt: grantedAt)
    do {
      // Not released on failure: the owner may have held it for a long time.
      return try await acquire(resource, lease: lease, wait: wait).grant
    } catch {
      throw error.error
    }
  }

  /// Claims a resource for an owner, once: as
  /// ``acquire(_:owner:value:attributes:labels:grantedAt:kind:lease:wait:)`` without a wait.
  ///
  /// - Throws: ``LatchkeyError/Code/heldByAnother`` where another owner has it, and what every call
  ///   throws.
  @discardableResult
  public func claim(
    _ key: String, owner: String, value: String = "", attributes: Attributes? = nil,
    labels: [String: String] = [:], grantedAt: Duration? = nil, kind: ResourceKind = .lock,
    lease: Duration
  ) async throws(LatchkeyError) -> Grant {
    try LeaseTerms.check(lease)
    let resource = try Resource(
      key, kind, owner: owner, value: value, attributes: attributes, labels: labels,
      grantedAt: grantedAt)
    guard case .acquire(let message) = try await answer(to: .acquire(resource, lease: lease))
    else { preconditionFailure("an acquisition was answered like another call") }
    return Grant(message.grant, isRenewal: message.renewed)
  }

  /// Gives a grant a new lease.
  ///
  /// - Parameters:
  ///   - lease: The length of the new lease; nil leaves it as it was.
  ///   - value: Replaces the value; nil leaves it as it was.
  ///   - attributes: Replaces the value by named, typed values.
  ///   - labels: Labels to be stuck on it; one with an empty text is taken off. Others stay. Needs
  ///     servers of wire v3, as does `grantedAt`.
  ///   - grantedAt: When the owner was granted it, since 1970-01-01T00:00:00Z; nil leaves it as it was.
  /// - Throws: ``LatchkeyError/Code/notTheHolder`` where the grant is over, and what every call throws.
  public func renew(
    _ key: String, token: Int64, lease: Duration? = nil, value: String? = nil,
    attributes: Attributes? = nil, labels: [String: String] = [:], grantedAt: Duration? = nil
  ) async throws(LatchkeyError) -> Grant {
    if let lease { try LeaseTerms.check(lease) }
    guard value == nil || attributes == nil else {
      throw LatchkeyError(.invalidRequest, "give a value or attributes, not both")
    }
    let renewal = Renewal(
      key: key, token: token, lease: lease, value: try attributes?.checkedJSON ?? value,
      labels: labels, grantedAt: grantedAt)
    let request = NewestWire.Request.renew(NewestWire.RenewRequest(renewal))
    guard case .renew(let message) = try await answer(to: request) else {
      preconditionFailure("a renewal was answered like another call")
    }
    return Grant(message.grant, isRenewal: true)
  }

  /// Gives up to 1,000 grants new leases, in one request and one transaction.
  ///
  /// - Returns: What became of each, in the order of `renewals`: the grant, or
  ///   ``LatchkeyError/Code/notTheHolder`` and the like.
  /// - Throws: What every call throws; none was renewed then, or all may have been.
  public func renew(
    _ renewals: [Renewal]
  ) async throws(LatchkeyError) -> [Result<Grant, LatchkeyError>] {
    for renewal in renewals { if let lease = renewal.lease { try LeaseTerms.check(lease) } }
    let request = NewestWire.RenewManyRequest.with {
      $0.renewals = renewals.map(NewestWire.RenewRequest.init)
    }
    guard case .renewMany(let message) = try await answer(to: .renewMany(request)),
      message.verdicts.count == renewals.count
    else { throw LatchkeyError(.unknown, "the answer lacks a verdict for some renewals") }
    return message.verdicts.map { verdict in
      switch verdict.verdict {
      case .grant(let grant): .success(Grant(grant, isRenewal: true))
      case .refusal(let refusal): .failure(LatchkeyError(refusal))
      case nil: .failure(LatchkeyError(.unknown, "the answer has a verdict that is not understood"))
      }
    }
  }

  /// Gives a grant back. Giving back one that is over succeeds, unless the key was granted anew.
  ///
  /// - Throws: ``LatchkeyError/Code/notTheHolder`` where the key was granted anew, and what every call
  ///   throws.
  public func release(_ key: String, token: Int64) async throws(LatchkeyError) {
    try await release(.release(key, token: token))
  }

  /// Gives a resource back. Giving back what nobody has succeeds.
  ///
  /// - Throws: ``LatchkeyError/Code/heldByAnother`` where another owner has it, whose lease is not
  ///   touched, and what every call throws.
  public func release(_ key: String, owner: String) async throws(LatchkeyError) {
    do throws(LatchkeyError) {
      try await release(.release(key, owner: owner))
    } catch {
      guard error.code == .notTheHolder else { throw error }
      throw LatchkeyError(.heldByAnother, error.message, holder: error.holder, cause: error.cause)
    }
  }

  private func release(_ request: NewestWire.Request) async throws(LatchkeyError) {
    do {
      _ = try await make(request, deadline: requestDeadline)
    } catch {
      // An earlier try may have freed it, and somebody else was quick: it is given back either way.
      if error.mayHaveHappened, error.error.isOfAnotherHolder { return }
      throw error.error
    }
  }

  /// The resource under a key; nil where nobody has it.
  ///
  /// - Throws: What every call throws.
  public func fetch(_ key: String) async throws(LatchkeyError) -> Resource? {
    try await fetch(key, deadline: requestDeadline)
  }

  /// - Parameter patienceEnd: As ``Inquiry/Terms/patienceEnd``.
  func fetch(
    _ key: String, deadline: Instant, patienceEnd: Instant? = nil
  ) async throws(LatchkeyError) -> Resource? {
    do {
      let request = NewestWire.Request.get(.with { $0.key = key })
      var inquiry = Inquiry(.call(request), deadline: deadline)
      inquiry.terms.patienceEnd = patienceEnd
      guard case .get(let message) = try await make(request, inquiry).response else {
        preconditionFailure("a question for a key was answered like another call")
      }
      return try Resource(message.resource)
    } catch let failure as AttemptFailure {
      if failure.error.code == .notFound { return nil }
      throw failure.error
    } catch let error as LatchkeyError {
      throw error
    } catch {
      preconditionFailure("an error of another type: \(error)")
    }
  }

  /// All resources of one kind, in the order of their keys (by byte).
  ///
  /// - Parameters:
  ///   - kind: Nil fetches those of every kind, which needs wire v2.
  ///   - prefix: What the keys start with, by byte.
  ///   - attributes: Only what has all of these, with equal values: needs servers of wire v3.
  ///   - labels: Only what has all of these, with equal texts: needs servers of wire v3.
  /// - Throws: What every call throws.
  public func fetchAll(
    _ kind: ResourceKind?, prefix: String = "", attributes: Attributes = [:],
    labels: [String: String] = [:]
  ) async throws(LatchkeyError) -> [Resource] {
    var all: [Resource] = []
    while true {
      // As large as may be: servers of wire v1 have only the whole list, and would make it for each page.
      let page = try await list(
        kind, prefix: prefix, attributes: attributes, labels: labels, after: all.last?.key ?? "",
        countMax: .max)
      all += page.resources
      if !page.hasMore || page.resources.isEmpty { return all }
    }
  }

  /// A page of what is held, in the order of the keys (by byte). What is acquired or released between
  /// two pages may be in the list or not; whatever is held all the time is in it once.
  ///
  /// - Parameters:
  ///   - kind: Nil lists every kind, which needs wire v2.
  ///   - prefix: What the keys start with, by byte.
  ///   - attributes: Only what has all of these, with equal values: needs servers of wire v3.
  ///   - labels: Only what has all of these, with equal texts: needs servers of wire v3.
  ///   - key: Only keys after this one: the last one of the page before.
  ///   - countMax: At most so many, 1 or more; nil leaves it to the server. The page may have fewer.
  /// - Throws: What every call throws.
  public func list(
    _ kind: ResourceKind?, prefix: String = "", attributes: Attributes = [:],
    labels: [String: String] = [:], after key: String = "", countMax: Int? = nil
  ) async throws(LatchkeyError) -> ResourcePage {
    if let countMax, countMax < 1 {
      throw LatchkeyError(.invalidRequest, "a page has 1 resource or more, not \(countMax)")
    }
    let request = NewestWire.ListRequest.with {
      if let kind { $0.kind = NewestWire.Kind(kind) }
      $0.keyPrefix = prefix
      $0.afterKey = key
      $0.pageSize = Int32(clamping: countMax ?? 0)
      if !attributes.values.isEmpty { $0.attributes = attributes.message }
      $0.labels = labels
    }
    guard case .list(let message) = try await answer(to: .list(request)) else {
      preconditionFailure("a list was answered like another call")
    }
    var resources: [Resource] = []
    for resource in message.resources { resources.append(try Resource(resource)) }
    return ResourcePage(resources: resources, hasMore: message.more)
  }

  private func answer(
    to request: NewestWire.Request
  ) async throws(LatchkeyError) -> NewestWire.Response {
    do {
      return try await make(request, deadline: requestDeadline).response
    } catch {
      throw error.error
    }
  }
}
