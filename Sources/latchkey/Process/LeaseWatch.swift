import LatchkeyClient
import NIOCore
import NIOPosix
import Exclusion

/// Tells a command's supervisor of renewals, for as long as there is more than the last moment of the
/// lease left, and then sees to it that the supervisor does its part.
final class LeaseWatch: Sendable {
  /// How often to tell the supervisor of the lease, at least: it may have been renewed.
  static let intervalMax = Duration.seconds(1)
  /// How small a part of the lease that is, at most.
  static let intervalPartOfLease = 20
  /// The same once less than half of the lease is left: a renewal that took almost too long shall
  /// reach the supervisor before it begins with the end.
  static let lateIntervalPartOfLease = 200
  /// How long a supervisor may take to begin with the end of a command whose lease is lost.
  static let answerMax = Duration.milliseconds(500)

  private let grant: LockGrant
  private let supervisor: SupervisorLink
  private let loop: any EventLoop
  private let isStopping = Mutex(false)

  init(_ grant: LockGrant, _ supervisor: SupervisorLink) {
    self.grant = grant
    self.supervisor = supervisor
    loop = MultiThreadedEventLoopGroup.singleton.any()
  }

  /// Tells the supervisor how far the lease reaches.
  func tell() {
    // The clock first: being interrupted in between must not make the lease longer.
    supervisor.leaseGood(until: Supervisor.now + grant.remaining.nanoseconds)
  }

  /// Goes on by itself until the command has ended.
  func look() {
    guard !supervisor.hasFinished else { return }
    // By then the supervisor has sent SIGKILL.
    let remaining = grant.remaining
    let spare = remaining - Supervision.killMargin(ofLease: grant.lease) / 2
    guard spare > .zero else { return stop() }
    tell()
    let part =
      remaining < grant.lease / 2 ? Self.lateIntervalPartOfLease : Self.intervalPartOfLease
    let interval = min(Self.intervalMax, grant.lease / part)
    loop.scheduleTask(in: TimeAmount(min(spare, interval))) { self.look() }
  }

  /// The command is to end: its lease has, or is not to be kept.
  func stop() {
    let wasStopping = isStopping.withLock { isStopping in
      defer { isStopping = true }
      return isStopping
    }
    guard !wasStopping else { return }
    tell()
    supervisor.send(.stop)
    // Half of what is left of the lease, if anything is.
    let left = grant.remaining
    let limit = left > .zero ? min(Self.answerMax, left / 2) : Self.answerMax
    loop.scheduleTask(in: TimeAmount(limit)) { [supervisor] in
      if !supervisor.isEnding { supervisor.kill() }
    }
  }
}
