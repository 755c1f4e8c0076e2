import LockCore
import TestKit
import Testing

@testable import Storage

/// Each place where a transaction can fail, in each way.
@Suite struct FaultPointTests {
  struct Place: Sendable, CustomTestStringConvertible {
    var point: FaultPoint
    var fault: Fault
    var skip = 0

    var testDescription: String { "\(point) \(fault) after \(skip)" }

    /// Whether the transaction is committed in spite of the error.
    var isDoneInSpite: Bool { point == .apply && fault == .doneAll }
  }

  static let places: [Place] = Fault.allCases.flatMap { fault in
    [Place(point: .facts, fault: fault), Place(point: .apply, fault: fault)]
  }

  /// A transaction that renews, grants, frees and ends leases, so that every step has work.
  private static let batch: [Command] = [
    .hold("renewed", "a"), .hold("new", "a"), .release(key: "freed", owner: "a"),
    .hold("brief", "a"), .release(key: "brief", owner: "a"), .hold("held", "b"),
  ]
  private static let keys = ["renewed", "new", "freed", "brief", "held", "over"]

  private func state(_ bench: TurnBench) throws -> [String] {
    try Self.keys.map { key in
      let row = try bench.database.row(forKey: key)
      return row.map { "\($0.owner ?? "-") \($0.token) \($0.revision)" } ?? "none"
    }
  }

  @Test(arguments: engines, places)
  func anErrorAcknowledgesNothingAndNothingAcknowledgedIsLost(
    _ engine: EngineUnderTest, _ place: Place
  ) throws {
    let bench = try TurnBench(engine.newDatabase())
    bench.turn(["renewed", "freed", "held"].map { .hold($0, "a") })
    bench.turn(.hold("over", "a", lease: 1))
    bench.pass(seconds: 0.75)
    let before = try state(bench)
    #expect(before == ["a 1 1", "none", "a 1 1", "none", "a 1 1", "a 1 1"])
    let after = ["a 1 2", "a 1 1", "- 1 2", "- 1 2", "a 1 1", "- 1 2"]

    bench.faults.fail(place.point, place.fault, skip: place.skip)
    bench.clock.advance(nanoseconds: 250_000_000)
    let failed = bench.turn(Self.batch)
    #expect(bench.faults.injected == 1)
    #expect(failed == Self.batch.map { _ in .failed })
    #expect(bench.health == .failing(Fault.error))
    #expect(try state(bench) == (place.isDoneInSpite ? after : before))

    // The same commands again, as their clients would: each gets what it asked for.
    bench.clock.advance(nanoseconds: bench.limits.reopenNanoseconds)
    // It may be a copy of the database: all have time to look.
    let isInDoubt = place.fault == .connectionLost && bench.keepsAccount
    if isInDoubt {
      bench.turn()
      bench.pass(seconds: 1.5)
    }
    let again = bench.turn(Self.batch)
    if place.isDoneInSpite {
      #expect(
        again == [
          .renewed(token: 1, revision: 3), .renewed(token: 1, revision: 2), .released,
          .granted(token: 2, revision: 3), .released, .heldByAnother,
        ])
    } else {
      // Then the floor is above all tokens that are known: more may have been given out.
      let new = StoreResult.granted(token: isInDoubt ? 2 : 1, revision: 1)
      #expect(
        again == [
          .renewed(token: 1, revision: 2), new, .released, new, .released, .heldByAnother,
        ])
    }
    #expect(bench.health == .working)
    #expect(bench.observer.totals.failures == (isInDoubt ? 2 : 1))
    #expect(bench.observer.totals.recoveries == 1)

    // Nothing is forgotten: in the end every lease has ended.
    bench.pass(seconds: 25)
    for key in Self.keys { #expect(try bench.owner(of: key) == nil, "\(key)") }
  }

  @Test(arguments: [FaultPoint.openReader, .read], Fault.allCases)
  func aReadThatFailsIsAnErrorAndTheNextOneWorks(_ point: FaultPoint, _ fault: Fault) async throws {
    let node = try StoreNode(MemoryDatabase())
    defer { node.close() }
    _ = try await node.claim("key", "a")
    // The list waits behind the first scan, which would otherwise meet the fault in our place.
    _ = try await node.list(.lock)
    if point == .openReader { node.faults.fail(.read, .connectionLost) }
    node.faults.fail(point, fault)
    let attempts = point == .openReader ? 2 : 1
    for _ in 1...attempts {
      #expect(await node.store.ask(.fetch(key: "key")) == .failed)
    }
    #expect(try await node.fetch("key")?.holder?.owner == "a")
    #expect(node.store.health == .working)
  }

  @Test(arguments: [FaultPoint.openWriter, .openReader])
  func aStoreThatCannotBeOpenedSaysSo(_ point: FaultPoint) {
    let plan = FaultPlan()
    plan.fail(point)
    let engine = FaultyEngine(MemoryEngine(MemoryDatabase(), .all), plan: plan)
    #expect(throws: Fault.error) {
      try Store(
        engine: engine, clock: ManualClock().reading, observer: RecordingObserver())
    }
  }
}
