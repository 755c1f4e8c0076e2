import NIOCore
import WireSchema

/// Somebody's way to a lock: asks for it, and while another owner has it, asks the server to wait,
/// again and again. Where the server cannot wait, it pauses in between. Of those who want a key
/// through one client, one asks at a time: the others wait in line behind it.
struct Acquisition {
  private let resource: Resource
  private let lease: Duration
  private let waitEnd: Instant?
  /// Until when a question that can grant nothing may take: a wait that is shorter still leaves time
  /// to connect.
  private let questionEnd: Instant?
  /// Whether the owner is to have it by this acquisition only. Otherwise it may have it already:
  /// then it is renewed, whoever is in line.
  private let isAnew: Bool
  /// Whether the first request, too, is made only when nobody is in line.
  private let isFirstAskedInLine: Bool
  private let client: LatchkeyClient
  private let requestID: String
  private var pauses: DoublingDelay
  private var ticket: WaitLines.Ticket?
  /// Whether a claim may have been granted though it was not answered.
  private var mayBeHeld = false
  /// Whether the owner is this acquisition's alone, or was seen to hold nothing.
  private var isOwnerKnownFree: Bool
  /// Whether another owner had it by the latest answer. The first request does not wait: its answer
  /// shows that the server is well.
  private var isHeld = false

  private var time: any TimeSource { client.environment.time }
  private var lines: WaitLines { client.lines }

  init(
    of resource: Resource, lease: Duration, wait: Duration?, isAnew: Bool,
    with client: LatchkeyClient
  ) {
    self.resource = resource
    self.lease = lease
    let now = client.environment.time.now
    waitEnd = wait.map { now + $0 }
    questionEnd = wait.map { now + max($0, client.configuration.connectTimeout) }
    self.isAnew = isAnew
    // Who tries once does not wait for others.
    isFirstAskedInLine = isAnew && wait != .zero
    isOwnerKnownFree = !isAnew || LatchkeyClient.isUnique(resource.owner)
    self.client = client
    requestID = String(client.environment.randomBits(), radix: 16)
    pauses = DoublingDelay(client.configuration.pollInterval)
  }

  mutating func run() async throws(AttemptFailure) -> HeldLease {
    while true {
      if isHeld || isFirstAskedInLine { try await awaitTurn() }
      let start = time.now
      let left = waitEnd.map { max($0 - start, .zero) } ?? ClientLimits.waitMax
      let sliceMax = lines.isCrowded ? ClientLimits.crowdedWaitMax : ClientLimits.waitMax
      let slice = isHeld && takePlace() ? min(left, sliceMax) : .zero
      let reason: AttemptFailure
      do throws(AttemptFailure) {
        if !isOwnerKnownFree {
          try await checkThatOwnerHoldsNothing()
          isOwnerKnownFree = true
        }
        return try await ask(wait: slice, at: start)
      } catch {
        reason = error
      }
      mayBeHeld = mayBeHeld || reason.mayHaveHappened
      let now = time.now
      let isOver = waitEnd.map { $0 <= now } ?? false
      if Task.isCancelled || isOver || !reason.error.isWorthWaitingFor {
        throw AttemptFailure(error: reason.error, mayHaveHappened: mayBeHeld)
      }
      if let ticket { lines.note(reason.error, by: ticket) }
      let wasHeld = isHeld
      isHeld = reason.error.code == .heldByAnother
      let canWait =
        reason.version.map { client.environment.versions.version($0).canWait } ?? false
      if !canWait || lines.isCrowded { giveBackPlace() }
      // A server that waits is asked to do so at once.
      if isHeld, canWait, !wasHeld || slice > .zero && now - start >= slice { continue }
      try await pause(from: now, hadPlace: slice > .zero)
    }
  }

  /// Lets the next one in line ask. To be called whatever has become of it.
  mutating func end() {
    if let ticket { lines.leave(ticket) }
    ticket = nil
  }

  // MARK: - The line

  private mutating func join() throws(AttemptFailure) -> WaitLines.Ticket {
    if let ticket { return ticket }
    do {
      let new = try lines.join(resource.key)
      ticket = new
      return new
    } catch {
      throw AttemptFailure(error: error, mayHaveHappened: mayBeHeld)
    }
  }

