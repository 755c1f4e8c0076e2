import Logging
import NIOCore
import Exclusion
import WireSchema

/// A lease in somebody's hands: its state, and those who want to hear of its end.
final class HeldLease: Sendable {
  let resource: Resource
  let length: Duration
  /// When the claim was sent that was granted.
  let claimedAt: Instant
  /// What was granted. Its token stays for as long as it is held, also while servers of wire v1, which
  /// have no tokens, renew it.
  let grant: Grant
  private let time: any TimeSource
  private let loop: any EventLoop
  private let shared: Mutex<Shared>

  private struct Shared {
    var state: LeaseState
    /// What led to the loss, where there is more to say than that time ran out.
    var cause: LatchkeyError?
    /// The client is being shut down: the body has to stop, though the lease stands.
    var isRecalled = false
    var isReported = false
    /// Whether the owner may have been granted the key anew, by a claim that was meant as a
    /// renewal.
    var mayBeHeldAnew = false
    var isRenewedByOwner = false
    var listeners: [Int: Wakeup] = [:]
    var listenerCount = 0
  }

  /// - Parameter sentAt: When the claim was sent that was accepted.
  init(
    _ resource: Resource, grant: Grant, length: Duration, sentAt: Instant, time: any TimeSource,
    loop: any EventLoop
  ) {
    self.resource = resource
    self.length = length
    claimedAt = sentAt
    self.grant = grant
    self.time = time
    self.loop = loop
    shared = Mutex(Shared(state: LeaseState(length: length, sentAt: sentAt)))
  }

  // MARK: - What the holder sees

  /// Zero once the lease is over.
  var remaining: Duration {
    shared.withLock {
      let now = time.now
      return $0.state.deadline(at: now).map { $0 - now } ?? .zero
    }
  }

  /// Nil once the lease is over.
  var deadline: Instant? { shared.withLock { $0.state.deadline(at: time.now) } }

  var isRecalled: Bool { shared.withLock { $0.isRecalled } }

  /// Returns when no more than `margin` of the lease is left, it is lost or given back, its body
  /// has to stop, or the task is cancelled.
  func untilRemaining(_ margin: Duration) async {
    while !Task.isCancelled {
      let wakeup = Wakeup()
      let next: (listener: Int, time: Instant)? = shared.withLock {
        let now = time.now
        guard !$0.isRecalled, let deadline = $0.state.deadline(at: now), now < deadline - margin
        else { return nil }
        $0.listenerCount += 1
        $0.listeners[$0.listenerCount] = wakeup
        return ($0.listenerCount, deadline - margin)
      }
      guard let next else { return }
      let alarm = time.schedule(at: next.time, on: loop) { wakeup.fire() }
      await wakeup.wait()
      alarm.cancel()
      _ = shared.withLock { $0.listeners.removeValue(forKey: next.listener) }
    }
  }

  // MARK: - What happens to it

  /// - Parameter isByOwner: Whether it was renewed as servers of wire v1 do it, by another claim.
  func accepted(sentAt: Instant, isByOwner: Bool = false) {
    shared.withLock {
      $0.state.accepted(sentAt: sentAt, at: time.now)
      $0.isRenewedByOwner = $0.isRenewedByOwner || isByOwner
      $0.cause = nil
    }
  }

  /// A renewal failed, which may become the cause of a loss.
  func failed(_ error: LatchkeyError) { shared.withLock { $0.cause = error } }

  /// A server says that the grant is over.
  ///
  /// - Parameter othersInFlight: Whether other renewals are on their way.
  func taken(_ error: LatchkeyError, othersInFlight: Bool) {
    wakeAll {
      $0.state.taken(at: time.now)
      $0.cause = error
      $0.mayBeHeldAnew = $0.isRenewedByOwner || grant.token == nil && othersInFlight
    }
  }

  /// The holder is done. Returns whether it held the lease until now.
  func end() -> Bool { wakeAll { $0.state.end(at: time.now) } }

  /// The client is being shut down.
  func recall() { wakeAll { $0.isRecalled = true } }

  /// Whether the lease is lost, but a claim that was to renew it may have been granted after that.
  var mayBeHeldAnew: Bool { shared.withLock { $0.mayBeHeldAnew } }

  /// Why the latest renewal was not accepted; nil where it was.
  var cause: LatchkeyError? { shared.withLock { $0.cause } }

  /// Why the lease was lost; nil while it is held, and where it was given back.
  var loss: LatchkeyError? {
    let (phase, cause) = shared.withLock {
      _ = $0.state.deadline(at: time.now)
      return ($0.state.phase, $0.cause)
    }
    guard case .lost(let loss) = phase else { return nil }
    let what = "\(resource.kind.rawValue) \"\(resource.key)\""
    switch loss {
    case .expired:
      return LatchkeyError(
        .leaseLost, "the lease of \(what) could not be renewed within \(length)", cause: cause)
    case .taken:
      return LatchkeyError(
        .leaseLost, "\(what) \(cause?.stateOfLostKey ?? LatchkeyError.isHeldByAnother)",
        holder: cause?.holder)
    }
  }

  /// Says once that the lease was lost, where it was.
  func report(to log: ClientLog) {
    guard let loss, shared.withLock({ !exchange(&$0.isReported, true) }) else { return }
    log(.error, "a lease was lost", ["key": "\(resource.key)", "error": "\(loss)"])
  }

  /// What renews it: by the token, which cannot bring back a grant that is over. Where there is
  /// none, or the server has none, by the owner.
  var renewal: (request: NewestWire.Request, fallback: NewestWire.Request?) {
    resource.renewal(token: grant.token, lease: length)
  }

  @discardableResult
  private func wakeAll<R>(_ change: (inout Shared) -> R) -> R {
    let (result, listeners) = shared.withLock { shared in
      (change(&shared), Array(shared.listeners.values))
    }
    for listener in listeners { listener.fire() }
    return result
  }
}

/// Sets a value and returns what it was.
private func exchange<Value>(_ place: inout Value, _ new: Value) -> Value {
  let old = place
  place = new
  return old
}

extension Resource {
  func renewal(
    token: Int64?, lease: Duration
  ) -> (request: NewestWire.Request, fallback: NewestWire.Request?) {
    // What a renewal does not name stays as it is.
    let byOwner = NewestWire.Request.acquire(
      Resource(key: key, kind: kind, owner: owner, value: value), lease: lease)
    guard let token else { return (byOwner, nil) }
    let renewal = Renewal(key: key, token: token, lease: lease)
    return (.renew(NewestWire.RenewRequest(renewal)), byOwner)
  }
}

extension LatchkeyError {
  static let isHeldByAnother = "is held by another owner"

  /// What has become of a key of which a server refused to renew the lease, as it ends a sentence.
  var stateOfLostKey: String {
    if let holder { return "is held by \"\(holder)\" now" }
    // The server names who holds it, and only another owner's claim or a release ends a lease that
    // its holder still counts on.
    return code == .notTheHolder
      ? "was released by somebody else, and nobody holds it now" : Self.isHeldByAnother
  }
}
