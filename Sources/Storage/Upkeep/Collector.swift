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

  /// What the next step wants to see.
  var page: Wanted.Page? { cursor.map { .freeRows(afterID: $0, limit: limits.collectRowsMax) } }

  /// Does one step. Returns which rows are to be deleted.
  ///
  /// - Parameter facts: With ``page``.
  mutating func step(_ facts: Facts, into changes: inout Changes, at now: MonotonicTime) -> [Int64]
  {
    let meta = facts.meta
    if epoch != meta.epoch {
      // Another server began it, or this one has just started: sweep, and wait its whole length.
      epoch = meta.epoch
      epochSeen = now
      nextStep = now
      if cursor == nil {
        cursor = 0
        return []
      }
    } else if cursor == nil, now - epochSeen >= limits.epochNanoseconds {
      let (next, overflow) = meta.epoch.addingReportingOverflow(1)
      // No store lives so long; a damaged one keeps its free rows.
      if overflow {
        epochSeen = now
      } else {
        changes.meta.append(.set(.epoch, from: meta.epoch, to: next))
      }
      nextStep = now + limits.collectPauseNanoseconds
      return []
    }
    guard cursor != nil, now >= nextStep else { return [] }
    nextStep = now + limits.collectPauseNanoseconds
    let rows = facts.rows
    cursor = rows.count < limits.collectRowsMax ? nil : rows.last?.id
    // What an older server freed still says in newer columns and in terms who held it, and may be deleted by
    // one that does not know of them.
    let stale = rows.filter {
      !$0.isFilled && $0.damage == nil && $0.record.holder == nil && !$0.isOfNewerServer
    }
    let collectable = rows.filter { row in
      guard row.damage == nil, row.record.holder == nil, let freeEpoch = row.freeEpoch else {
        return false
      }
      guard row.record.token <= Self.collectableTokenMax else { return false }
      return !row.isOfNewerServer && freeEpoch <= meta.epoch - 2
    }
    changes.refills = stale
    changes.terms = stale.map(TermChange.init)
    guard let highest = collectable.map(\.record.token).max() else { return [] }
    if highest > meta.tokenFloor {
      changes.meta.append(.set(.tokenFloor, from: meta.tokenFloor, to: highest))
    }
    if let collected = meta.collectedToken, highest > collected {
      changes.meta.append(.set(.collectedToken, from: collected, to: highest))
    }
    changes.terms += collectable.map(TermChange.init)
    changes.deletions = collectable.map {
      Changes.Deletion(id: $0.id, expected: $0.record.sighting)
    }
    return collectable.map(\.id)
  }
}
