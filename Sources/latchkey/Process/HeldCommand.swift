import Glibc
import LatchkeyClient
import Synchronization

/// A command that runs for as long as a resource is held, and not a moment longer.
///
/// While renewals fail, the lease runs out. The command is asked to end (SIGTERM) so early that its
/// grace is over, and it and all that it started are dead (SIGKILL), before anyone else may hold
/// the resource. All that is done by its ``Supervisor``, which also does it where this process is
/// killed or suspended; here the supervisor is only told how far the lease reaches.
final class HeldCommand: Sendable {
  /// How often to tell the supervisor of the lease, at least: it may have been renewed.
  private static let leaseCheckMax = Duration.seconds(1)
  /// How small a part of the lease that is, at most.
  private static let leaseCheckPartOfLease = 20
  /// How long a supervisor may take to begin with the end of a command whose lease is lost.
  private static let answerMax = Duration.milliseconds(500)
  /// How often to look whether it did.
  private static let lookInterval = Duration.milliseconds(10)

  private let supervisor: SupervisorLink
  private let waitsForDescendants: Bool
  private let servers: String
  private let isStarted = Mutex(false)

  /// - Parameter servers: What ``ConnectionOptions/variable`` is to be for the command.
  init(_ supervisor: SupervisorLink, waitsForDescendants: Bool, servers: String) {
    self.supervisor = supervisor
    self.waitsForDescendants = waitsForDescendants
    self.servers = servers
  }

  /// Runs the command, until it ends by itself or until `grant` comes to its end or the task is
  /// cancelled, as it is when the lease is lost.
  func run(_ grant: LockGrant) async throws -> Supervision.Outcome {
    let start = SupervisorInstruction.start(
      lease: grant.lease.nanoseconds, leaseEnd: Self.end(of: grant),
      waitsForDescendants: waitsForDescendants,
      changes: [
        EnvironmentChange(name: "LATCHKEY_KEY", value: grant.key),
        EnvironmentChange(name: "LATCHKEY_OWNER", value: grant.owner),
        // Not that of an outer `latchkey`, where this one has none.
        EnvironmentChange(name: "LATCHKEY_TOKEN", value: grant.token.map { "\($0)" }),
        // For a `latchkey` in the command.
        EnvironmentChange(name: ConnectionOptions.variable, value: servers),
      ])
    isStarted.withLock { isStarted in
      supervisor.send(start)
      isStarted = true
    }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await self.tell(of: grant) }
      let outcome = try await supervisor.outcome { grant.isLost }
      group.cancelAll()
      return outcome
    }
  }

  /// Whether the command was started, or tried to be.
  var hasStarted: Bool { isStarted.withLock { $0 } }

  /// Passes a signal on to the command.
  ///
  /// - Returns: False while there is no command.
  func forward(_ signal: ReceivedSignal) -> Bool {
    isStarted.withLock { isStarted in
      if isStarted { supervisor.send(.signal(signal)) }
      return isStarted
    }
  }

  /// When the lease of `grant` ends if it is not renewed, on the clock that goes on while the machine
  /// sleeps, in nanoseconds.
  private static func end(of grant: LockGrant) -> Int64 {
    // The clock first: being interrupted in between must not make the lease longer.
    Supervisor.now + grant.remaining.nanoseconds
  }

  /// Tells the supervisor of renewals, for as long as there is more than the last moment of the lease
  /// left, and then sees to it that the supervisor does its part.
  private func tell(of grant: LockGrant) async {
    let interval = min(Self.leaseCheckMax, grant.lease / Self.leaseCheckPartOfLease)
    // By then the supervisor has sent SIGKILL.
    let last = Supervision.killMargin(ofLease: grant.lease) / 2
    do {
      while case let spare = grant.remaining - last, spare > .zero {
        supervisor.send(.leaseGood(until: Self.end(of: grant)))
        try await Task.sleep(for: min(spare, interval))
      }
    } catch {}
    supervisor.send(.leaseGood(until: Self.end(of: grant)))
    supervisor.send(.stop)
    // Half of what is left of the lease, if anything is.
    let left = grant.remaining
    await waitForAnswer(atMost: left > .zero ? min(Self.answerMax, left / 2) : Self.answerMax)
    if !supervisor.isEnding { supervisor.kill() }
  }

  /// Waits also where the task is cancelled: that is when a command has to be stopped.
  private func waitForAnswer(atMost limit: Duration) async {
    let deadline = ContinuousClock.now + limit
    await Task {
      while !supervisor.isEnding, ContinuousClock.now < deadline {
        try? await Task.sleep(for: Self.lookInterval)
      }
    }.value
  }
}
