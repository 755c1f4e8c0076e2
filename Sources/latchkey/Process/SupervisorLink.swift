import Glibc
import Synchronization

/// The supervisor of a command, as `latchkey` sees it.
///
/// Where the supervisor is killed, what it left is adopted by this process, and ended here.
final class SupervisorLink: Sendable {
  private struct Shared {
    var isEnding = false
    var result: Result<Supervision.Outcome, Failure>?
    var waiting: CheckedContinuation<Void, Never>?
    /// Until it is waited for, its process id is not another's.
    var isReaped = false
    /// It was killed by this process.
    var isGivenUp = false
  }

  private let descriptor: Int32
  private let supervisor: pid_t
  private let shared = Mutex(Shared())

  init(descriptor: Int32, supervisor: pid_t) {
    self.descriptor = descriptor
    self.supervisor = supervisor
  }

  /// Whether the command is being ended because its lease is, or has ended.
  var isEnding: Bool { shared.withLock { $0.isEnding || $0.result != nil } }

  var hasFinished: Bool { shared.withLock { $0.result != nil } }

  /// Sends an instruction, or drops it where the supervisor is gone or takes nothing: it is suspended
  /// then, and ``kill()`` is what is left.
  func send(_ instruction: SupervisorInstruction) {
    _ = SupervisorMessage(instruction).send(on: descriptor)
  }

  /// What came of the command, which was told to start.
  ///
  /// - Parameter isOver: Whether the lease is over, so that nothing is gained by waiting for processes
  ///   that cannot be ended.
  func outcome(
    isOver: @escaping @Sendable () -> Bool
  ) async throws(Failure) -> Supervision.Outcome {
    DetachedThread.start { [self] in receive(isOver: isOver) }
    await withCheckedContinuation { continuation in
      let isDone = shared.withLock { shared in
        if shared.result == nil { shared.waiting = continuation }
        return shared.result != nil
      }
      if isDone { continuation.resume() }
    }
    guard let result = shared.withLock({ $0.result }) else {
      preconditionFailure("resumed before the command's end")
    }
    return try result.get()
  }

  /// Kills the supervisor, and by that the command: the last resort where it does not do its part.
  func kill() {
    shared.withLock { shared in
      shared.isGivenUp = true
      if !shared.isReaped { _ = Glibc.kill(supervisor, SIGKILL) }
    }
  }

  private func receive(isOver: () -> Bool) {
    while true {
      guard case .message(let message) = SupervisorMessage.receive(on: descriptor, waits: true)
      else { break }
      switch message.report {
      case .ending: shared.withLock { $0.isEnding = true }
      case .finished(let outcome): return finish(.success(outcome))
      case .failed(let code):
        return finish(.failure(Failure(.system, "cannot start a process: \(errorText(code))")))
      }
    }
    endOrphans(isOver: isOver)
    guard shared.withLock({ $0.isGivenUp }) else {
      return finish(
        .failure(
          Failure(.system, "the command's supervisor was killed, so the command was ended")))
    }
    finish(.success(Supervision.Outcome(end: nil, reason: .leaseEnded)))
  }

  private func finish(_ result: Result<Supervision.Outcome, Failure>) {
    let waiting = shared.withLock { shared in
      shared.result = result
      defer { shared.waiting = nil }
      return shared.waiting
    }
    waiting?.resume()
  }

  /// Does what the supervisor would have done, had it not been killed.
  private func endOrphans(isOver: () -> Bool) {
    let stuckTime = ContinuousClock.now + Supervision.stuckAfter
    var isStuck = false
    while true {
      let isNobodyLeft = shared.withLock { shared in
        Descendants.reap { process, _ in
          if process == supervisor { shared.isReaped = true }
        }
      }
      if isNobodyLeft {
        CommandCgroup.of(supervisor)?.remove()
        return
      }
      Descendants.signal(SIGKILL, except: nil)
      if !isStuck, ContinuousClock.now > stuckTime {
        isStuck = true
        StandardError.line("latchkey: \(Descendants.stuckText(except: nil))")
      }
      if isStuck, isOver() { return }
      let pause = isStuck ? Supervision.stuckInterval : Supervision.killInterval
      usleep(UInt32(pause / .microseconds(1)))
    }
  }
}
