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
  /// Whether the latest step found nothing left to do.
  private(set) var isDone = false

  init(limits: StoreLimits, shapes: KnownShapes, now: MonotonicTime) {
    self.limits = limits
    self.shapes = shapes
    nextStep = now
  }

  /// When there is something to do next.
  var due: MonotonicTime { nextStep }

  /// Does one step inside the transaction of `writer`. Returns how many rows were written.
  ///
  /// It ends after so many rows or so much time, whatever comes first: who waits for the database must
  /// not notice.
  mutating func step(
    _ writer: any StoreWriter, meta: StoreMeta, clock: () -> MonotonicTime
  ) throws(StoreError) -> Int {
    let start = clock()
    var state = meta.backfill
    isDone =
      shapes.newest == S1.number
      || (state.row == BackfillState.done && state.since >= meta.oldestShape)
    guard !isDone else { return 0 }
    if state.since < meta.oldestShape {
      state = BackfillState(since: meta.oldestShape)
      try writer.set(.backfillSince(shape: shapes.newest), to: state.since)
    }
    var filled = 0
    var looked = 0
    while looked < limits.backfillRowsMax, clock() - start < limits.backfillStepNanoseconds {
      // Values may be large, so there are few at a time.
      let rows = try writer.rows(afterID: state.row, limit: Self.chunkRows)
      let stale = rows.filter { !$0.isFilled && $0.damage == nil && !$0.isOfNewerServer }
      if !stale.isEmpty {
        try writer.refill(stale, maintaining: meta.oldestShape)
        try writer.setTerms(stale.map(TermChange.init))
      }
      filled += stale.count
      looked += rows.count
      state.row = rows.last?.id ?? state.row
      if rows.count < Self.chunkRows {
        state.row = BackfillState.done
        break
      }
    }
    try writer.set(.backfillRow(shape: shapes.newest), to: state.row)
    if state.row == BackfillState.done, state.since > meta.filledShape {
      try writer.set(.filledShape, to: state.since)
    }
    return filled
  }

  private static let chunkRows = 20

  /// Leaves nine tenths of the time to everything else, after a step that took from `start` to `now`, the commit
  /// included.
  ///
  /// - Parameter isMoreToDo: Whether something else waits for its next step.
  mutating func rest(since start: MonotonicTime, now: MonotonicTime, isMoreToDo: Bool) {
    nextStep =
      now
      + (isDone && !isMoreToDo
        ? limits.backfillLookNanoseconds
        : max(limits.backfillPauseNanoseconds, 9 * (now - start)))
  }
}
