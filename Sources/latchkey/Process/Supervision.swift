import Glibc

/// What the supervisor of a command decides (see ``Supervisor``). It does nothing by itself and has no
/// clock: times are nanoseconds on a clock that goes on while the machine sleeps.
///
/// States:
/// - `running`, until the command has ended, the lease is about to end, or `latchkey` has ended;
/// - `lingering`, with `--wait-descendants`, until nothing that the command started is left;
/// - `ending`: what is left is asked to end (SIGTERM) and then killed, until nothing is left;
/// - `finished`.
struct Supervision {
  /// From SIGTERM to SIGKILL, at most.
  static let graceMax = Duration.seconds(5)
  /// How large a part of the lease the grace takes, at most, where the lease is about to end, the
  /// kill margin included: a renewal is sent after a third of the lease (11/30 at most), and may take
  /// half of it before the command is asked to end.
  static let gracePartOfLease = 8
  /// How long before the end of the lease SIGKILL is sent: processes take their time to die, and a
  /// busy machine to send it.
  static let killMarginMax = Duration.milliseconds(500)
  /// How large a part of the lease that takes, at most.
  static let killMarginPartOfLease = 10
  /// From one round of SIGKILL to the next: some may start others between the look and the signal.
  static let killInterval = Duration.milliseconds(20)
  /// After so much time of SIGKILL without end, somebody has to be told.
  static let stuckAfter = Duration.seconds(1)
  /// From one round to the next then.
  static let stuckInterval = Duration.milliseconds(500)

  enum Event: Equatable {
    /// The lease is good until then, if no later word comes.
    case leaseGood(until: Int64)
    /// The lease is lost.
    case stop
    /// A signal reached `latchkey`, which asks the command to end.
    case endRequested(Int32)
    /// `latchkey` is gone: nobody renews the lease any more.
    case latchkeyEnded
    case commandEnded(ProcessEnd)
    /// Nothing that the command started is left, nor itself.
    case allEnded
    /// Time went on.
    case time
  }

  enum Action: Equatable {
    /// To everything that the command started, and to itself.
    case signalAll(Int32)
    /// The command is being ended, because its lease is.
    case sayEnding
    /// Some cannot be ended.
    case sayStuck
    case finish(Outcome)
  }

  /// What came of the command.
  struct Outcome: Equatable, Sendable {
    enum Reason: Equatable, Sendable {
      case byItself
      case leaseEnded
      /// Waiting for the command's descendants, or for its start, was ended by this signal.
      case interrupted(Int32)
      /// As was waiting for those that cannot be ended.
      case abandoned(Int32)
      /// The command was not started: the lease was about to end by then.
      case tooLate
    }

    /// Nil where it could not be ended, or was not started.
    var end: ProcessEnd?
    var reason: Reason
  }

  private enum Phase: Equatable {
    case running
    case lingering
    case ending(since: Int64)
    case finished
  }

  static func grace(ofLease lease: Duration) -> Duration {
    min(graceMax, lease / gracePartOfLease)
  }

  static func killMargin(ofLease lease: Duration) -> Duration {
    min(killMarginMax, lease / killMarginPartOfLease)
  }

  let lease: Duration
  private let waitsForDescendants: Bool
  private var leaseEnd: Int64
  private var phase = Phase.running
  private var reason = Outcome.Reason.byItself
  private var commandEnd: ProcessEnd?
  /// The first signal that asked for the end.
  private var endRequest: Int32?
  private var isAlone = false
  private var isHurried = false
  private var firstKill: Int64?
  private var lastKill: Int64?
  private var isStuck = false

  init(lease: Duration, until leaseEnd: Int64, waitsForDescendants: Bool) {
    self.lease = lease
    self.leaseEnd = leaseEnd
    self.waitsForDescendants = waitsForDescendants
  }

  /// When ``Event/time`` is due.
  var nextAlarm: Int64? {
    switch phase {
    case .running, .lingering: leaseEnd - Self.grace(ofLease: lease).nanoseconds
    case .ending(let since):
      lastKill.map { $0 + (isStuck ? Self.stuckInterval : Self.killInterval).nanoseconds }
        ?? killTime(since)
    case .finished: nil
    }
  }

