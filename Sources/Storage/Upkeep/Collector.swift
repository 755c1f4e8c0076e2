import LockCore

/// Deletes rows that have been free for long, without trusting a clock, and clears up what older servers left
/// behind in those that they freed.
///
/// The store counts epochs. A server that has seen the same epoch for its whole length on its own
/// monotonic clock begins the next one. A row notes the epoch in which it became free, so it was
/// free for at least one whole epoch once the count is two further. Before rows go, the store's
/// token floor rises to their highest token, in the same transaction.
struct Collector {
  /// Rows with higher tokens stay. Granting never gets so far, damage does, and as the floor such a
  /// token would leave no numbers to any other key.
  static let collectableTokenMax = Int64.max / 2

  private let limits: StoreLimits
  private var epoch: Int64?
  private var epochSeen: MonotonicTime
  /// Where the sweep through the rows stands; nil while none is under way.
  private var cursor: Int64?
  private var nextStep: MonotonicTime

  init(limits: StoreLimits, now: MonotonicTime) {
    self.limits = limits
    epochSeen = now
    nextStep = now
  }

  /// When there is something to do next.
  var due: MonotonicTime {
    cursor == nil && epoch != nil ? epochSeen + limits.epochNanoseconds : nextStep
  }

  /// Does one step inside the transaction of `writer`. Returns how many rows were deleted.
  mutating func step(
    _ writer: any StoreWriter, meta: StoreMeta, now: MonotonicTime
  ) throws(StoreError) -> [Int64] {
    if epoch != meta.epoch {
      // Another server began it, or this one has just started: sweep, and wait its whole length.
      epoch = meta.epoch
      epochSeen = now
      cursor = cursor ?? 0
      nextStep = now
    } else if cursor == nil, now - epochSeen >= limits.epochNanoseconds {
      let (next, overflow) = meta.epoch.addingReportingOverflow(1)
      // No store lives so long; a damaged one keeps its free rows.
      if overflow { epochSeen = now } else { try writer.set(.epoch, to: next) }
      nextStep = now + limits.collectPauseNanoseconds
      return []
    }
    guard let from = cursor, now >= nextStep else { return [] }
    nextStep = now + limits.collectPauseNanoseconds
    let rows = try writer.freeRows(afterID: from, limit: limits.collectRowsMax)
    cursor = rows.count < limits.collectRowsMax ? nil : rows.last?.id
    // What an older server freed still says in newer columns and in terms who held it, and may be deleted by
    // one that does not know of them.
    let stale = rows.filter {
      !$0.isFilled && $0.damage == nil && $0.record.holder == nil && !$0.isOfNewerServer
    }
    if !stale.isEmpty {
      try writer.refill(stale, maintaining: meta.oldestShape)
      try writer.setTerms(stale.map(TermChange.init))
    }
    let collectable = rows.filter { row in
      guard row.damage == nil, row.record.holder == nil, let freeEpoch = row.freeEpoch else {
        return false
      }
      guard row.record.token <= Self.collectableTokenMax else { return false }
      return !row.isOfNewerServer && freeEpoch <= meta.epoch - 2
    }
    guard let highest = collectable.map(\.record.token).max() else { return [] }
    if highest > meta.tokenFloor { try writer.set(.tokenFloor, to: highest) }
    try writer.setTerms(collectable.map(TermChange.init))
    try writer.delete(ids: collectable.map(\.id))
    return collectable.map(\.id)
  }
}
