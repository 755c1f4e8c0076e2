import Logging
import WireSchema

// Getting a lock, and giving it back.
extension LatchkeyClient {
  /// Acquires what only this call wants in the name of its owner: what the owner has already is
  /// refused, and where this fails after a claim that may have been granted, it gives the claim
  /// back.
  func acquireAnew(
    _ resource: Resource, lease: Duration, wait: Duration?
  ) async throws(LatchkeyError) -> HeldLease {
    let alarm = wait == .zero ? nil : warningOfWaitForItself(resource.key)
    defer { alarm?.cancel() }
    let held: HeldLease
    do {
      held = try await acquire(resource, lease: lease, wait: wait, isAnew: true)
    } catch {
      if error.mayHaveHappened { await giveBack(resource) }
      throw error.error
    }
    if holds.isClosing {
      await giveBack(resource, token: held.grant.token)
      throw LinkDriver.closedFailure.error
    }
    return held
  }

  /// Where the caller works under this very key, it may wait for its own end.
  private func warningOfWaitForItself(_ key: String) -> Alarm? {
    guard HeldHere.contains(key, of: self) else { return nil }
    let time = environment.time.now + ClientLimits.waitForItselfMax
    return environment.time.schedule(at: time, on: link.loop) { [log] in
      log(
        .warning, "a body waits for the lock that it holds itself, which ends only with the body",
        ["key": "\(key)"])
    }
  }

  /// Claims `resource` until it is granted, waiting for at most `wait`.
  ///
  /// - Parameter isAnew: Whether the owner is to have it by this call only.
  func acquire(
    _ resource: Resource, lease: Duration, wait: Duration?, isAnew: Bool = false
  ) async throws(AttemptFailure) -> HeldLease {
    do {
      try LeaseTerms.check(lease)
      try LeaseTerms.check(wait: wait)
    } catch {
      throw AttemptFailure(error: error, mayHaveHappened: false)
    }
    var acquisition = Acquisition(
      of: resource, lease: lease, wait: wait, isAnew: isAnew, with: self)
    do throws(AttemptFailure) {
      let held = try await acquisition.run()
      acquisition.end()
      return held
    } catch {
      // The next in line need not wait for the words of this one's error.
      acquisition.end()
      throw AttemptFailure(
        error: await reasonToGiveUp(error.error, resource),
        mayHaveHappened: error.mayHaveHappened)
    }
  }

  private func reasonToGiveUp(_ error: LatchkeyError, _ resource: Resource) async -> LatchkeyError {
    if Task.isCancelled {
      return LatchkeyError(.cancelled, "cancelled while waiting for \"\(resource.key)\"")
    }
    guard error.code == .heldByAnother else { return error }
    var holder = error.holder
    if holder == nil {
      // Older servers do not say.
      let deadline = environment.time.now + ClientLimits.holderLookupTimeout
      holder = (try? await fetch(resource.key, deadline: deadline))?.owner
    }
    return LatchkeyError(
      .waitEnded,
      "\"\(resource.key)\" is held by " + (holder.map { "\"\($0)\"" } ?? "another owner"),
      holder: holder)
  }

  /// Renews by the token, which cannot bring back a grant that is over. Where there is none, or the
  /// server has none, by the owner.
  ///
  /// - Returns: When the renewal was sent.
  func renew(
    _ resource: Resource, token: Int64?, lease: Duration, deadline: Instant
  ) async throws(AttemptFailure) -> Instant {
    let (request, fallback) = resource.renewal(token: token, lease: lease)
    return try await make(
      request, otherwise: fallback, Inquiry(.call(request), deadline: deadline)
    ).sentAt
  }

  /// Releases, whatever becomes of the calling task. Takes ``ClientLimits/releaseTimeout`` at most.
  ///
  /// - Parameter token: That of the grant, where it is known: no other grant is given back then.
  func giveBack(_ resource: Resource, token: Int64? = nil) async {
    let release = Task {
      let byOwner = NewestWire.Request.release(resource.key, owner: resource.owner)
      let request = token.map { .release(resource.key, token: $0) } ?? byOwner
      let deadline = environment.time.now + ClientLimits.releaseTimeout
      _ = try await make(
        request, otherwise: byOwner, Inquiry(.call(request), deadline: deadline, isOfHold: true))
    }
    do {
      try await release.value
    } catch let failure as AttemptFailure where failure.error.isOfAnotherHolder {
      // Somebody else has it, and keeps it.
    } catch {
      let error = (error as? AttemptFailure)?.error ?? LatchkeyError(.unknown, "\(error)")
      log(
        .warning, "could not release; free when its lease ends",
        ["key": "\(resource.key)", "error": "\(error)"]
      ) { [onUnreleased = configuration.onUnreleased] in
        onUnreleased?(resource.key, error)
      }
    }
  }
}

extension LatchkeyError {
  /// Whether it says that somebody else has the key by now.
  var isOfAnotherHolder: Bool { code == .heldByAnother || code == .notTheHolder }

  /// Whether the same request may succeed later, with nothing changed but time.
  var isWorthWaitingFor: Bool {
    // What only a newer server understands is held by somebody, until it is free or a newer server
    // is asked.
    [.heldByAnother, .requiresNewerServer, .unavailable, .deadlineExceeded, .overloaded]
      .contains(code)
  }
}
