import NIOCore

/// Renews a lease until it is told to stop (its task is cancelled) or the lease is over.
struct LeaseKeeper: Sendable {
  let client: LatchkeyClient
  let held: HeldLease

  func run() async {
    let environment = client.environment
    let time = environment.time
    let plan = RenewalPlan(
      lease: held.length, requestTimeout: client.configuration.requestTimeout)
    var next = plan.next(after: held.claimedAt, randomBits: environment.randomBits())
    while true {
      await time.sleep(until: next, on: client.link.loop)
      guard !Task.isCancelled, let leaseDeadline = held.deadline else { return }
      let deadline = plan.attemptDeadline(at: time.now, leaseDeadline: leaseDeadline)
      do throws(AttemptFailure) {
        let sentAt = try await client.renew(
          held.resource, token: held.grant.token, lease: held.length, deadline: deadline)
        held.accepted(sentAt: sentAt)
        next = plan.next(after: sentAt, randomBits: environment.randomBits())
      } catch {
        if Task.isCancelled { return }
        note(error.error)
        if error.error.isOfAnotherHolder { return held.taken(error.error) }
        // Everything else may pass, and the lease stands until its end.
        held.failed(error.error)
        next = time.now + plan.pause(randomBits: environment.randomBits())
      }
    }
  }

  private func note(_ error: LatchkeyError) {
    client.configuration.logger.warning(
      "a renewal failed",
      metadata: [
        "key": "\(held.resource.key)", "left": "\(held.remaining)", "error": "\(error)",
      ])
  }
}
