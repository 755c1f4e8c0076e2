import Logging
import NIOCore
import WireSchema

/// Keeps a lease from the client's event loop, with no task in between: a program whose tasks keep
/// all threads busy does not lose its locks for it. Renews until it is stopped or the lease is
/// over.
final class LeaseKeeper: Sendable {
  private let loop: any EventLoop
  private let renewals: NIOLoopBoundBox<Renewals?>

  /// - Parameter onLoss: Called on the event loop, once, where the lease is lost.
  init(_ held: HeldLease, over link: Link, onLoss: @escaping @Sendable () -> Void) {
    loop = link.loop
    let renewals = NIOLoopBoundBox.makeEmptyBox(valueType: Renewals.self, eventLoop: loop)
    self.renewals = renewals
    link.withDriver { driver in
      renewals.value = Renewals(held, driver, onLoss: onLoss)
      renewals.value?.begin()
    }
  }

  /// Nothing of it goes out after this.
  func stop() {
    loop.execute { [renewals] in
      renewals.value?.stop()
      renewals.value = nil
    }
  }
}

/// Carries out what ``RenewalState`` decides. Belongs to the link's event loop.
private final class Renewals {
  private let held: HeldLease
  private let driver: LinkDriver
  private let onLoss: () -> Void
  private var state: RenewalState
  private var calls: [RenewalState.Attempt: Call] = [:]
  private var planned: Alarm?
  private var leaseEnd: Alarm?
  private var isOver = false
  /// Whether it was said that renewals fail, since the latest one that was accepted.
  private var isFailureSaid = false

  private var time: any TimeSource { driver.time }
  private var randomBits: UInt64 { driver.environment.randomBits() }

  init(_ held: HeldLease, _ driver: LinkDriver, onLoss: @escaping () -> Void) {
    self.held = held
    self.driver = driver
    self.onLoss = onLoss
    state = RenewalState(lease: held.length)
  }

  func begin() {
    awaitLeaseEnd()
    perform(state.begin(sentAt: held.claimedAt, randomBits: randomBits))
  }

  func stop() {
    isOver = true
    perform(state.end())
    planned?.cancel()
    leaseEnd?.cancel()
    // They hold this.
    planned = nil
    leaseEnd = nil
  }

  // MARK: - The lease

  /// Notices the end of the lease when it comes, wherever renewals have moved it by then.
  private func awaitLeaseEnd() {
    guard !isOver else { return }
    guard let deadline = held.deadline else { return lost() }
    let this = NIOLoopBound(self, eventLoop: driver.loop)
    leaseEnd = time.schedule(at: deadline, on: driver.loop) { this.value.awaitLeaseEnd() }
  }

  private func lost() {
    guard !isOver else { return }
    stop()
    held.report(to: driver.log)
    onLoss()
  }

  // MARK: - What is decided

  private func perform(_ actions: [RenewalState.Action]) {
    for action in actions {
      switch action {
      case .send(let attempt, let deadline): send(attempt, deadline: deadline)
      case .cancel(let attempt): calls.removeValue(forKey: attempt)?.cancel()
      case .plan(let time): plan(at: time)
      }
    }
  }

  private func plan(at time: Instant) {
    planned?.cancel()
    let this = NIOLoopBound(self, eventLoop: driver.loop)
    planned = self.time.schedule(at: time, on: driver.loop) {
      let renewals = this.value
      guard !renewals.isOver else { return }
      renewals.perform(renewals.state.due(at: renewals.time.now))
    }
  }

  private func send(_ attempt: RenewalState.Attempt, deadline: Instant) {
    planned?.cancel()
    let (request, fallback) = held.renewal
    var inquiry = Inquiry(.call(request), deadline: deadline, isOfHold: true)
    inquiry.fallback = fallback.map(Question.call)
    // Each attempt has a place of its own in the order of answers.
    inquiry.isRepeated = false
    inquiry.terms.overdueAfter = state.plan.overdueAfter
    inquiry.terms.pauseMax = state.plan.pauseMax
    let call = Call(inquiry, driver) {
      self.overdue(attempt)
    } completion: { outcome in
      self.ended(attempt, outcome, to: request, otherwise: fallback)
    }
    calls[attempt] = call
    call.start()
  }

  // MARK: - What becomes of attempts

  private func overdue(_ attempt: RenewalState.Attempt) {
    guard calls[attempt] != nil else { return }
    perform(state.overdue(attempt, at: time.now))
  }

  private func ended(
    _ attempt: RenewalState.Attempt, _ outcome: CallOutcome, to request: NewestWire.Request,
    otherwise fallback: NewestWire.Request?
  ) {
    // Those that were cancelled are not waited for.
    guard calls.removeValue(forKey: attempt) != nil else { return }
    let isByOwner = fallback == nil || outcome.usedFallback
    do throws(AttemptFailure) {
      let answer = try CallAnswer(outcome, to: request, otherwise: fallback, driver.environment)
      accepted(attempt, sentAt: answer.sentAt, isByOwner: isByOwner)
    } catch {
      failed(attempt, error)
    }
  }

  private func accepted(_ attempt: RenewalState.Attempt, sentAt: Instant, isByOwner: Bool) {
    if isFailureSaid {
      driver.log(.notice, "renewals work again", ["key": "\(held.resource.key)"])
    }
    isFailureSaid = false
    held.accepted(sentAt: sentAt, isByOwner: isByOwner)
    // Where it came after the end, that is for the alarm to say.
    perform(
      state.accepted(attempt, sentAt: sentAt, at: time.now, randomBits: randomBits))
  }

  private func failed(_ attempt: RenewalState.Attempt, _ failure: AttemptFailure) {
    // By the token, the grant is over for good, whatever else is on its way. By the owner, somebody
    // else held the key between two of the attempts, or holds it now: what the body did then was
    // not protected, whichever answer came first.
    if failure.error.isOfAnotherHolder {
      held.taken(failure.error, othersInFlight: !calls.isEmpty)
      return lost()
    }
    // The lease stands until its end, of which a client that was shut down needs no warning.
    if failure.error.code != .closed {
      // One line for those that fail one after the other.
      driver.log(
        isFailureSaid ? .debug : .warning, "a renewal failed",
        [
          "key": "\(held.resource.key)", "left": "\(held.remaining)", "error": "\(failure.error)",
        ])
    }
    isFailureSaid = true
    // Everything else may pass.
    held.failed(failure.error)
    perform(
      state.failed(
        attempt, isMoving: failure.retry == .again,
        isDenied: [.permissionDenied, .unauthenticated].contains(failure.error.code),
        at: time.now, randomBits: randomBits))
  }
}
