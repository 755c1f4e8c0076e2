import LockCore
import TestKit
import Testing

@testable import Storage

/// never-early: when the writing side ends a lease, and when it must not.
@Suite struct LeaseEndTests {
  @Test func aLeaseEndsAfterItsWholeLengthAndNotBefore() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 15))
    bench.pass(seconds: 14.75)
    bench.clock.advance(nanoseconds: 249_999_999)
    bench.turn()
    #expect(try bench.owner(of: "key") == "a")
    bench.clock.advance(nanoseconds: 1)
    bench.turn()
    #expect(try bench.owner(of: "key") == nil)
    #expect(bench.observer.totals.expiries == 1)
    #expect(bench.turn(.hold("key", "b")) == [.granted(token: 2, revision: 3)])
  }

  @Test func aRenewalPutsTheEndOff() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 15))
    bench.pass(seconds: 10)
    #expect(bench.turn(.hold("key", "a", lease: 15)) == [.renewed(token: 1, revision: 2)])
    bench.pass(seconds: 14.75)
    #expect(try bench.owner(of: "key") == "a")
    bench.pass(seconds: 0.25)
    #expect(try bench.owner(of: "key") == nil)
  }

  @Test func aRefusedClaimPutsNothingOff() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 15))
    for _ in 1...59 {
      bench.pass(seconds: 0.25)
      #expect(bench.turn(.hold("key", "b")) == [.heldByAnother])
    }
    bench.pass(seconds: 0.25)
    #expect(bench.turn(.hold("key", "b")) == [.granted(token: 2, revision: 3)])
  }

  @Test func afterARestartEveryLeaseHasItsWholeLengthAgain() throws {
    let before = try TurnBench()
    before.turn(.hold("key", "a", lease: 15))
    before.pass(seconds: 14.75)

    let after = try TurnBench(before.database, clock: before.clock)
    after.turn()
    after.turn()
    after.pass(seconds: 14.75)
    #expect(try after.owner(of: "key") == "a")
    after.pass(seconds: 0.25)
    #expect(try after.owner(of: "key") == nil)
  }

  @Test func aRenewalInTheTurnOfTheEndWins() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 15))
    bench.pass(seconds: 14.75)
    bench.clock.advance(nanoseconds: 250_000_000)
    #expect(bench.turn(.hold("key", "a", lease: 15)) == [.renewed(token: 1, revision: 2)])
    #expect(bench.observer.totals.expiries == 0)
    bench.pass(seconds: 14.75)
    #expect(try bench.owner(of: "key") == "a")
  }

  @Test func anotherOwnersClaimInTheTurnOfTheEndIsTooEarly() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 15))
    bench.pass(seconds: 14.75)
    bench.clock.advance(nanoseconds: 250_000_000)
    #expect(bench.turn(.hold("key", "b")) == [.heldByAnother])
    #expect(bench.turn(.hold("key", "b")) == [.granted(token: 2, revision: 3)])
  }

  @Test func aReleaseInTheTurnOfTheEndFreesOnce() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 15))
    bench.pass(seconds: 14.75)
    bench.clock.advance(nanoseconds: 250_000_000)
    #expect(bench.turn(.release(key: "key", owner: "a")) == [.released])
    #expect(try bench.database.row(forKey: "key")?.revision == 2)
    #expect(bench.observer.totals.expiries == 0)
  }

  @Test func aLeaseThatAnotherServerRenewedIsLeftAlone() throws {
    var limits = StoreLimits()
    // This server learns of the renewal only when it means to end the lease.
    limits.scanIntervalNanoseconds = Lease.longest.nanoseconds
    let bench = try TurnBench(limits: limits)
    let other = try TurnBench(bench.database, clock: bench.clock)
    bench.turn(.hold("key", "a", lease: 15))
    bench.pass(seconds: 10)
    #expect(other.turn(.hold("key", "a", lease: 15)) == [.renewed(token: 1, revision: 2)])
    bench.pass(seconds: 19.75)
    #expect(try bench.owner(of: "key") == "a")
    #expect(try bench.database.row(forKey: "key")?.revision == 2)
    bench.pass(seconds: 0.25)
    #expect(try bench.owner(of: "key") == nil)
  }

  @Test func aLeaseThatAnotherServerGrantedAnewIsLeftAlone() throws {
    var limits = StoreLimits()
    limits.scanIntervalNanoseconds = Lease.longest.nanoseconds
    let bench = try TurnBench(limits: limits)
    let other = try TurnBench(bench.database, clock: bench.clock)
    bench.turn(.hold("key", "a", lease: 5))
    other.turn(.release(key: "key", owner: "a"), .hold("key", "b", lease: 5))
    bench.pass(seconds: 9.75)
    #expect(try bench.owner(of: "key") == "b")
    bench.pass(seconds: 0.25)
    #expect(try bench.owner(of: "key") == nil)
  }

  /// As when a backup is restored under a running server.
  @Test func aLeaseWhoseRowFellBackEndsAfterItsWholeLength() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 15))
    let old = try #require(try bench.database.row(forKey: "key"))
    for _ in 1...3 { bench.turn(.hold("key", "a", lease: 15)) }
    try bench.database.put(old)
    // The end is tried when the state that was known would be over; the row's own begins there.
    bench.pass(seconds: 29.75)
    #expect(try bench.owner(of: "key") == "a")
    bench.pass(seconds: 0.25)
    #expect(try bench.owner(of: "key") == nil)
  }

  @Test func manyLeasesEndInSeveralTransactions() throws {
    var limits = StoreLimits()
    limits.expiriesMax = 7
    let bench = try TurnBench(limits: limits)
    bench.turn((1...20).map { .hold("key-\($0)", "a", lease: 1) })
    bench.pass(seconds: 1)
    #expect(bench.observer.totals.expiries == 7)
    bench.turn()
    bench.turn()
    #expect(bench.observer.totals.expiries == 20)
    #expect(bench.observer.totals.locks == 0)
  }
}
