import NIOCore

// Getting a lock: try, and try again while another owner has it.
extension LatchkeyClient {
  /// Claims `resource` until it is granted, waiting for at most `wait`.
  ///
  /// Where it fails after a claim that may have been granted, it gives the claim back.
  func acquire(
    _ resource: Resource, lease: Duration, wait: Duration?
  ) async throws(LatchkeyError) -> HeldLease {
    let seconds = try LeaseTerms.seconds(lease)
    try LeaseTerms.check(wait: wait)
    let time = environment.time
    let waitEnd = wait.map { time.now + $0 }
    var pauses = DoublingDelay(configuration.pollInterval)
    var mayBeHeld = false
    while true {
      let reason: LatchkeyError
      do throws(AttemptFailure) {
        // A grant that takes longer than its lease is of no use.
        let deadline = time.now + min(configuration.requestTimeout, lease)
        let claim = LockCall.claim(resource, leaseSeconds: seconds)
        let sentAt = try await make(claim, deadline: deadline).sentAt
        let held = HeldLease(
          resource, length: lease, sentAt: sentAt, time: time, loop: link.loop)
        if held.deadline != nil, !Task.isCancelled { return held }
        mayBeHeld = true
        reason = LatchkeyError(.deadlineExceeded, "the grant came after the end of its lease")
      } catch {
        mayBeHeld = mayBeHeld || error.mayHaveHappened
        reason = error.error
      }
      let now = time.now
      let isOver = waitEnd.map { $0 <= now } ?? false
      if Task.isCancelled || isOver || !reason.isWorthWaitingFor {
        if mayBeHeld { await giveBack(resource) }
        throw await reasonToGiveUp(reason, resource)
      }
      let pause = pauses.take(randomBits: environment.randomBits())
      await time.sleep(until: min(now + pause, waitEnd ?? now + pause), on: link.loop)
    }
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
        .release(key: resource.key, owner: resource.owner), deadline: deadline)
    }
    do {
      try await release.value
    } catch let failure as AttemptFailure where failure.error.code == .heldByAnother {
      // Somebody else has it, and keeps it.
    } catch {
      configuration.logger.notice(
        "could not release; free when its lease ends",
        metadata: ["key": "\(resource.key)", "error": "\(error)"])
    }
  }
}

extension LatchkeyError {
  /// Whether the same request may succeed later, with nothing changed but time.
  var isWorthWaitingFor: Bool {
    // What only a newer server understands is held by somebody, until it is free or a newer server
    // is asked.
    [.heldByAnother, .requiresNewerServer, .unavailable, .deadlineExceeded, .overloaded]
      .contains(code)
  }
}
