import LockCore

/// Decides whether a transaction waits a little for company.
///
/// Where many requests come at times of their own, as the renewals of thousands of holders do, fewer
/// and larger transactions do the same for a third less of processor time, and a wait of a
/// millisecond hurts nobody. Where clients send the next request only after an answer, each wait
/// costs them throughput. The requests look alike in both cases, so it is tried: for a short while
/// transactions wait, and if as many requests come as before, they go on waiting.
struct CommitPacer {
  /// The shortest time between the starts of two transactions while they are paced.
  static let intervalNanoseconds: Int64 = 2_000_000
  /// A transaction that finds fewer requests than this never waits: there is little to be saved.
  static let waitingMin = 4
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
  /// Whether pacing has proven itself.
  private var isAdopted = false
  /// What the window before a trial or a recheck had; nil where there is none under way.
  private var rateBefore: Double?
  private var nextTrial: MonotonicTime
  private var retry = retryNanoseconds.lowerBound

  init(now: MonotonicTime) {
    window = Window(start: now, isPaced: false)
    latestStart = now
    nextTrial = now + Self.retryNanoseconds.lowerBound
  }

  /// How long the thread waits before it takes what is `waiting`.
  func pauseNanoseconds(waiting: Int, at now: MonotonicTime) -> Int64 {
    guard window.isPaced, waiting >= Self.waitingMin else { return 0 }
    return max(0, Self.intervalNanoseconds - (now - latestStart))
  }

  /// Notes a transaction of `requests` that begins at `now`.
  mutating func began(requests: Int, at now: MonotonicTime) {
    latestStart = now
    if now - window.start >= Self.windowNanoseconds { windowEnded(at: now) }
    window.requests += requests
    window.transactions += 1
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
