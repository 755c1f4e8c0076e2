import LockCore

/// Decides whether a transaction waits a little for company.
///
/// Where many requests come at times of their own, as the renewals of thousands of holders do, fewer
/// and larger transactions do the same for a third less of processor time, and a wait of a
/// millisecond hurts nobody. Where clients send the next request only after an answer, each wait
/// costs them throughput. The requests look alike in both cases, so it is tried: for a short while
/// transactions wait, and if as many requests come as before, they go on waiting.
///
/// Where a transaction takes long, as across a network, even those are served faster who wait for answers: left to
/// themselves, half of them wait while the other half is in a transaction. So a transaction waits for those whom the
/// one before has answered, where they come back soon.
///
/// Where others change the same rows all the time, and nobody can be kept from that, whoever gets through lets them go
/// first: else the one whose transactions take the shortest time would get through again and again.
struct CommitPacer {
  /// The shortest time between the starts of two transactions while they are paced.
  static let intervalNanoseconds: Int64 = 2_000_000
  /// A transaction that finds fewer requests than this never waits: there is little to be saved.
  static let waitingMin = 4
  /// A transaction that takes so long waits for those who were answered.
  static let longNanoseconds: Int64 = 800_000
  /// For this part of the time that it takes, and no longer than this.
  static let companyPart: Int64 = 4
  static let companyNanosecondsMax: Int64 = 500_000
  /// After a wait in vain so many transactions do without; twice as many each time.
  static let restsMax = 32
  /// Others are met that often in a transaction, lately, where they fight.
  static let conflictsOfFight = 0.25
  /// Who has got through gives way for so many times the time that it takes, and no longer than this.
  static let transactionsOfOthers: Int64 = 2
  static let givingWayNanosecondsMax: Int64 = 20_000_000
  /// How long requests are counted, once with and once without the wait.
  static let windowNanoseconds: Int64 = 100_000_000
  /// Pacing goes on where it leaves at least this part of the requests; less is no noise.
  static let keptMin = 0.88
  /// How often pacing is held against going without.
  static let recheckNanoseconds: Int64 = 1_000_000_000
  /// How long the next trial is put off after one that failed: twice as long each time.
  static let retryNanoseconds: ClosedRange<Int64> = 1_000_000_000...32_000_000_000

  private struct Window {
    let start: MonotonicTime
    let isPaced: Bool
    var requests = 0
    var transactions = 0

    func rate(at now: MonotonicTime) -> Double { Double(requests) / Double(max(now - start, 1)) }
  }

  private var window: Window
  private var latestStart: MonotonicTime
  private var latestEnd: MonotonicTime
  private var latestRequests = 0
  /// How long transactions take, lately, and how often they are done anew since others were faster.
  private var usualNanoseconds: Int64 = 0
  private var usualConflicts = 0.0
  /// Of the transaction to come: how many it waits for; nil where it does not.
  private var companyWanted: Int?
  private var restsLeft = 0
  private var nextRests = 1
  /// Whether pacing has proven itself.
  private var isAdopted = false
  /// What the window before a trial or a recheck had; nil where there is none under way.
  private var rateBefore: Double?
  private var nextTrial: MonotonicTime
  private var retry = retryNanoseconds.lowerBound

  private let isAcrossNetwork: Bool
  private let requestsMax: Int

  /// - Parameters:
  ///   - isAcrossNetwork: Whether transactions may wait for those who were answered.
  ///   - requestsMax: More do not come together.
  init(now: MonotonicTime, isAcrossNetwork: Bool = false, requestsMax: Int = .max) {
    self.isAcrossNetwork = isAcrossNetwork
    self.requestsMax = requestsMax
    window = Window(start: now, isPaced: false)
    (latestStart, latestEnd) = (now, now)
    nextTrial = now + Self.retryNanoseconds.lowerBound
  }

  /// For how many the next transaction waits, and until when; nil where it takes what is there.
  ///
  /// - Parameter waiting: How many have come while the latest one was under way.
  mutating func company(waiting: Int) -> (count: Int, end: MonotonicTime)? {
    if usualConflicts >= Self.conflictsOfFight {
      let others = Self.transactionsOfOthers * usualNanoseconds
      return (.max, latestEnd + min(others, Self.givingWayNanosecondsMax))
    }
    if isAcrossNetwork, usualNanoseconds >= Self.longNanoseconds {
      return companyOfLong(waiting: waiting)
    }
    guard window.isPaced, waiting >= Self.waitingMin else { return nil }
    return (.max, latestStart + Self.intervalNanoseconds)
  }

  private mutating func companyOfLong(waiting: Int) -> (count: Int, end: MonotonicTime)? {
    // Who was answered, and who has come meanwhile; but not the last few of them.
    let expected = min(latestRequests + waiting, requestsMax)
    guard restsLeft == 0, expected >= 2 * Self.waitingMin else { return nil }
    let wanted = expected - expected / 8
    companyWanted = wanted
    let nanoseconds = min(usualNanoseconds / Self.companyPart, Self.companyNanosecondsMax)
    return (wanted, latestEnd + nanoseconds)
  }

  private mutating func companyCame(_ requests: Int) {
    restsLeft = max(restsLeft - 1, 0)
    guard let wanted = companyWanted else { return }
    companyWanted = nil
    if requests >= wanted {
      nextRests = 1
    } else {
      restsLeft = nextRests
      nextRests = min(2 * nextRests, Self.restsMax)
    }
  }

  /// Notes a transaction of `requests` that begins at `now`.
  mutating func began(requests: Int, at now: MonotonicTime) {
    latestStart = now
    if requests > 0 {
      latestRequests = requests
      companyCame(requests)
    }
    if now - window.start >= Self.windowNanoseconds { windowEnded(at: now) }
    window.requests += requests
    window.transactions += 1
  }

  /// Notes that what began last is done, or has failed.
  ///
  /// - Parameter conflicts: How often it was done anew.
  mutating func ended(conflicts: Int, at now: MonotonicTime) {
    latestEnd = now
    let nanoseconds = (now - latestStart) / Int64(conflicts + 1)
    usualNanoseconds += (nanoseconds - usualNanoseconds) / 8
    usualConflicts += (Double(conflicts) - usualConflicts) / 8
  }

  private mutating func windowEnded(at now: MonotonicTime) {
    let rate = window.rate(at: now)
    let average = window.requests / max(window.transactions, 1)
    var isNextPaced = isAdopted
    if let before = rateBefore {
      rateBefore = nil
      let (paced, unpaced) = window.isPaced ? (rate, before) : (before, rate)
      isAdopted = paced >= unpaced * Self.keptMin
      isNextPaced = isAdopted
      retry = isAdopted ? Self.retryNanoseconds.lowerBound : retry
      nextTrial = now + (isAdopted ? Self.recheckNanoseconds : retry)
      if !isAdopted { retry = min(retry * 2, Self.retryNanoseconds.upperBound) }
    } else if now >= nextTrial, isAdopted || average >= Self.waitingMin {
      rateBefore = rate
      isNextPaced = !isAdopted
    }
    window = Window(start: now, isPaced: isNextPaced)
  }
}
