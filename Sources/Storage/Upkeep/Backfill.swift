import LockCore

/// Brings rows that older servers wrote into every whole shape that this server knows, little by little, while
/// everything else goes on. Reading never waits for it: the reading rule does without.
///
/// A pass goes through all rows by their numbers. Where it is, the store remembers, so any server that
/// knows the shape goes on with it, also after a crash. One pass is made when the shape is new, and one
/// after older shapes were given up: then nobody is left who could write rows that lack it.
struct Backfill {
  private let limits: StoreLimits
  private let shapes: KnownShapes
  private var nextStep: MonotonicTime
  /// Where the pass was, as the store said last; nil before it was asked.
  private var state: BackfillState?
  /// Rows of the next step. Values may be large, so there are few at first.
  private var rowsMax: Int
  /// Whether the latest step found nothing left to do.
  private(set) var isDone = false

  init(limits: StoreLimits, shapes: KnownShapes, now: MonotonicTime) {
    self.limits = limits
    self.shapes = shapes
    nextStep = now
    rowsMax = min(Self.rowsMin, limits.backfillRowsMax)
  }

  private static let rowsMin = 20

  /// When there is something to do next.
  var due: MonotonicTime { nextStep }

  /// What the next step wants to see.
  var page: Wanted.Page? {
    guard !isDone, let state, state.row != BackfillState.done else { return nil }
    return .rows(afterID: state.row, limit: rowsMax)
  }

  /// Finds out where the pass is, and whether there has to be another one.
  mutating func look(at meta: StoreMeta) {
    let stored = meta.backfill
    state = stored
    isDone =
      shapes.newestWhole == S1.number
      || (stored.row == BackfillState.done && stored.since >= meta.oldestShape)
  }

  /// Does one step. Returns how many rows are to be written.
  ///
  /// - Parameter facts: With ``page``.
  mutating func step(_ facts: Facts, into changes: inout Changes) -> Int {
    let meta = facts.meta
    let known = state
    let stored = meta.backfill
    look(at: meta)
    guard !isDone else { return 0 }
    func set(_ name: StoreMeta.Name, from: Int64, to: Int64) {
      changes.meta.append(.set(name, from: from, to: to))
    }
    let (row, since) = (
      StoreMeta.Name.backfillRow(shape: shapes.newestWhole),
      StoreMeta.Name.backfillSince(shape: shapes.newestWhole)
    )
    if stored.since < meta.oldestShape {
      // A new pass.
      state = BackfillState(since: meta.oldestShape)
      set(since, from: stored.since, to: meta.oldestShape)
      if stored.row != 0 { set(row, from: stored.row, to: 0) }
      return 0
    }
    // Another server may have gone on with it.
    guard known == stored else { return 0 }
    let stale = facts.rows.filter { !$0.isFilled && $0.damage == nil && !$0.isOfNewerServer }
    changes.refills = stale
    changes.terms = stale.map(TermChange.init)
    let isLast = facts.rows.count < rowsMax
    let next = isLast ? BackfillState.done : facts.rows.last!.id
    state!.row = next
    set(row, from: stored.row, to: next)
    if isLast, stored.since > meta.filledShape {
      set(.filledShape, from: meta.filledShape, to: stored.since)
    }
    return stale.count
  }

  /// Leaves nine tenths of the time to everything else, after a step that took from `start` to `now`, the commit
  /// included.
  ///
  /// - Parameter isMoreToDo: Whether something else waits for its next step.
  mutating func rest(since start: MonotonicTime, now: MonotonicTime, isMoreToDo: Bool) {
    // Each transaction takes the time of its commit, however few rows there are in it.
    rowsMax =
      now - start < 2 * limits.backfillStepNanoseconds
      ? min(2 * rowsMax, limits.backfillRowsMax) : max(rowsMax / 2, min(Self.rowsMin, rowsMax))
    nextStep =
      now
      + (isDone && !isMoreToDo
        ? limits.backfillLookNanoseconds
        : max(limits.backfillPauseNanoseconds, 9 * (now - start)))
  }
}
