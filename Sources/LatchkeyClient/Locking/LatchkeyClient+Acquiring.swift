import NIOCore
import WireSchema

// Getting a lock: ask for it, and while another owner has it, ask the server to wait, again and again.
// Where the server cannot wait, pause in between.
extension LatchkeyClient {
  /// Acquires what only this call wants in the name of its owner: where it fails after a claim that may
  /// have been granted, it gives the claim back.
  func acquireAnew(
    _ resource: Resource, lease: Duration, wait: Duration?
  ) async throws(LatchkeyError) -> HeldLease {
    do {
      return try await acquire(resource, lease: lease, wait: wait)
    } catch {
      if error.mayHaveHappened { await giveBack(resource) }
      throw error.error
    }
  }

  /// Claims `resource` until it is granted, waiting for at most `wait`.
  func acquire(
    _ resource: Resource, lease: Duration, wait: Duration?
  ) async throws(AttemptFailure) -> HeldLease {
    do {
      try LeaseTerms.check(lease)
      try LeaseTerms.check(wait: wait)
    } catch {
      throw AttemptFailure(error: error, mayHaveHappened: false)
    }
    let time = environment.time
    let waitEnd = wait.map { time.now + $0 }
    var pauses = DoublingDelay(configuration.pollInterval)
    var mayBeHeld = false
    // The first request does not wait: its answer shows that the server is well.
    var isHeld = false
    let requestID = String(environment.randomBits(), radix: 16)
    while true {
      let reason: LatchkeyError
      var canWait = false
      let start = time.now
      let left = waitEnd.map { max($0 - start, .zero) } ?? ClientLimits.waitMax
      let slice = isHeld ? min(left, ClientLimits.waitMax) : .zero
      do throws(AttemptFailure) {
        // A grant that takes longer than its lease is of no use.
        let deadline = start + slice + min(configuration.requestTimeout, lease)
        let answer = try await ask(
          for: resource, lease: lease, wait: slice, requestID: requestID, deadline: deadline)
        let held = try await hold(resource, lease, answer)
        if held.deadline != nil, !Task.isCancelled { return held }
        mayBeHeld = true
        reason = LatchkeyError(.deadlineExceeded, "the grant came after the end of its lease")
      } catch {
        mayBeHeld = mayBeHeld || error.mayHaveHappened
        canWait = error.version.map { environment.versions.version($0).canWait } ?? false
        reason = error.error
      }
      let now = time.now
      let isOver = waitEnd.map { $0 <= now } ?? false
      if Task.isCancelled || isOver || !reason.isWorthWaitingFor {
        throw AttemptFailure(
          error: await reasonToGiveUp(reason, resource), mayHaveHappened: mayBeHeld)
      }
      let wasHeld = isHeld
      isHeld = reason.code == .heldByAnother
      // A server that waits is asked to do so at once.
      if isHeld, canWait, !wasHeld || now - start >= slice { continue }
      let pause = pauses.take(randomBits: environment.randomBits())
      await time.sleep(until: min(now + pause, waitEnd ?? now + pause), on: link.loop)
    }
  }

  /// Makes one request to acquire. It waits where there is room for one more that does: each keeps a
  /// stream of the connection, which others need, and renewals most of all.
  private func ask(
    for resource: Resource, lease: Duration, wait: Duration, requestID: String, deadline: Instant
  ) async throws(AttemptFailure) -> (answer: NewestWire.Response, sentAt: Instant) {
    let waits = wait > .zero && waitingRequests.take()
    defer { if waits { waitingRequests.giveBack() } }
    let request = NewestWire.Request.acquire(
      resource, lease: lease, wait: waits ? wait : .zero, requestID: requestID)
    return try await make(request, deadline: deadline)
  }

  /// The lease that an acquisition brought, which counts from when it was sent. Where so much of it is
  /// over that it was granted after a wait, most likely, it is renewed at once.
  private func hold(
    _ resource: Resource, _ lease: Duration,
    _ granted: (answer: NewestWire.Response, sentAt: Instant)
  ) async throws(AttemptFailure) -> HeldLease {
    guard case .acquire(let message) = granted.answer else {
      preconditionFailure("an acquisition was answered like another call")
    }
    let grant = Grant(message.grant, isRenewal: message.renewed)
    let time = environment.time
    var sentAt = granted.sentAt
    if let token = grant.token, time.now - sentAt > lease / ClientLimits.renewAfterDivisor {
      let deadline = time.now + min(configuration.requestTimeout, lease)
      do throws(AttemptFailure) {
        sentAt = try await renew(resource, token: token, lease: lease, deadline: deadline)
      } catch {
        throw AttemptFailure(error: error.error, mayHaveHappened: true)
      }
    }
    return HeldLease(
      resource, grant: grant, length: lease, sentAt: sentAt, time: time, loop: link.loop)
  }

  /// Renews by the token, which cannot bring back a grant that is over. Where there is none, or the
  /// server has none, by the owner.
  ///
  /// - Returns: When the renewal was sent.
  func renew(
    _ resource: Resource, token: Int64?, lease: Duration, deadline: Instant
  ) async throws(AttemptFailure) -> Instant {
    if let token {
      do throws(AttemptFailure) {
        let renewal = Renewal(key: resource.key, token: token, lease: lease)
        return try await make(
          .renew(NewestWire.RenewRequest(renewal)), deadline: deadline
        ).sentAt
      } catch {
        guard error.error.code == .requiresNewerPeer else { throw error }
      }
    }
    return try await make(.acquire(resource.renewal, lease: lease), deadline: deadline).sentAt
  }

  private func reasonToGiveUp(_ error: LatchkeyError, _ resource: Resource) async -> LatchkeyError {
    if Task.isCancelled {
      return LatchkeyError(.cancelled, "cancelled while waiting for \"\(resource.key)\"")
    }
    guard error.code == .heldByAnother else { return error }
    let deadline = environment.time.now + ClientLimits.holderLookupTimeout
    let holder = (try? await fetch(resource.key, deadline: deadline))?.owner
    return LatchkeyError(
      .waitEnded,
      "\"\(resource.key)\" is held by " + (holder.map { "\"\($0)\"" } ?? "another owner"),
      holder: holder, cause: error)
  }

  /// Releases, whatever becomes of the calling task. Takes ``ClientLimits/releaseTimeout`` at most.
  func giveBack(_ resource: Resource) async {
    let release = Task {
      let deadline = environment.time.now + ClientLimits.releaseTimeout
      _ = try await make(
        .release(resource.key, owner: resource.owner), deadline: deadline)
    }
    do {
      try await release.value
    } catch let failure as AttemptFailure where failure.error.isOfAnotherHolder {
      // Somebody else has it, and keeps it.
    } catch {
      configuration.logger.notice(
        "could not release; free when its lease ends",
        metadata: ["key": "\(resource.key)", "error": "\(error)"])
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
