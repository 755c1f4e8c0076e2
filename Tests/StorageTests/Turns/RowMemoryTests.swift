import LockCore
import TestKit
import Testing

@testable import Storage

/// Rows that a server changes as its own transactions left them, without a question.
@Suite(.timeLimit(.minutes(1))) struct RowMemoryTests {
  private let database = MemoryDatabase(.optimistic)
  private let clock = ManualClock()
  private let counts = CallCounts()

  private func bench(
    _ shapes: KnownShapes = .all, limits: StoreLimits = StoreLimits()
  ) throws -> TurnBench {
    try TurnBench(
      engine: CountingEngine(database.engine(shapes), counts), database: database, clock: clock,
      limits: limits)
  }

  private static let renewal = Command.renew(Renewal(key: "key", token: 1))

  private func isRenewed(_ results: [StoreResult], as sighting: Sighting) -> Bool {
    guard case .success(.renewed(let record))? = results.first else { return false }
    return record.sighting == sighting
  }

  @Test func whoseRowsAreKnownAreNotAskedFor() throws {
    let server = try bench()
    server.turn(.hold("key", "a"))
    let asked = counts.now.rows
    #expect(isRenewed(server.turn(Self.renewal), as: Sighting(token: 1, revision: 2)))
    #expect(counts.now.rows == asked)
    #expect(server.turn(.hold("key", "a")) == [.renewed(token: 1, revision: 3)])
    #expect(server.turn(.release(key: "key", owner: "a")) == [.released])
    #expect(server.turn(.hold("key", "b")) == [.granted(token: 2, revision: 5)])
    #expect(counts.now.rows == asked && server.observer.totals.conflicts == 0)
    #expect(try server.owner(of: "key") == "b")
    // What is new is asked for, with all that comes with it.
    server.turn(.hold("key", "b"), .hold("new", "b"))
    #expect(counts.now.rows == asked + 2)
  }

  @Test func whatAnotherServerHasWrittenSinceIsAConflictOnce() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("key", "a"))
    second.turn(.release(key: "key", owner: "a"))
    second.turn(.hold("key", "b"))
    for _ in 1...3 {
      #expect(first.turn(Self.renewal) == [.notTheHolder])
      // It is not taken for contended any more.
      clock.advance(nanoseconds: StoreLimits().contentionNanoseconds)
    }
    #expect(first.observer.totals.conflicts == 1)
    #expect(first.turn(.hold("key", "a")) == [.heldByAnother])
  }

  /// An answer that leads to no change is compared with nothing when it is committed.
  @Test func whatLeadsToNoChangeIsAskedFor() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("key", "a"))
    second.turn(.release(key: "key", owner: "a"))
    #expect(first.turn(.hold("key", "b")) == [.granted(token: 2, revision: 3)])
    #expect(first.observer.totals.conflicts == 0)
  }

  @Test func whatOthersAreSaidToHaveChangedIsForgotten() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("key", "a"))
    first.pass(seconds: 1)
    second.turn(.release(key: "key", owner: "a"))
    first.pass(seconds: 1)
    #expect(first.turn(Self.renewal) == [.notTheHolder])
    #expect(first.observer.totals.conflicts == 0)
  }

  @Test func aServerWhoseShapesAreGivenUpIsFencedOff() throws {
    let (old, new) = (try bench(), try bench(S4.shapes))
    old.turn(.hold("key", "a"))
    let order = Upkeep.GivingUp(
      shape: S4.number, neededRelease: "9.0.0", deadline: clock.now + 1_000_000_000)
    new.turn(items: [.giveUpShapes(order)])
    guard case .failure(let error) = old.turn(Self.renewal)[0] else {
      Issue.record("it acts on what it does not know")
      return
    }
    #expect(error.code == .tooOldServer)
  }

  @Test func whatOthersSayOfThePastIsHeeded() throws {
    let (first, second) = (try bench(), try bench())
    first.turn(.hold("key", "a"))
    let before = database.snapshot
    second.turn(.hold("lost", "b"))
    database.goBack(to: before, isNoticeable: false)
    // It says so.
    second.turn(.hold("lost", "c"))
    second.turn()
    #expect(first.turn(Self.renewal) == [.failure(Setback.error)])
  }

  @Test func whatDoesNotFitIsAskedForAgain() throws {
    var limits = StoreLimits()
    limits.rowMemoryBytesMax = 100
    let server = try bench(limits: limits)
    server.turn(.hold("key", "a"))
    let asked = counts.now.rows
    #expect(isRenewed(server.turn(Self.renewal), as: Sighting(token: 1, revision: 2)))
    #expect(counts.now.rows == asked + 1)
  }
}