  /// Returns when nobody is in line before this one.
  private mutating func awaitTurn() async throws(AttemptFailure) {
    let ticket = try join()
    guard !lines.isFirst(ticket) else { return }
    await lines.sleep(ticket, until: waitEnd, time: time, on: client.link.loop) {
      $0.isFirst(ticket)
    }
    let heard = lines.reason(for: ticket)
    guard lines.isFirst(ticket), !client.holds.isClosing else {
      let reason =
        client.holds.isClosing
        ? LinkDriver.closedFailure.error
        : heard
          ?? LatchkeyError(.heldByAnother, "others wait for \"\(resource.key)\" before this one")
      throw AttemptFailure(error: reason, mayHaveHappened: mayBeHeld)
    }
    // The one before was granted it, or has just been told so.
    isHeld = heard.map { $0.code == .heldByAnother } ?? true
  }

  private mutating func takePlace() -> Bool { ticket.map { lines.takePlace($0) } ?? false }

  private func giveBackPlace() { if let ticket { lines.giveBackPlace(ticket) } }

  /// A pause after which to ask again, cut short by a place at the server.
  private mutating func pause(
    from now: Instant, hadPlace: Bool
  ) async throws(AttemptFailure) {
    let ticket = try join()
    let pause = pauses.take(randomBits: client.environment.randomBits())
    let end = min(now + pause, waitEnd ?? now + pause)
    await lines.sleep(ticket, until: end, time: time, on: client.link.loop) {
      !hadPlace && $0.hasPlace(ticket)
    }
  }

  // MARK: - One request

  /// Refuses what the owner holds already, before a claim would renew that: the hold of a program
  /// that died has to come to its end, however often its successor tries.
  private func checkThatOwnerHoldsNothing() async throws(AttemptFailure) {
    // Nothing can be granted by it, so that the wait bounds it.
    let deadline = client.requestDeadline
    do {
      let found = try await client.fetch(
        resource.key, deadline: questionEnd.map { min($0, deadline) } ?? deadline,
        patienceEnd: waitEnd)
      guard found?.owner == resource.owner else { return }
    } catch {
      // Who may hold it need not see it: what the server says to the request itself is enough.
      if error.code == .permissionDenied { return }
      throw AttemptFailure(error: error, mayHaveHappened: false)
    }
    throw alreadyHeld
  }

  private var alreadyHeld: AttemptFailure {
    let error = LatchkeyError(
      .alreadyHeld, "\"\(resource.key)\" is already held by this owner, \"\(resource.owner)\"",
      holder: resource.owner)
    return AttemptFailure(error: error, mayHaveHappened: false)
  }

  private func ask(
    wait: Duration, at start: Instant
  ) async throws(AttemptFailure) -> HeldLease {
    // A grant that takes longer than its lease is of no use.
    let deadline = start + wait + min(client.configuration.requestTimeout, lease)
    let request = NewestWire.Request.acquire(
      resource, lease: lease, wait: wait, requestID: requestID)
    var inquiry = Inquiry(.call(request), deadline: deadline)
    inquiry.terms.patienceEnd = waitEnd
    let answer = try await client.make(request, inquiry)
    guard case .acquire(let message) = answer.response else {
      preconditionFailure("an acquisition was answered like another call")
    }
    let grant = Grant(message.grant, isRenewal: message.renewed)
    // A claim that got no answer may have been granted to this very acquisition.
    if isAnew, grant.isRenewal, !mayBeHeld, !answer.isAfterUncertainty { throw alreadyHeld }
    let held = HeldLease(
      resource, grant: grant, length: lease,
      sentAt: try await standing(of: grant, sentAt: answer.sentAt), time: time,
      loop: client.link.loop)
    guard held.deadline != nil, !Task.isCancelled else {
      throw AttemptFailure(
        error: LatchkeyError(
          .deadlineExceeded,
          "the grant of \"\(resource.key)\" came only after the end of its lease of \(lease)"),
        mayHaveHappened: true)
    }
    return held
  }

  /// From when the lease of a grant counts: from when it was asked for. Where so much of it is over
  /// that it was granted after a wait, most likely, it is renewed at once.
  private func standing(
    of grant: Grant, sentAt: Instant
  ) async throws(AttemptFailure) -> Instant {
    guard let token = grant.token, time.now - sentAt > lease / ClientLimits.renewAfterDivisor
    else { return sentAt }
    let deadline = time.now + min(client.configuration.requestTimeout, lease)
    do throws(AttemptFailure) {
      return try await client.renew(resource, token: token, lease: lease, deadline: deadline)
    } catch {
      throw AttemptFailure(error: error.error, mayHaveHappened: true)
    }
  }
}
