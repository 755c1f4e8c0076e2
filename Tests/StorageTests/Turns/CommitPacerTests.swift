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
    guard let company = pacer.company(waiting: waiting), company.end > now else { return }
    #expect(company.count == .max)
    now = company.end
    outcome.pauses += 1
  }

  private mutating func transact(_ requests: Int, _ outcome: inout Outcome) {
    pacer.began(requests: requests, at: now)
    outcome.requests += requests
    outcome.transactions += 1
    now = now + Self.transactionNanoseconds
    pacer.ended(conflicts: 0, at: now)
  }
}

/// The same of transactions that take long.
private struct LongLoad {
  static let transactionNanoseconds: Int64 = 2_000_000

  var pacer = CommitPacer(now: MonotonicTime(nanoseconds: 0), isAcrossNetwork: true)
  var now = MonotonicTime(nanoseconds: 0)
  var requests = 0
  var transactions = 0
  var paused: Int64 = 0

  /// `clients` send again some time after they were answered.
  mutating func closed(clients: Int, backAfter: Int64, transactions count: Int) {
    /// When each of them asks.
    var asking = Array(repeating: now, count: clients)
    for _ in 1...count {
      let company = pacer.company(waiting: asking.count { $0 <= now })
      now = max(now, asking.min()!)
      if let company, company.end > now {
        let before = now
        // It goes on as soon as there are so many.
        let last = asking.sorted().prefix(company.count).last!
        now = company.count <= clients ? min(company.end, max(now, last)) : company.end
        paused += now - before
      }
      let taken = asking.indices.filter { asking[$0] <= now }
      transact(taken.count)
      for client in taken { asking[client] = now + backAfter }
    }
  }

  /// Requests come at a rate of their own.
  mutating func open(perSecond rate: Double, transactions count: Int) {
    let start = now
    var taken = 0
    for _ in 1...count {
      func waiting() -> Int { Int(Double(now - start) * rate / 1e9) - taken }
      if let company = pacer.company(waiting: waiting()), company.count > waiting() {
        let missing = Double(company.count - waiting())
        let pause = min(company.end - now, Int64(missing / rate * 1e9) + 1)
        now = now + pause
        paused += pause
      }
      let count = waiting()
      transact(count)
      taken += count
    }
  }

  private mutating func transact(_ count: Int) {
    pacer.began(requests: count, at: now)
    requests += count
    transactions += 1
    now = now + Self.transactionNanoseconds
    pacer.ended(conflicts: 0, at: now)
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

  // MARK: - Others who want the same

  @Test func whoGetsThroughAgainstOthersGivesWay() {
    var (now, pacer) = (
      MonotonicTime(nanoseconds: 0), CommitPacer(now: MonotonicTime(nanoseconds: 0))
    )
    func transact(conflicts: Int, times: Int) {
      for _ in 1...times {
        pacer.began(requests: 2, at: now)
        now = now + Int64(conflicts + 1) * 1_000_000
        pacer.ended(conflicts: conflicts, at: now)
      }
    }
    transact(conflicts: 0, times: 100)
    #expect(pacer.company(waiting: 2) == nil)
    // One is none.
    transact(conflicts: 1, times: 1)
    #expect(pacer.company(waiting: 2) == nil)
    transact(conflicts: 1, times: 8)
    let company = pacer.company(waiting: 2)
    #expect(company?.count == .max)
    #expect((1_900_000...2_000_000).contains((company?.end ?? now) - now))
    transact(conflicts: 0, times: 20)
    #expect(pacer.company(waiting: 2) == nil)
  }

  // MARK: - Transactions that take long

  @Test(arguments: [8, 64, 400])
  func whoComesBackSoonIsInEachLongTransaction(clients: Int) {
    var load = LongLoad()
    // Half of them come while the other half is in a transaction.
    load.closed(clients: clients / 2, backAfter: 0, transactions: 10)
    load.requests = 0
    load.closed(clients: clients, backAfter: 200_000, transactions: 1_000)
    #expect(load.requests > clients * 980)
  }

  /// It is tried now and then.
  @Test(arguments: [8, 64])
  func whoComesBackLateIsNotWaitedFor(clients: Int) {
    var load = LongLoad()
    load.closed(clients: clients, backAfter: 1_900_000, transactions: 1_000)
    load.paused = 0
    load.closed(clients: clients, backAfter: 1_900_000, transactions: 1_000)
    #expect(load.paused < 1_000 * LongLoad.transactionNanoseconds / 50)
  }

  @Test func whoComesByItselfHardlyWaitsForLongTransactions() {
    var load = LongLoad()
    load.open(perSecond: 20_000, transactions: 1_000)
    #expect(load.paused > 0, "it is tried, though")
    #expect(load.paused < 1_000 * LongLoad.transactionNanoseconds / 50)
  }

  @Test func fewRequestsNeverWaitForLongTransactions() {
    var load = LongLoad()
    load.closed(clients: 7, backAfter: 200_000, transactions: 1_000)
    #expect(load.paused == 0)
  }
}
