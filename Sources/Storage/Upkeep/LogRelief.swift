import LockCore

/// Sees to it that the engine's log begins anew now and then, though somebody always reads.
///
/// An engine copies its log into the database after commits, but starts it over only at a moment in
/// which nobody reads from it; with readers that follow each other closely there is none. Then
/// writing stands still for as long as their snapshots last, which is as long as a page takes, and lists
/// of one moment leave room (``LogGate``). Whoever
/// reads for longer, such as a shell with an open transaction, lets the log grow: then it is tried
/// again, ever more rarely.
struct LogRelief {
  private static let pauseNanosecondsMin: Int64 = 250_000_000
  private static let pauseNanosecondsMax: Int64 = 60_000_000_000

  private let limits: StoreLimits
  private let gate: LogGate
  private var resumption: MonotonicTime
  private var pause = Self.pauseNanosecondsMin
  private var isSaid = false
  private var bytesTold: Int64 = -1

  init(limits: StoreLimits, gate: LogGate, now: MonotonicTime) {
    self.limits = limits
    self.gate = gate
    resumption = now
  }

  /// Nothing is to wait for what cannot be done now.
  func giveUp() { gate.wantPause(false) }

  /// Looks at the log after a turn, outside of a transaction.
  mutating func look(
    _ writer: any StoreWriter, at now: MonotonicTime, observer: any StoreObserver
  ) {
    let log = writer.log
    if log.fileBytes != bytesTold {
      observer.logTakes(bytes: log.fileBytes)
      bytesTold = log.fileBytes
    }
    if log.fileBytes > limits.logWarningBytes {
      if !isSaid { observer.logIsLong(bytes: log.fileBytes) }
      isSaid = true
    } else if log.fileBytes <= limits.logWarningBytes / 2 {
      isSaid = false
    }
    let isDue = log.usedBytes > limits.logBytesMax && now >= resumption
    gate.wantPause(isDue)
    guard isDue, !gate.isHeld else { return }
    defer { gate.wantPause(false) }
    if writer.restartLog() {
      pause = Self.pauseNanosecondsMin
    } else {
      resumption = now + pause
      pause = min(2 * pause, Self.pauseNanosecondsMax)
    }
  }
}
