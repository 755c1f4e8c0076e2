import LockContent
import Testing
package import LockCore
package import Storage

/// One server's store on a database that it may share with others.
package final class StoreNode: Sendable {
  package let store: Store
  package let clock: ManualClock
  package let observer = RecordingObserver()
  package let faults = FaultPlan()

  /// - Parameter clock: Each server has its own, as in life; tests that compare them share one.
  package init(
    _ database: any TestDatabase, shapes: KnownShapes = .all, clock: ManualClock = ManualClock(),
    limits: StoreLimits = .prompt
  ) throws {
    self.clock = clock
    store = try Store(
      engine: FaultyEngine(database.engine(shapes), plan: faults), limits: limits,
      clock: clock.reading, observer: observer)
  }

  package func close() { store.shutdown() }

  /// A grant as its holder gets it.
  package struct Grant: Equatable, Sendable {
    package var token: Int64
    package var revision: Int64
    package var isNew: Bool
  }

  package func claim(
    _ key: String, _ owner: String, lease: Int64 = 15, value: String = "", kind: Kind = .lock
  ) async throws -> Grant {
    let outcome = try await perform(
      .hold(key, owner, lease: lease, value: value, kind: kind))
    guard case .claimed(let token, let revision, let isNew) = outcome else {
      throw Unexpected(outcome: outcome)
    }
    return Grant(token: token, revision: revision, isNew: isNew)
  }

  @discardableResult
  package func perform(_ command: Command) async throws -> Outcome {
    try await store.perform(command).get().withoutState
  }

  /// Has `commands` done in one transaction, in their order.
  @discardableResult
  package func performTogether(_ commands: [Command]) async throws -> [Outcome] {
    // While a transaction is held up, the queue fills.
    let gate = faults.hold(.facts)
    async let first = perform(.release(key: "no such key", owner: "x"))
    await gate.arrival()
    let results = await store.perform(commands) { gate.open() }
    _ = try await first
    return try results.map { try $0.get().withoutState }
  }

  package func fetch(_ key: String) async throws -> LockRecord? {
    let outcome = try await store.ask(.fetch(key: key)).get()
    guard case .found(let record) = outcome else { throw Unexpected(outcome: outcome) }
    return record
  }

  package func list(_ kind: Kind) async throws -> [LockRecord] {
    let sink = RecordCollector()
    let outcome = try await store.ask(.list(Query.Range(kind: kind), into: sink)).get()
    guard outcome == .listed(.complete) else { throw Unexpected(outcome: outcome) }
    return sink.records
  }

  /// Returns when the store has come to its turn once more from beginning to end.
  package func nextTurn() async {
    let turns = observer.totals.turns
    await observer.reaches { $0.turns >= turns + 2 }
  }

  /// Lets the store come to its turn until `condition` holds, as often as it may ever need.
  package func turns(until condition: () async throws -> Bool) async throws {
    if try await !hasCome(condition) { Issue.record("a thousand turns in vain") }
  }

  /// Whether `condition` holds after a thousand turns at most.
  package func hasCome(_ condition: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<1_000 {
      if try await condition() { return true }
      await nextTurn()
    }
    return false
  }
}

extension Outcome {
  /// Of the grant that a claim brought.
  package var token: Int64? {
    if case .claimed(let token, _, _) = self { token } else { nil }
  }
}

/// An outcome that a test did not reckon with.
package struct Unexpected: Error {
  package var outcome: Outcome
}

extension Outcome {
  package static let heldByAnother = Outcome.refused(.heldByAnother, nil)
  package static let notTheHolder = Outcome.refused(.notTheHolder, nil)
  package static let ofAnotherIdentity = Outcome.refused(.ofAnotherIdentity, nil)
  package static func needsNewerServer(shape: Int64) -> Outcome {
    .refused(.needsNewerServer(shape: shape), nil)
  }

  /// What happened, without the state that led to it.
  package var withoutState: Outcome {
    switch self {
    case .refused(let reason, _): .refused(reason, nil)
    case .many(let results): .many(results.map { $0.map(\.withoutState) })
    default: self
    }
  }
}

extension Command {
  package static func release(key: String, owner: String) -> Command {
    .release(key: key, GrantName(owner: owner))
  }

  /// A claim; what is not said does not matter to the test.
  package static func hold(
    _ key: String, _ owner: String, lease: Int64 = 15, value: String = "", kind: Kind = .lock
  ) -> Command {
    .claim(
      key: key,
      Claim(
        kind: kind, owner: owner, lease: Lease(seconds: lease)!, content: Content(text: value)))
  }
}

extension StoreLimits {
  /// For tests on a manual clock: the store looks around at once and at every tick, and takes a
  /// jump of the clock for time that passed, not for a stall.
  package static var prompt: StoreLimits {
    var limits = StoreLimits()
    limits.tickNanoseconds = 2_000_000
    limits.scanIntervalNanoseconds = 0
    limits.stallNanoseconds = Lease.longest.nanoseconds
    limits.stallGraceNanoseconds = 0
    limits.setbackGraceNanoseconds = 0
    limits.reopenNanoseconds = 0
    limits.backfillLookNanoseconds = 1_000_000_000
    return limits
  }
}
