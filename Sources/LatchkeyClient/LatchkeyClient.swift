package import WireSchema

/// A client of the Latchkey lock service.
///
/// What is **not** promised: a lock is a lease, and a process cannot know that it was paused. Code
/// that holds a lock may be stopped by its machine at any line, past the end of its lease, and go on
/// while somebody else holds the lock already. ``withLock(_:owner:value:attributes:labels:lease:wait:isolation:_:)``
/// tells it at once when it runs again, not before. What must not be done twice at any price checks the
/// fencing token where it is done: ``LockGrant/token`` grows with each grant of a key, so a database
/// that refuses tokens smaller than the greatest it has seen refuses who was paused.
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
  let log: ClientLog
  let link: Link
  let lines = WaitLines()
  let holds = Holds()

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
    log = ClientLog(configuration.logger)
    link = Link(configuration, environment, log)
  }

  deinit { link.close() }

  /// Shuts the client down in good order: calls under way and new ones end with
  /// ``LatchkeyError/Code/closed``, and so does who waits for a lock. Bodies of
  /// ``withLock(_:owner:value:attributes:labels:lease:wait:isolation:_:)`` and the like are
  /// cancelled, and their grants say that they have to stop (``LockGrant/isLost``); until each has
  /// ended its lease is still kept, then it is given back. Then the connections are closed.
  ///
  /// That takes 5 seconds at most (and half a second where the logger blocks), also where the
  /// calling task is cancelled: what a body that goes on for longer holds, and what
  /// ``acquire(_:owner:value:attributes:labels:grantedAt:kind:lease:wait:)`` brought, is left to
  /// the end of its lease. So a body that calls this itself waits for nothing.
  public func shutdown() async {
    let ended = Wakeup()
    let time = environment.time
    link.withDriver { $0.beginClosing() }
    holds.close(ended)
    lines.close()
    let alarm = time.schedule(at: time.now + ClientLimits.shutdownTimeout, on: link.loop) {
      ended.fire()
    }
    await Task { await ended.wait() }.value
    alarm.cancel()
    await withCheckedContinuation { continuation in link.close { continuation.resume() } }
    await untilSaid()
  }

  /// Returns when the user's logger has taken what it was told, or does not.
  func untilSaid() async {
    let said = Wakeup()
    let time = environment.time
    log.flush { said.fire() }
    let alarm = time.schedule(at: time.now + ClientLimits.logFlushTimeout, on: link.loop) {
      said.fire()
    }
    await Task { await said.wait() }.value
    alarm.cancel()
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

  /// Returns where a server should get requests.
  ///
  /// - Throws: Why it should not, in its own words, or why it cannot be asked.
  package func checkReadiness() async throws(LatchkeyError) { _ = try await page("/readyz") }

  /// What the server says of itself, its fleet and its store.
  package func status() async throws(LatchkeyError) -> Latchkey_Fleet_V1_Status {
    let body = try await page("/status")
    return try Self.understood { () throws(WireError) in
      try Codec.json.decode(Latchkey_Fleet_V1_Status.self, from: body)
    }
  }

  /// What happened at the server lately.
  ///
  /// - Parameters:
  ///   - key: Nil for all.
  ///   - max: At most so many, of which the latest ones; 1 to 1,000.
  package func events(
    of key: String?, max: Int
  ) async throws(LatchkeyError) -> Latchkey_Fleet_V1_Events {
    let part = key.map { "&key=\(Self.percentEncoded($0))" } ?? ""
    let body = try await page("/events?limit=\(max)\(part)")
    return try Self.understood { () throws(WireError) in
      try Codec.json.decode(Latchkey_Fleet_V1_Events.self, from: body)
    }
  }

  private static func percentEncoded(_ text: String) -> String {
    text.utf8.map { byte in
      let scalar = Unicode.Scalar(byte)
      let isPlain = byte < 0x80 && (scalar.properties.isAlphabetic || (0x30...0x39).contains(byte))
      return isPlain ? String(scalar) : "%" + String(Int(byte) + 0x100, radix: 16).dropFirst()
    }.joined()
  }

  private func page(_ path: String) async throws(LatchkeyError) -> [UInt8] {
    let outcome: AttemptOutcome
    do {
      outcome = try await ask(.page(path: path), deadline: requestDeadline)
    } catch {
      throw error.error
    }
    guard case .answered(let answered) = outcome else {
      preconditionFailure("a page was answered with an introduction")
    }
    return answered.body
  }

  /// Fields that are not known are ignored: the server may be newer.
  private static func understood<Page>(
    _ decode: () throws(WireError) -> Page
  ) throws(LatchkeyError) -> Page {
    do throws(WireError) {
      return try decode()
    } catch {
      throw LatchkeyError(.unknown, "the answer is not a Latchkey server's", cause: error)
    }
  }
}
