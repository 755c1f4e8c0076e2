import Glibc
import LatchkeyClient
import Exclusion

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
    /// Whether the lease is over, where there is one.
    var isLeaseOver: @Sendable () -> Bool = { false }
  }

  /// From one look to the next whether a supervisor that has said its last word is gone.
  private static let reapInterval = Duration.microseconds(200)
  private static let reapTriesMax = 500

  private let descriptor: Int32
  private let supervisor: pid_t
  private let leaseEnd: SharedLeaseEnd
  private let shared = Mutex(Shared())

  init(descriptor: Int32, supervisor: pid_t, _ leaseEnd: SharedLeaseEnd) {
    self.descriptor = descriptor
    self.supervisor = supervisor
    self.leaseEnd = leaseEnd
  }

  /// Whether the command is being ended because its lease is, or has ended.
  var isEnding: Bool { shared.withLock { $0.isEnding || $0.result != nil } }

  var hasFinished: Bool { shared.withLock { $0.result != nil } }

  /// Tells the supervisor, and the witness, how far the lease reaches if no later word comes.
  ///
  /// - Parameter end: In nanoseconds on the clock of ``Supervisor/now``.
  func leaseGood(until end: Int64) { leaseEnd.value = end }

  /// Sends an instruction, or drops it where the supervisor is gone or takes nothing: it is suspended
  /// then, and ``kill()`` is what is left.
  func send(_ instruction: SupervisorInstruction) {
    _ = SupervisorMessage(instruction).send(on: descriptor)
  }

  /// Hears what the supervisor says, on a thread of its own. To be called once, before the command is
  /// started.
  func listen() throws(Failure) {
    let code = DetachedThread.start { [self] in receive() }
    if code != 0 { throw Failure(cannot: "start a thread", code) }
  }

  /// What came of the command, which was told to start.
  ///
  /// - Parameter isLeaseOver: So that nothing is gained by waiting for processes that cannot be ended.
  func outcome(
    isLeaseOver: @escaping @Sendable () -> Bool
  ) async throws(Failure) -> Supervision.Outcome {
    shared.withLock { $0.isLeaseOver = isLeaseOver }
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

  private func receive() {
    while true {
      guard case .message(let message) = SupervisorMessage.receive(on: descriptor, waits: true)
      else { break }
      switch message.report {
      case .ending: shared.withLock { $0.isEnding = true }
      case .finished(let outcome):
        reapSupervisor()
        return finish(.success(outcome))
      case .failed(let code):
        reapSupervisor()
        return finish(.failure(Failure(cannot: "start a process", code)))
      }
    }
    endOrphans()
    guard shared.withLock({ $0.isGivenUp }) else {
      return finish(
        .failure(
          Failure(.system, "the command's supervisor was killed, so the command was ended")))
    }
    finish(.success(Supervision.Outcome(end: nil, reason: .leaseEnded)))
  }

  /// It has nothing more to do. In a container, nobody may reap what this process leaves.
  private func reapSupervisor() {
    for _ in 0..<Self.reapTriesMax {
      let isReaped = shared.withLock { shared in
        _ = Descendants.reap { process, _ in
          if process == supervisor { shared.isReaped = true }
        }
        return shared.isReaped
      }
      if isReaped { break }
      usleep(UInt32(Self.reapInterval / .microseconds(1)))
    }
    // Its witness is this process' child by now.
    _ = Descendants.reap { _, _ in }
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
  private func endOrphans() {
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
      if isStuck, shared.withLock(\.isLeaseOver)() { return }
      let pause = isStuck ? Supervision.stuckInterval : Supervision.killInterval
      usleep(UInt32(pause / .microseconds(1)))
    }
  }
}