  /// Why the command is not to be started any more. Nil where it may be.
  func refusal(at now: Int64) -> Outcome.Reason? {
    // Nobody else would learn of it: there is no command yet.
    if let endRequest { return .interrupted(endRequest) }
    let isInTime = phase == .running && nextAlarm.map { now < $0 } ?? false
    return isInTime ? nil : .tooLate
  }

  /// Whether what the command started is being ended.
  var isEnding: Bool {
    if case .ending = phase { true } else { false }
  }

  /// When whoever else watches has to kill what is left: in the middle of the time that is left for
  /// dying.
  static func lastMoment(ofLease lease: Duration, until leaseEnd: Int64) -> Int64 {
    leaseEnd - killMargin(ofLease: lease).nanoseconds / 2
  }

  mutating func handle(_ event: Event, at now: Int64) -> [Action] {
    switch event {
    case .leaseGood(let end): leaseEnd = end
    case .stop: return beginEnding(.leaseEnded, at: now)
    case .endRequested(let number): return endRequested(by: number, at: now)
    case .latchkeyEnded:
      isAlone = true
      return beginEnding(.leaseEnded, at: now)
    case .commandEnded(let end): return commandEnded(end, at: now)
    case .allEnded: return allEnded()
    case .time: return timePassed(at: now)
    }
    return []
  }

  private mutating func endRequested(by number: Int32, at now: Int64) -> [Action] {
    endRequest = endRequest ?? number
    // The command gets it itself.
    guard commandEnd != nil else { return [] }
    switch phase {
    case .lingering: return beginEnding(.interrupted(number), at: now)
    case .ending where isStuck: return finish(.abandoned(number))
    case .ending:
      isHurried = true
      return timePassed(at: now)
    case .running, .finished: return []
    }
  }

  private mutating func commandEnded(_ end: ProcessEnd, at now: Int64) -> [Action] {
    commandEnd = end
    guard phase == .running else { return [] }
    // What it left behind without an error and of its own accord is left on purpose.
    guard end == .exited(0), endRequest == nil else { return beginEnding(.byItself, at: now) }
    guard waitsForDescendants else { return finish(.byItself) }
    phase = .lingering
    return []
  }

  private mutating func allEnded() -> [Action] {
    guard commandEnd != nil, phase != .finished else { return [] }
    return finish(reason)
  }

  private mutating func timePassed(at now: Int64) -> [Action] {
    switch phase {
    case .running, .lingering:
      guard let nextAlarm, nextAlarm <= now else { return [] }
      return beginEnding(.leaseEnded, at: now)
    case .ending:
      guard let nextAlarm, nextAlarm <= now else { return [] }
      lastKill = now
      // Not from when it was due: this process may have been suspended then.
      let first = firstKill ?? now
      firstKill = first
      var actions = [Action.signalAll(SIGKILL)]
      if !isStuck, first + Self.stuckAfter.nanoseconds <= now {
        isStuck = true
        actions.append(.sayStuck)
      }
      // There is nothing to be kept any more by waiting.
      if isStuck, isAlone || leaseEnd <= now { actions += finish(reason) }
      return actions
    case .finished: return []
    }
  }

  private mutating func beginEnding(_ reason: Outcome.Reason, at now: Int64) -> [Action] {
    switch phase {
    case .finished: return []
    case .ending:
      // What began as the end of the command's remains may turn into that of the lease.
      return timePassed(at: now)
    case .running, .lingering: break
    }
    self.reason = reason
    phase = .ending(since: now)
    let said = reason == .leaseEnded ? [Action.sayEnding] : []
    guard killTime(now) > now else { return said + timePassed(at: now) }
    // A stopped process takes no notice before it goes on.
    return said + [.signalAll(SIGTERM), .signalAll(SIGCONT)]
  }

  private mutating func finish(_ reason: Outcome.Reason) -> [Action] {
    phase = .finished
    return [.finish(Outcome(end: commandEnd, reason: reason))]
  }

  /// When those who took no notice of SIGTERM are killed.
  private func killTime(_ since: Int64) -> Int64 {
    if isHurried { return since }
    return min(
      since + Self.graceMax.nanoseconds, leaseEnd - Self.killMargin(ofLease: lease).nanoseconds)
  }
}

extension Duration {
  /// Rounded down. Enough for 292 years.
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  }
}
