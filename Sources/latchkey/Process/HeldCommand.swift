import Glibc
import LatchkeyClient
import Exclusion

/// A command that runs for as long as a resource is held, and not a moment longer.
///
/// While renewals fail, the lease runs out. The command is asked to end (SIGTERM) so early that its
/// grace is over, and it and all that it started are dead (SIGKILL), before anyone else may hold
/// the resource. All that is done by its ``Supervisor``, which also does it where this process is
/// killed or suspended; here the supervisor is only told how far the lease reaches.
final class HeldCommand: Sendable {
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
    let watch = LeaseWatch(grant, supervisor)
    let start = SupervisorInstruction.start(
      lease: grant.lease.nanoseconds, waitsForDescendants: waitsForDescendants,
      changes: [
        EnvironmentChange(name: "LATCHKEY_KEY", value: grant.key),
        EnvironmentChange(name: "LATCHKEY_OWNER", value: grant.owner),
        // Not that of an outer `latchkey`, where this one has none.
        EnvironmentChange(name: "LATCHKEY_TOKEN", value: grant.token.map { "\($0)" }),
        // For a `latchkey` in the command.
        EnvironmentChange(name: ConnectionOptions.variable, value: servers),
      ])
    isStarted.withLock { isStarted in
      watch.tell()
      supervisor.send(start)
      isStarted = true
    }
    watch.look()
    return try await withTaskCancellationHandler {
      try await supervisor.outcome(isLeaseOver: { grant.isLost })
    } onCancel: {
      watch.stop()
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
}
