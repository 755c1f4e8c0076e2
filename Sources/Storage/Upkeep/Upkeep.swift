import LockCore

/// What a server does to its store by itself, in transactions of its own, so that what fails in them keeps
/// no command from being done: gives up shapes that nobody needs, brings rows into the newest one,
/// and takes terms away that have no row.
struct Upkeep {
  /// An order to fence off every server that does not know a shape. What was right when it was given may
  /// not be right later, so it is not kept.
  struct GivingUp: Sendable {
    var shape: Int64
    /// The release that a server must have at least, in words.
    var neededRelease: String
    var deadline: MonotonicTime
  }

  private static let pauseNanosecondsMin: Int64 = 1_000_000_000
  private static let pauseNanosecondsMax: Int64 = 300_000_000_000

  private var backfill: Backfill
  private var sweep: TermSweep
  private var givingUp: GivingUp?
  /// Nothing is done before this time: something failed, and commands may need what there is left.
  private var resumption: MonotonicTime
  private var pause = Self.pauseNanosecondsMin

  init(limits: StoreLimits, shapes: KnownShapes, now: MonotonicTime) {
    backfill = Backfill(limits: limits, shapes: shapes, now: now)
    sweep = TermSweep(limits: limits, shapes: shapes)
    resumption = now
  }

  /// When there is something to do next.
  var due: MonotonicTime { max(givingUp == nil ? backfill.due : resumption, resumption) }

  mutating func giveUp(_ order: GivingUp) { givingUp = order }

  /// One transaction. The caller rolls it back where it throws.
  mutating func run(
    _ writer: any StoreWriter, _ engine: any StoreEngine, observer: any StoreObserver,
    clock: () -> MonotonicTime
  ) throws(StoreError) {
    let order = givingUp
    let before = (backfill, sweep)
    givingUp = nil
    do {
      let start = clock()
      try writer.begin()
      let meta = try writer.meta()
      try Fence.check(meta, engine)
      var gaveUp: Int64?
      if let order, order.deadline > start, order.shape > meta.oldestShape {
        try writer.giveUpShapes(before: order.shape, neededRelease: order.neededRelease)
        gaveUp = order.shape
      }
      let filled =
        backfill.due <= start ? try backfill.step(writer, meta: meta, clock: clock) : 0
      if backfill.isDone { try sweep.step(writer, meta: meta) }
      try writer.commit()
      backfill.rest(since: start, now: clock(), isMoreToDo: sweep.isUnderWay)
      if let gaveUp { observer.gaveUpShapes(before: gaveUp) }
      if filled > 0 { observer.filled(rows: filled) }
      pause = Self.pauseNanosecondsMin
    } catch {
      (backfill, sweep) = before
      resumption = clock() + pause
      pause = min(2 * pause, Self.pauseNanosecondsMax)
      throw error
    }
  }
}
