import NIOCore

// Locks and presences for the time that a body runs.
extension LatchkeyClient {
  /// Waits for a lock and runs `body` while it is held.
  ///
  /// The lease is renewed about every third of it, by the client's own thread: also while `body`
  /// blocks or computes. When it is lost (no renewal was accepted in time, or another owner has the
  /// key), `body` is cancelled, at the latest `lease` after the last accepted request was *sent*,
  /// which is before anybody else can be granted the lock.
  /// Swift cannot abandon a running function, so this returns when `body` does, and then throws
  /// `leaseLost` whatever `body` brought. Whoever cannot be interrupted by cancellation asks the
  /// grant: ``LockGrant/isLost``, ``LockGrant/remaining``, ``LockGrant/untilLost()``.
  ///
  /// The lock is released when `body` is done, also when it throws or the task is cancelled; that
  /// takes 2 seconds at most, after which the lock is left to the end of its lease.
  ///
  /// Those who wait for a key through one client are granted it in the order in which they came,
  /// beside what other clients are granted.
  ///
  /// A lock is not reentrant: a call for the same key inside of `body` waits until `body` is done,
  /// which is for ever where `body` waits for it. That is said in the log, as a warning.
  ///
  /// - Parameters:
  ///   - key: 1 to 512 bytes of UTF-8 without NUL, not starting with "_latchkey/".
  ///   - owner: In whose name: unique to this very call, so leave it out unless you have such a
  ///     name. To the servers, two calls with the same owner are the same holder. The second one is
  ///     refused as `alreadyHeld`; so is a program that was restarted, until the lease of the one
  ///     that died is over. What cannot be told: two that begin at the same moment at servers of
  ///     wire v1, and a claim that is repeated because its answer was lost; there both run.
  ///   - value: What is to be known of the holder: at most 65,536 bytes of UTF-8 without NUL.
  ///   - attributes: The value as named, typed values, in its place.
  ///   - labels: What is to be stuck on it, by name: needs servers of wire v3.
  ///   - lease: How long the lock survives this process or its connection: 500 ms to 365 days.
  ///   - wait: How long to wait while another owner has it; nil waits for as long as it takes, also
  ///     for servers that cannot be reached. Zero tries once. It bounds the call, but for two
  ///     things. A request that was sent may have been granted: it is waited for, for
  ///     ``Configuration/requestTimeout`` at most, or given back. And also a call that does not
  ///     wait has to connect: each address of each endpoint is tried once, which takes
  ///     ``Configuration/connectTimeout`` for one that does not answer, and
  ///     ``Configuration/requestTimeout`` at most for all. Where all have failed in turn (refused
  ///     connections do so at once), the end of the wait is the end: `unavailable`.
  ///   - isolation: The actor on which `body` runs.
  /// - Throws: ``LatchkeyError`` with `waitEnded`, `leaseLost`, `alreadyHeld`, `cancelled` (while
  ///   waiting) or what every call throws; and what `body` throws.
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
    try await withoutActuallyEscaping(body) { body in
      let handedOver = HandedOver(body: body)
      return try await hold(
        acquiredBy: { () async throws(LatchkeyError) in
          try await acquireAnew(resource, lease: lease, wait: wait)
        }
      ) { held in
        try await handedOver.run(on: isolation, LockGrant(held))
      }
    }
  }

  /// Acquires something, runs `body` while it is kept, then gives it back. Not on the caller's
  /// actor, which `body` may keep busy while the lease ends. ``shutdown()`` waits for all of it.
  func hold<R: Sendable>(
    acquiredBy acquire: () async throws -> HeldLease,
    _ body: @escaping @Sendable (HeldLease) async throws -> R
  ) async throws -> R {
    let hold = try holds.begin()
    defer { holds.end(hold) }
    let held = try await acquire()
    // Not a child: it is cancelled from the event loop when the lease is lost, which takes no
    // thread of the tasks' own.
    let task = Task {
      try await HeldHere.with(held.resource.key, of: self) { try await body(held) }
    }
    let keeper = LeaseKeeper(held, over: link) { task.cancel() }
    holds.onRecall(hold) {
      held.recall()
      task.cancel()
    }
    let result = await withTaskCancellationHandler {
      await task.result
    } onCancel: {
      task.cancel()
    }
    let wasHeld = held.end()
    keeper.stop()
    if wasHeld || held.mayBeHeldAnew {
      await giveBack(held.resource, token: wasHeld ? held.grant.token : nil)
    }
    if let loss = held.loss {
      held.report(to: log)
      throw loss
    }
    return try result.get()
  }
}

/// Lets another task call a closure that is not Sendable.
///
/// `@unchecked Sendable`: the closure belongs to the task that waits in `withoutActuallyEscaping`
/// until the only task that calls it, once, is done; and that one calls it on the first one's
/// actor, so nothing that the actor protects is touched from elsewhere.
private struct HandedOver<R: Sendable>: @unchecked Sendable {
  let body: nonisolated(nonsending) (LockGrant) async throws -> R

  func run(on isolation: isolated (any Actor)?, _ grant: LockGrant) async throws -> R {
    try await body(grant)
  }
}
