import CLinux
import Glibc
import LatchkeyClient
import Synchronization

/// A command that runs for as long as a resource is held, and not a moment longer.
///
/// While renewals fail, the lease runs out. The command is asked to end (SIGTERM) so early that its
/// grace is over, and it and all that it started are dead (SIGKILL), before anyone else may hold
/// the resource.
final class HeldCommand: Sendable {
  /// From SIGTERM to SIGKILL, at most.
  static let graceMax = Duration.seconds(5)
  /// How large a part of the lease the grace takes, at most: a renewal every third of the lease may
  /// fail, and be repeated, before the command is asked to end.
  static let gracePartOfLease = 4
  /// How long before the end of the lease SIGKILL is sent: processes take their time to die, and a
  /// busy machine to send it.
  static let killMarginMax = Duration.milliseconds(500)
  /// How large a part of the lease that takes, at most.
  static let killMarginPartOfLease = 10
  /// How often to look whether the processes that the command started are gone.
  private static let lookInterval = Duration.milliseconds(20)
  /// Rounds of SIGKILL, one each `lookInterval`, for processes that go on starting others.
  private static let killRoundsMax = 50
  /// How often to look at the lease, at least: it may have been renewed.
  private static let leaseCheckMax = Duration.seconds(1)

  private enum Phase {
    case waiting
    case running(ChildProcess)
    case stopping(ChildProcess, deadline: ContinuousClock.Instant)
  }

  private let argumentCount: Int
  private let phase = Mutex(Phase.waiting)

  /// - Parameter argumentCount: How many of this process' last arguments are the command.
  init(argumentCount: Int) {
    self.argumentCount = argumentCount
  }

  static func grace(ofLease lease: Duration) -> Duration {
    min(graceMax, lease / gracePartOfLease)
  }

  /// Runs the command, until it ends by itself or until `grant` comes to its end or the task is
  /// cancelled, as it is when the lease is lost.
  func run(_ grant: LockGrant) async throws -> ProcessEnd {
    guard linux_adopt_orphans() == 0 else {
      throw Failure(.system, "cannot keep an eye on the command's processes: \(errorText(errno))")
    }
    let child = ChildProcess(
      argumentCount: argumentCount,
      environment: [
        ("LATCHKEY_KEY", grant.key), ("LATCHKEY_OWNER", grant.owner),
        // Not that of an outer `latchkey`, where this one has none.
        ("LATCHKEY_TOKEN", grant.token.map { "\($0)" }),
      ])
    phase.withLock { $0 = .running(child) }
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await self.stopInTime(child, grant) }
      let end = try await child.end()
      // What outlives a command that ended by itself may go on, as under a shell.
      await finishStopping()
      group.cancelAll()
      return end
    }
  }

  /// Whether the command had to end because its lease did.
  var wasStopped: Bool {
    if case .stopping = phase.withLock({ $0 }) { true } else { false }
  }

  /// Passes a signal on to the command.
  ///
  /// - Returns: False while there is no command.
  func forward(_ signal: ReceivedSignal) -> Bool {
    switch phase.withLock({ $0 }) {
    case .waiting: return false
    case .running(let child), .stopping(let child, _):
      if !signal.isFromKernel { child.signal(signal.number) }
      return true
    }
  }

  /// Waits until the grant is about to end, or cancellation, and asks the command to end.
  private func stopInTime(_ child: ChildProcess, _ grant: LockGrant) async {
    let grace = Self.grace(ofLease: grant.lease)
    do {
      while case let spare = grant.remaining - grace, spare > .zero {
        try await Task.sleep(for: min(spare, Self.leaseCheckMax))
      }
    } catch {}
    guard !child.hasEnded else { return }
    let margin = min(Self.killMarginMax, grant.lease / Self.killMarginPartOfLease)
    let left = max(.zero, min(grace, grant.remaining) - margin)
    let deadline = ContinuousClock.now + left
    phase.withLock { $0 = .stopping(child, deadline: deadline) }
    if left > .zero {
      Self.signalAll(SIGTERM)
      // A stopped process takes no notice before it goes on.
      Self.signalAll(SIGCONT)
    }
    await Self.sleepUncancelled(until: deadline) { child.hasEnded }
    // Again and again: the command may be starting just now, or starting others.
    while !child.hasEnded {
      Self.signalAll(SIGKILL)
      await Self.sleepUncancelled(until: .now + Self.lookInterval) { child.hasEnded }
    }
  }

  /// Waits for what else the command started, and ends it at the deadline.
  private func finishStopping() async {
    guard case .stopping(_, let deadline) = phase.withLock({ $0 }) else { return }
    await Self.sleepUncancelled(until: deadline) { Descendants.ofThisProcess().isEmpty }
    // One may start another between the look and the signal.
    for _ in 0..<Self.killRoundsMax where !Descendants.ofThisProcess().isEmpty {
      Self.signalAll(SIGKILL)
      await Self.sleepUncancelled(until: .now + Self.lookInterval) { false }
    }
  }

  private static func signalAll(_ number: Int32) {
    for process in Descendants.ofThisProcess() { kill(process, number) }
  }

  /// Waits also where the task is cancelled: that is when a command has to be stopped.
  private static func sleepUncancelled(
    until deadline: ContinuousClock.Instant, unless isDone: @escaping @Sendable () -> Bool
  ) async {
    await Task {
      while !isDone(), case let left = deadline - .now, left > .zero {
        try? await Task.sleep(for: min(left, lookInterval))
      }
    }.value
  }
}
