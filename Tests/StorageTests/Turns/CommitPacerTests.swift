import LockCore
import Testing

@testable import Storage

/// Simulated loads: each function does transactions for `seconds` and returns how many requests were
/// done, and the longest wait that the pacer asked for.
private struct Load {
  static let transactionNanoseconds: Int64 = 500_000

  var pacer = CommitPacer(now: MonotonicTime(nanoseconds: 0))
  var now = MonotonicTime(nanoseconds: 0)

  struct Outcome {
    var requests = 0
    var transactions = 0
    var pauses = 0
  }

  /// Requests come at a rate of their own.
  mutating func open(perSecond rate: Double, seconds: Int64) -> Outcome {
    var outcome = Outcome()
    let end = now + seconds * 1_000_000_000
    let start = now
    var taken = 0
    while now < end {
      func waiting() -> Int { Int(Double(now - start) * rate / 1e9) - taken }
      rest(waiting: waiting(), &outcome)
      let count = waiting()
      transact(count, &outcome)
      taken += count
    }
    return outcome
  }

  /// `clients` send again as soon as they are answered, half of them in each transaction.
  mutating func closed(clients: Int, seconds: Int64) -> Outcome {
    var outcome = Outcome()
    let end = now + seconds * 1_000_000_000
    while now < end {
      let before = now
      rest(waiting: max(clients / 2, 1), &outcome)
      // In a pause the other half, just answered, comes as well.
      transact(now > before ? clients : max(clients / 2, 1), &outcome)
    }
    return outcome
  }

  private mutating func rest(waiting: Int, _ outcome: inout Outcome) {
    let pause = pacer.pauseNanoseconds(waiting: waiting, at: now)
    now = now + pause
    if pause > 0 { outcome.pauses += 1 }
  }

  private mutating func transact(_ requests: Int, _ outcome: inout Outcome) {
    pacer.began(requests: requests, at: now)
    outcome.requests += requests
    outcome.transactions += 1
    now = now + Self.transactionNanoseconds
  }
}

@Suite struct CommitPacerTests {
  @Test func requestsThatComeByThemselvesGetFewerTransactions() {
    var load = Load()
    let before = load.open(perSecond: 20_000, seconds: 1)
    #expect(before.pauses == 0)
    _ = load.open(perSecond: 20_000, seconds: 1)
    let paced = load.open(perSecond: 20_000, seconds: 20)
    #expect(paced.requests > 399_000)
    // 2,000 transactions a second are possible, 500 are enough; some are rechecks.
    #expect((10_000..<14_000).contains(paced.transactions))
  }

  @Test(arguments: [8, 16, 64])
  func clientsThatWaitForAnswersLoseNextToNothing(clients: Int) {
    var load = Load()
    let outcome = load.closed(clients: clients, seconds: 60)
    let possible = clients / 2 * 60 * 2_000
    #expect(Double(outcome.requests) > 0.98 * Double(possible))
    #expect(outcome.pauses > 0, "it is tried, though")
  }

  @Test func fewRequestsNeverWait() {
    var load = Load()
    #expect(load.open(perSecond: 3_000, seconds: 10).pauses == 0)
    #expect(load.closed(clients: 1, seconds: 10).pauses == 0)
    #expect(load.closed(clients: 6, seconds: 10).pauses == 0)
  }

  @Test func aLoneRequestDoesNotWaitWhereOthersDid() {
    var load = Load()
    #expect(load.open(perSecond: 20_000, seconds: 5).pauses > 0)
    #expect(load.closed(clients: 1, seconds: 1).pauses == 0)
  }

  @Test func pacingEndsWhereItBeginsToCost() {
    var load = Load()
    #expect(load.open(perSecond: 20_000, seconds: 5).pauses > 0)
    // Until the next recheck.
    _ = load.closed(clients: 16, seconds: 2)
    let after = load.closed(clients: 16, seconds: 1)
    #expect(after.pauses == 0)
    #expect(after.requests >= 15_900)
  }
}
