import LockCore
import Testing

@Suite struct LeaseTableTests {
  static let second: Int64 = 1_000_000_000
  static func at(_ seconds: Int64) -> MonotonicTime {
    MonotonicTime(nanoseconds: seconds * second)
  }

  @Test func aLeaseIsDueAfterItsWholeLengthAndNotBefore() {
    var table = LeaseTable()
    let sighting = Sighting(token: 1, revision: 1)
    table.see(id: 1, as: sighting, lease: Lease(seconds: 10)!, kind: .lock, at: Self.at(5))
    let early = MonotonicTime(nanoseconds: 15 * Self.second - 1)
    #expect(table.takeDue(at: early, limit: 9, retryNanoseconds: Self.second) == [])
    #expect(table.nextLook == Self.at(15))
    let due = table.takeDue(at: Self.at(15), limit: 9, retryNanoseconds: Self.second)
    #expect(due == [.init(id: 1, sighting: sighting)])
  }

  @Test func aRenewalPutsTheEndOffAndAnOldSightDoesNot() {
    var table = LeaseTable()
    let lease = Lease(seconds: 10)!
    table.see(id: 1, as: Sighting(token: 2, revision: 5), lease: lease, kind: .lock, at: Self.at(0))
    table.see(id: 1, as: Sighting(token: 2, revision: 6), lease: lease, kind: .lock, at: Self.at(9))
    for stale in [Sighting(token: 2, revision: 6), Sighting(token: 1, revision: 9)] {
      table.see(id: 1, as: stale, lease: lease, kind: .lock, in: .snapshot, at: Self.at(12))
    }
    table.see(
      id: 1, as: Sighting(token: 2, revision: 6), lease: lease, kind: .lock, at: Self.at(12))
    #expect(table.takeDue(at: Self.at(18), limit: 9, retryNanoseconds: Self.second) == [])
    #expect(table.takeDue(at: Self.at(19), limit: 9, retryNanoseconds: Self.second).count == 1)
  }

  /// As when an old copy of the store is put in place under a running server.
  @Test func aStateThatFellBackBeginsItsLeaseAnew() {
    var table = LeaseTable()
    let lease = Lease(seconds: 10)!
    table.see(id: 1, as: Sighting(token: 2, revision: 5), lease: lease, kind: .lock, at: Self.at(0))
    table.see(id: 1, as: Sighting(token: 1, revision: 1), lease: lease, kind: .lock, at: Self.at(9))
    #expect(table.takeDue(at: Self.at(18), limit: 9, retryNanoseconds: Self.second) == [])
    let due = table.takeDue(at: Self.at(19), limit: 9, retryNanoseconds: Self.second)
    #expect(due == [.init(id: 1, sighting: Sighting(token: 1, revision: 1))])
  }

  @Test func aShorterLeaseEndsEarlier() {
    var table = LeaseTable()
    let sightings = [Sighting(token: 1, revision: 1), Sighting(token: 1, revision: 2)]
    table.see(id: 1, as: sightings[0], lease: .longest, kind: .lock, at: Self.at(0))
    table.see(id: 1, as: sightings[1], lease: Lease(seconds: 1)!, kind: .lock, at: Self.at(3))
    #expect(table.nextLook == Self.at(4))
    let due = table.takeDue(at: Self.at(4), limit: 9, retryNanoseconds: Self.second)
    #expect(due == [.init(id: 1, sighting: sightings[1])])
  }

  @Test func whatIsDueComesAgainUntilItsFateIsKnown() {
    var table = LeaseTable()
    let sighting = Sighting(token: 1, revision: 1)
    table.see(id: 1, as: sighting, lease: Lease(seconds: 1)!, kind: .lock, at: Self.at(0))
    for time in [1, 4, 7] as [Int64] {
      let due = table.takeDue(at: Self.at(time), limit: 9, retryNanoseconds: 3 * Self.second)
      #expect(due.count == 1)
      #expect(
        table.takeDue(at: Self.at(time + 2), limit: 9, retryNanoseconds: Self.second) == [])
    }
    table.forget(id: 1)
    #expect(table.takeDue(at: Self.at(99), limit: 9, retryNanoseconds: Self.second) == [])
    #expect(table.count == 0)
  }

  @Test func takesNoMoreThanItsLimitAndLosesNothing() {
    var table = LeaseTable()
    for id in 1...10 as ClosedRange<Int64> {
      table.see(
        id: id, as: Sighting(token: 1, revision: 1), lease: Lease(seconds: id)!, kind: .lock,
        at: Self.at(0))
    }
    var taken: [Int64] = []
    for _ in 1...4 {
      let due = table.takeDue(at: Self.at(10), limit: 3, retryNanoseconds: 99 * Self.second)
      #expect(due.count <= 3)
      taken += due.map(\.id)
    }
    #expect(taken == Array(1...10))
  }

  @Test func countsByKind() {
    var table = LeaseTable()
    func see(_ id: Int64, _ revision: Int64, _ kind: Kind?) {
      table.see(
        id: id, as: Sighting(token: 1, revision: revision), lease: .longest, kind: kind,
        at: Self.at(0))
    }
    see(1, 1, .lock)
    see(2, 1, .presence)
    see(3, 1, nil)
    #expect([table.count(of: .lock), table.count(of: .presence), table.count] == [1, 1, 3])
    see(1, 2, .presence)
    see(3, 2, .lock)
    #expect([table.count(of: .lock), table.count(of: .presence), table.count] == [1, 2, 3])
    table.forget(id: 2)
    table.forget(id: 2)
    #expect([table.count(of: .lock), table.count(of: .presence), table.count] == [1, 1, 2])
  }

  /// Grants and releases of long leases at a high rate once filled the memory with places.
  @Test func theQueueStaysInProportionToTheLeases() {
    var table = LeaseTable()
    for round in 1...50_000 as ClosedRange<Int64> {
      table.see(
        id: 1, as: Sighting(token: round, revision: round), lease: .longest, kind: .lock,
        at: Self.at(round))
      if round % 2 == 0 { table.forget(id: 1) }
      table.see(
        id: 2, as: Sighting(token: 1, revision: round),
        lease: round % 2 == 0 ? .longest : Lease(seconds: 1)!, kind: .lock, at: Self.at(round))
      _ = table.takeDue(at: Self.at(round), limit: 9, retryNanoseconds: Self.second)
    }
    #expect(table.placeCount <= 2 * table.count + LeaseTable.sparePlacesMax)
  }
}
