package import WireSchema

/// A client of the Latchkey lock service.
///
/// What is **not** promised: a lock is a lease, and a process cannot know that it was paused. Code
/// that holds a lock may be stopped by its machine at any line, past the end of its lease, and go on
/// while somebody else holds the lock already. ``withLock(_:owner:value:lease:wait:isolation:_:)``
/// tells it at once when it runs again, not before. This version of the protocol has no fencing token
/// that a database could check, so a lock makes work done twice very unlikely, not impossible.
///
/// ```swift
/// let client = try LatchkeyClient(endpoints: ["locks1.example:7420", "locks2.example:7420"])
/// try await client.withLock("nightly-report", lease: .seconds(15)) { grant in
///   try await writeReport()   // nobody else does; cancelled if the lease is lost
/// }
/// await client.shutdown()
/// ```
///
/// A client connects when it is first used, keeps one connection, and goes to the next endpoint when a
/// server fails. All servers must be of one fleet: they must share a store. Calls that got no answer
/// are repeated within ``Configuration/requestTimeout``; all of them may be, because a second claim by
/// the same owner renews the first.
public final class LatchkeyClient: Sendable {
  /// What the client was made with.
  public let configuration: Configuration
  let configurationError: LatchkeyError?
  let environment: ClientEnvironment
  let link: Link

  /// Makes a client; it connects when it is first used.
  public convenience init(_ configuration: Configuration) {
    self.init(configuration, environment: .live)
  }

  /// Makes a client for a fleet, everything else by default.
  ///
  /// - Parameter endpoints: Each as ``Endpoint/init(_:)`` reads it.
  /// - Throws: ``LatchkeyError/Code/invalidRequest`` for what is no endpoint.
  public convenience init(endpoints: [String]) throws(LatchkeyError) {
    var parsed: [Endpoint] = []
    for text in endpoints { parsed.append(try Endpoint(text)) }
    self.init(Configuration(endpoints: parsed))
  }

  package init(_ configuration: Configuration, environment: ClientEnvironment) {
    self.configuration = configuration
    configurationError = configuration.error
    self.environment = environment
    link = Link(configuration, environment)
  }

  deinit { link.close() }

  /// Ends all calls with ``LatchkeyError/Code/closed`` and closes the connections. Leases that are
  /// held stay until they end, so leave ``withLock(_:owner:value:lease:wait:isolation:_:)`` first.
  public func shutdown() async {
    await withCheckedContinuation { continuation in link.close { continuation.resume() } }
  }

  // MARK: - The calls of the service

  /// Claims a resource for an owner, or renews the lease of the owner that has it; replaces its value
  /// and kind.
  ///
  /// The caller must stop relying on it when `lease` is over, counted from before this was called,
  /// and renew it in time. ``withLock(_:owner:value:lease:wait:isolation:_:)`` does both.
  ///
  /// - Parameters:
  ///   - key: 1 to 512 bytes of UTF-8 without NUL, not starting with "_latchkey/".
  ///   - owner: Who is to have it: 1 to 512 bytes of UTF-8 without NUL. Two claims by the same owner
  ///     are the same holder, so it should name one run of one program.
  ///   - value: What is to be known of the owner: at most 65,536 bytes of UTF-8 without NUL.
  ///   - lease: 1 second to 365 days. The server counts in whole seconds, rounded up.
  /// - Throws: ``LatchkeyError/Code/heldByAnother`` where another owner has it, and what every call
  ///   throws: `unavailable`, `deadlineExceeded`, `cancelled` (each of which leaves open whether it
  ///   was done), `invalidRequest`, `noCommonVersion`, `requiresNewerServer`, `overloaded`, `closed`,
  ///   `unknown`.
  public func claim(
    _ key: String, owner: String, value: String = "", kind: ResourceKind = .lock, lease: Duration
  ) async throws(LatchkeyError) {
    let resource = Resource(key: key, kind: kind, owner: owner, value: value)
    _ = try await answer(
      to: .claim(resource, leaseSeconds: try LeaseTerms.seconds(lease)))
  }

  /// Gives a resource back. Giving back what nobody has succeeds.
  ///
  /// - Throws: ``LatchkeyError/Code/heldByAnother`` where another owner has it, whose lease is not
  ///   touched, and what every call throws.
  public func release(_ key: String, owner: String) async throws(LatchkeyError) {
    do {
      _ = try await make(.release(key: key, owner: owner), deadline: requestDeadline)
    } catch {
      // An earlier try may have freed it, and somebody else was quick: it is given back either way.
      if error.mayHaveHappened, error.error.code == .heldByAnother { return }
      throw error.error
    }
  }

  /// The resource under a key; nil where nobody has it.
  ///
  /// - Throws: What every call throws.
  public func fetch(_ key: String) async throws(LatchkeyError) -> Resource? {
    try await fetch(key, deadline: requestDeadline)
  }

  /// All resources of one kind, in the order of their keys (by byte).
  ///
  /// - Throws: What every call throws.
  public func fetchAll(_ kind: ResourceKind) async throws(LatchkeyError) -> [Resource] {
    guard case .resources(let resources) = try await answer(to: .fetchAll(kind)) else { return [] }
    return resources
  }

  func fetch(_ key: String, deadline: Instant) async throws(LatchkeyError) -> Resource? {
    do {
      let (answer, _) = try await make(.fetch(key: key), deadline: deadline)
      guard case .resources(let resources) = answer else { return nil }
      return resources.first
    } catch  where error.error.code == .notFound {
      return nil
    } catch {
      throw error.error
    }
  }

  private func answer(to call: LockCall) async throws(LatchkeyError) -> LockAnswer {
    do {
      return try await make(call, deadline: requestDeadline).answer
    } catch {
      throw error.error
    }
  }

  // MARK: - The servers

  /// Whom this client talks to, in which wire version, and why. Connects where it has to.
  ///
  /// - Throws: What every call throws, but not `noCommonVersion`: the result says so.
  public func connectionInfo() async throws(LatchkeyError) -> ConnectionInfo {
    let deadline = requestDeadline
    do {
      let info = try await introduction(deadline: deadline)
      if info.serverNewestWire != nil { return info }
      // A proxy hides the handshake, but lets the header of responses through.
      _ = try? await ask(.page(path: "/healthz"), deadline: deadline)
      return try await introduction(deadline: deadline)
    } catch {
      throw error.error
    }
  }

  private func introduction(deadline: Instant) async throws(AttemptFailure) -> ConnectionInfo {
    guard case .introduced(let info) = try await ask(.introduction, deadline: deadline) else {
      preconditionFailure("an introduction was answered like a call")
    }
    return info
  }

  /// What the server says of itself, its fleet and its store.
  package func status() async throws(LatchkeyError) -> Latchkey_Fleet_V1_Status {
    let outcome: AttemptOutcome
    do {
      outcome = try await ask(.page(path: "/status"), deadline: requestDeadline)
    } catch {
      throw error.error
    }
    guard case .answered(let answered) = outcome else {
      preconditionFailure("a page was answered with an introduction")
    }
    return try ServerStatus.decode(answered.body)
  }
}
