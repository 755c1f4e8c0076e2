public import Logging
public import ServiceLifecycle
import Synchronization

/// Runs a service only while it holds a lock: of all processes that run this with the same key, one
/// at a time is the leader.
///
/// What is **not** promised: that a leader that was paused or cut off has stopped in fact. It is asked
/// to stop while an eighth of its lease is left, and cancelled when the lease is over; a child that
/// reacts to neither goes on. See ``LatchkeyClient``.
///
/// ```swift
/// let leader = LeaderElectedService("scheduler", client: client) { grant in
///   Scheduler(token: grant.token)
/// }
/// let group = ServiceGroup(services: [leader], gracefulShutdownSignals: [.sigterm], logger: logger)
/// try await group.run()
/// ```
///
/// When leadership is lost, the child is stopped and ``run()`` goes back to waiting, with a new child
/// for the next term. When the child returns or throws by itself, the lock is released and ``run()``
/// does the same. On graceful shutdown the child is shut down first, then the lock is released.
public struct LeaderElectedService<Child: Service>: Service {
  private let key: String
  private let client: LatchkeyClient
  private let value: String
  private let lease: Duration
  private let logger: Logger
  private let log: ClientLog
  private let makeChild: @Sendable (LockGrant) -> Child

  /// - Parameters:
  ///   - key: The lock that the leader holds.
  ///   - client: Its way to the servers; to be shut down after this service has ended.
  ///   - value: What is to be known of the leader.
  ///   - lease: How long nobody leads after a leader died: 500 ms to 365 days.
  ///   - logger: Hears of terms that begin and end; the client's unless given.
  ///   - makeChild: Called at the beginning of each term, with what the leader holds: its token is
  ///     for what the leader writes to, see ``LockGrant/token``.
  public init(
    _ key: String, client: LatchkeyClient, value: String = "", lease: Duration = .seconds(15),
    logger: Logger? = nil, makeChild: @escaping @Sendable (_ grant: LockGrant) -> Child
  ) {
    self.key = key
    self.client = client
    self.value = value
    self.lease = lease
    self.logger = logger ?? client.configuration.logger
    log = logger.map(ClientLog.init) ?? client.log
    self.makeChild = makeChild
  }

  /// The same for a child that does not need to know what the leader holds.
  public init(
    _ key: String, client: LatchkeyClient, value: String = "", lease: Duration = .seconds(15),
    logger: Logger? = nil, makeChild: @escaping @Sendable () -> Child
  ) {
    self.init(key, client: client, value: value, lease: lease, logger: logger) { _ in makeChild() }
  }

  /// Waits for the lock and runs the child, again and again, until the child ends by itself or a
  /// graceful shutdown is asked for.
  ///
  /// - Throws: What the child throws, and what ``LatchkeyClient`` throws where waiting does not help:
  ///   `invalidRequest` and `closed`; `cancelled` where the task is cancelled.
  public func run() async throws {
    while try await lead() {}
  }

  /// One term; false where there is not to be another.
  private func lead() async throws -> Bool {
    do {
      let end = try await client.hold(acquiredBy: campaign) { held in
        log(.info, "leading", ["key": "\(key)"])
        return try await term(held)
      }
      if end == .childEnded { return false }
      log(.notice, "stopped leading in time", ["key": "\(key)"])
    } catch let error as LatchkeyError where error.code == .leaseLost {
      log(.warning, "lost the lead", ["key": "\(key)", "error": "\(error)"])
    } catch is ShutDownBeforeLeading {
      return false
    }
    return true
  }

  private struct ShutDownBeforeLeading: Error {}

  /// Waits for the lock.
  ///
  /// - Throws: ``ShutDownBeforeLeading`` where a graceful shutdown comes first.
  private func campaign() async throws -> HeldLease {
    // A new owner for each term: what is left of an earlier one cannot be taken for this one.
    let resource = Resource(
      key: key, kind: .lock, owner: LatchkeyClient.uniqueOwner(), value: value)
    do {
      return try await cancelWhenGracefulShutdown { try await acquire(resource) }
    } catch let error as LatchkeyError where error.code == .cancelled {
      if Task.isShuttingDownGracefully && !Task.isCancelled { throw ShutDownBeforeLeading() }
      throw error
    }
  }

  /// Also waits out what one who asks once should hear of: a standby leader has not failed because
  /// a proxy stumbled, or the servers are being replaced.
  private func acquire(_ resource: Resource) async throws -> HeldLease {
    while true {
      do throws(LatchkeyError) {
        return try await client.acquireAnew(resource, lease: lease, wait: nil)
      } catch {
        guard [.unknown, .noCommonVersion].contains(error.code) else { throw error }
        log(.warning, "cannot run for leader now", ["key": "\(key)", "error": "\(error)"])
        let environment = client.environment
        let pause = client.configuration.backoff.max.jittered(
          percent: 50...150, randomBits: environment.randomBits())
        await environment.time.sleep(until: environment.time.now + pause, on: client.link.loop)
      }
    }
  }

  private enum TermEnd {
    case childEnded
    /// The lease is about to end, unless it is lost already.
    case leaseEnding
  }

  /// Whether the child was asked to stop because the lease is about to end.
  private final class StopRequest: Sendable {
    private let flag = Atomic<Bool>(false)
    var isMade: Bool { flag.load(ordering: .relaxed) }
    func make() { flag.store(true, ordering: .relaxed) }
  }

  private func term(_ held: HeldLease) async throws -> TermEnd {
    // A child that returns is no failure; it ends the term.
    let child = ServiceGroupConfiguration.ServiceConfiguration(
      service: makeChild(LockGrant(held)), successTerminationBehavior: .gracefullyShutdownGroup)
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(services: [child], logger: logger))
    let request = StopRequest()
    return try await withThrowingTaskGroup(of: TermEnd.self) { tasks in
      tasks.addTask {
        do {
          // A graceful shutdown of the surroundings reaches the child by itself.
          try await group.run()
        } catch is CancellationError where !Task.isCancelled {
          // What cancels its work when it is asked to stop says so with this, and has done as it was told.
          guard request.isMade || Task.isShuttingDownGracefully else {
            throw CancellationError()
          }
        }
        return .childEnded
      }
      tasks.addTask {
        await held.untilRemaining(held.length / ClientLimits.stopMarginDivisor)
        return .leaseEnding
      }
      let end = try await tasks.next() ?? .childEnded
      switch end {
      case .childEnded: tasks.cancelAll()
      case .leaseEnding:
        request.make()
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
      }
      return end
    }
  }
}
