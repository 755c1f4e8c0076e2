import NIOCore
import Synchronization

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

  /// Returns when no more than `margin` of the lease is left, it is lost or given back, or the task is
  /// cancelled.
  func untilRemaining(_ margin: Duration) async {
    while !Task.isCancelled {
      let wakeup = Wakeup()
      let next: (listener: Int, time: Instant)? = shared.withLock {
        let now = time.now
        guard let deadline = $0.state.deadline(at: now), now < deadline - margin else {
          return nil
        }
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

  func accepted(sentAt: Instant) {
    shared.withLock {
      $0.state.accepted(sentAt: sentAt, at: time.now)
      $0.cause = nil
    }
  }

  /// A renewal failed, which may become the cause of a loss.
  func failed(_ error: LatchkeyError) { shared.withLock { $0.cause = error } }

  /// Another owner has the key.
  func taken(_ error: LatchkeyError) {
    wakeAll {
      $0.state.taken(at: time.now)
      $0.cause = error
    }
  }

  /// The holder is done. Returns whether it held the lease until now.
  func end() -> Bool { wakeAll { $0.state.end(at: time.now) } }

  /// Why the lease was lost; nil while it is held, and where it was given back.
  var loss: LatchkeyError? {
    shared.withLock {
      _ = $0.state.deadline(at: time.now)
      guard case .lost(let loss) = $0.state.phase else { return nil }
      let what = "\(resource.kind.rawValue) \"\(resource.key)\""
      let message =
        switch loss {
        case .expired: "the lease of \(what) could not be renewed within \(length)"
        case .taken: "\(what) is held by another owner"
        }
      return LatchkeyError(.leaseLost, message, cause: $0.cause)
    }
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
