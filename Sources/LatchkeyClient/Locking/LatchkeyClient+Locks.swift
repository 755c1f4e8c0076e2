import NIOCore

// Locks and presences for the time that a body runs.
extension LatchkeyClient {
  /// Waits for a lock and runs `body` while it is held.
  ///
  /// The lease is renewed in the background about every third of it. When it is lost (no renewal was
  /// accepted in time, or another owner has the key), `body` is cancelled, at the latest `lease`
  /// after the last accepted request was *sent*, which is before anybody else can be granted the lock.
  /// Swift cannot abandon a running function, so this returns when `body` does, and then throws
  /// `leaseLost` whatever `body` brought. Whoever cannot be interrupted by cancellation asks the
  /// grant: ``LockGrant/isLost``, ``LockGrant/remaining``, ``LockGrant/untilLost()``.
  ///
  /// The lock is released when `body` is done, also when it throws or the task is cancelled; that
  /// takes 2 seconds at most, after which the lock is left to the end of its lease.
  ///
  /// - Parameters:
  ///   - key: 1 to 512 bytes of UTF-8 without NUL, not starting with "_latchkey/".
  ///   - owner: In whose name. Two calls with the same owner do not exclude each other, so leave it
  ///     out unless you have a name that is unique to this very call.
  ///   - value: What is to be known of the holder: at most 65,536 bytes of UTF-8 without NUL.
  ///   - attributes: The value as named, typed values, in its place.
  ///   - labels: What is to be stuck on it, by name: needs servers of wire v3.
  ///   - lease: How long the lock survives this process or its connection: 500 ms to 365 days.
  ///   - wait: How long to wait while another owner has it; nil waits for as long as it takes, also
  ///     for servers that cannot be reached. Zero tries once. A request under way when the time is up
  ///     is still waited for.
  ///   - isolation: The actor on which `body` runs.
  /// - Throws: ``LatchkeyError`` with `waitEnded`, `leaseLost`, `cancelled` (while waiting) or what
  ///   every call throws; and what `body` throws.
  public func withLock<R: Sendable>(
    _ key: String, owner: String = LatchkeyClient.uniqueOwner(), value: String = "",
    attributes: Attributes? = nil, labels: [String: String] = [:],
    lease: Duration = .seconds(15), wait: Duration? = nil,
    isolation: isolated (any Actor)? = #isolation,
    _ body: nonisolated(nonsending) (LockGrant) async throws -> R
  ) async throws -> R {
    let resource = try Resource(
      key, .lock, owner: owner, value: value, attributes: attributes, labels: labels)
    return try await hold(resource, lease: lease, wait: wait, isolation: isolation, body)
  }

  /// Announces a presence and runs `body` while it is there.
  ///
  /// A presence says "this program lives" to whoever lists presences. It is no promise that the
  /// program is well, and it may be seen for up to a lease after the program died. Otherwise it is
  /// like ``withLock(_:owner:value:attributes:labels:lease:wait:isolation:_:)``: a key has one owner at a time, so give
  /// each program a key of its own.
  ///
  /// - Throws: As ``withLock(_:owner:value:attributes:labels:lease:wait:isolation:_:)``.
  public func withPresence<R: Sendable>(
    _ key: String, owner: String = LatchkeyClient.uniqueOwner(), value: String = "",
    attributes: Attributes? = nil, labels: [String: String] = [:],
    lease: Duration = .seconds(15), wait: Duration? = nil,
    isolation: isolated (any Actor)? = #isolation,
    _ body: nonisolated(nonsending) (LockGrant) async throws -> R
  ) async throws -> R {
    let resource = try Resource(
      key, .presence, owner: owner, value: value, attributes: attributes, labels: labels)
    return try await hold(resource, lease: lease, wait: wait, isolation: isolation, body)
  }

  private func hold<R: Sendable>(
    _ resource: Resource, lease: Duration, wait: Duration?,
    isolation: isolated (any Actor)?,
    _ body: nonisolated(nonsending) (LockGrant) async throws -> R
  ) async throws -> R {
    let held = try await acquireAnew(resource, lease: lease, wait: wait)
    return try await withoutActuallyEscaping(body) { body in
      let handedOver = HandedOver(body: body)
      return try await hold(held) {
        try await handedOver.run(on: isolation, LockGrant(held))
      }
    }
  }

  /// Runs `body` while `held` is kept, then gives it back. Not on the caller's actor, which `body` may
  /// keep busy while the lease ends.
  func hold<R: Sendable>(
    _ held: HeldLease, _ body: @escaping @Sendable () async throws -> R
  ) async throws -> R {
    // Not a child: it has to go on renewing while a cancelled body is still cleaning up.
    let keeper = Task { await LeaseKeeper(client: self, held: held).run() }
    let result = await withTaskGroup(of: Result<R, any Error>?.self) { group in
      group.addTask {
        do { return .success(try await body()) } catch { return .failure(error) }
      }
      group.addTask {
        await held.untilRemaining(.zero)
        return nil
      }
      // Either the body is done, and nobody needs to hear of the lease, or the lease is over.
      var result = await group.next().flatMap(\.self)
      group.cancelAll()
      while let next = await group.next() { result = result ?? next }
      return result
    }
    let wasHeld = held.end()
    keeper.cancel()
    await keeper.value
    if wasHeld {
      await giveBack(held.resource)
    } else if let loss = held.loss {
      configuration.logger.error(
        "a lease was lost", metadata: ["key": "\(held.resource.key)", "error": "\(loss)"])
      throw loss
    }
    guard let result else { preconditionFailure("a body ended without a result") }
    return try result.get()
  }
}

/// Lets a child task call a closure that is not Sendable.
///
/// `@unchecked Sendable`: the closure belongs to the task that waits in `withoutActuallyEscaping`
/// until the only child that calls it, once, is done; and the child calls it on that task's actor, so
/// nothing that the actor protects is touched from elsewhere.
private struct HandedOver<R: Sendable>: @unchecked Sendable {
  let body: nonisolated(nonsending) (LockGrant) async throws -> R

  func run(on isolation: isolated (any Actor)?, _ grant: LockGrant) async throws -> R {
    try await body(grant)
  }
}
