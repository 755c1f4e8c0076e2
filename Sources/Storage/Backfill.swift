import LockCore

/// Brings rows that older servers wrote into every shape that this server knows, little by little, while
/// everything else goes on. Reading never waits for it: the reading rule does without.
///
/// A pass goes through all rows by their numbers. Where it is, the store remembers, so any server that
/// knows the shape goes on with it, also after a crash. One pass is made when the shape is new, and one
/// after older shapes were given up: then nobody is left who could write rows that lack it.
struct Backfill {
  private let limits: StoreLimits
  private let shapes: KnownShapes
  private var nextStep: MonotonicTime

  init(limits: StoreLimits, shapes: KnownShapes, now: MonotonicTime) {
    self.limits = limits
    self.shapes = shapes
    nextStep = now
  }

  /// When there is something to do next.
  var due: MonotonicTime { nextStep }

  /// Does one step inside the transaction of `writer`. Returns how many rows were written.
  mutating func step(
    _ writer: any StoreWriter, meta: StoreMeta, clock: () -> MonotonicTime
  ) throws(StoreError) -> Int {
    let start = clock()
    var state = meta.backfill
    guard shapes.newest > S1.number,
      state.row != BackfillState.done || state.since < meta.oldestShape
    else {
      nextStep = start + limits.backfillLookNanoseconds
      return 0
    }
    if state.since < meta.oldestShape {
      state = BackfillState(since: meta.oldestShape)
      try writer.set(.backfillSince(shape: shapes.newest), to: state.since)
    }
    let rows = try writer.rows(afterID: state.row, limit: limits.backfillRowsMax)
    let stale = rows.filter { !$0.isFilled && $0.damage == nil && !$0.isOfNewerServer }
    if !stale.isEmpty { try writer.refill(stale, maintaining: meta.oldestShape) }
    if rows.count == limits.backfillRowsMax, let last = rows.last {
      try writer.set(.backfillRow(shape: shapes.newest), to: last.id)
    } else {
      try writer.set(.backfillRow(shape: shapes.newest), to: BackfillState.done)
      if state.since > meta.filledShape { try writer.set(.filledShape, to: state.since) }
    }
    // So much of the time is left to everything else.
    let end = clock()
    nextStep = end + max(limits.backfillPauseNanoseconds, 4 * (end - start))
    return stale.count
  }
}
