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
  private static let pauseAfterConflictNanoseconds: Int64 = 100_000_000

  private let limits: StoreLimits
  private var collector: Collector
  private var backfill: Backfill
  private var sweep: TermSweep
  private var givingUp: GivingUp?
  /// Nothing is done before this time: something failed, and commands may need what there is left.
  private(set) var resumption: MonotonicTime
  private var pause = Self.pauseNanosecondsMin

  init(limits: StoreLimits, shapes: KnownShapes, now: MonotonicTime) {
    self.limits = limits
    collector = Collector(limits: limits, now: now)
    backfill = Backfill(limits: limits, shapes: shapes, now: now)
    sweep = TermSweep(limits: limits, shapes: shapes)
    resumption = now
  }

  /// When there is something to do next.
  var due: MonotonicTime {
    max(givingUp == nil ? min(collector.due, backfill.due) : resumption, resumption)
  }

  mutating func giveUp(_ order: GivingUp) { givingUp = order }

  /// Does what is due, each in a transaction of its own.
  mutating func run(
    _ writer: any StoreWriter, _ engine: any StoreEngine, observer: any StoreObserver,
    clock: () -> MonotonicTime
  ) throws(StoreError) {
    let before = (collector, backfill, sweep)
    do {
      if let order = givingUp {
        givingUp = nil
        try give(up: order, writer, engine, observer, at: clock())
      }
      // The first of two may only have found that there is something to do.
      for _ in 1...2 where collector.due <= clock() {
        try collect(writer, engine, observer, at: clock())
      }
      if backfill.due <= clock() { try fill(writer, engine, observer, clock) }
      pause = Self.pauseNanosecondsMin
    } catch {
      writer.forget()
      (collector, backfill, sweep) = before
      failed(at: clock())
      throw error
    }
  }

  /// Nothing more is tried for a while.
  mutating func failed(at now: MonotonicTime) {
    resumption = now + pause
    pause = min(2 * pause, Self.pauseNanosecondsMax)
  }

  private mutating func give(
    up order: GivingUp, _ writer: any StoreWriter, _ engine: any StoreEngine,
    _ observer: any StoreObserver, at now: MonotonicTime
  ) throws(StoreError) {
    var isToBeDone = false
    // Where others were faster it will be ordered again.
    let isApplied = try transact(writer, engine, nil) { _, facts, changes in
      isToBeDone = order.deadline > now && order.shape > facts.meta.oldestShape
      guard isToBeDone else { return }
      changes.meta = [
        .giveUpShapes(before: order.shape, neededRelease: order.neededRelease)
      ]
    }
    if isToBeDone, isApplied { observer.gaveUpShapes(before: order.shape) }
  }

  private mutating func collect(
    _ writer: any StoreWriter, _ engine: any StoreEngine, _ observer: any StoreObserver,
    at now: MonotonicTime
  ) throws(StoreError) {
    var collected: [Int64] = []
    let isApplied = try transact(writer, engine, collector.page) { upkeep, facts, changes in
      collected = upkeep.collector.step(facts, into: &changes, at: now)
    }
    guard isApplied else { return resumption = now + Self.pauseAfterConflictNanoseconds }
    if !collected.isEmpty { observer.collected(rows: collected.count) }
  }

  /// Goes on for a moment: who waits for the database must not notice.
  private mutating func fill(
    _ writer: any StoreWriter, _ engine: any StoreEngine, _ observer: any StoreObserver,
    _ clock: () -> MonotonicTime
  ) throws(StoreError) {
    let start = clock()
    defer { backfill.rest(since: start, now: clock(), isMoreToDo: sweep.isUnderWay) }
    if backfill.isDone {
      // Unless there has to be another pass.
      try transact(writer, engine, sweep.page) { upkeep, facts, changes in
        upkeep.backfill.look(at: facts.meta)
        if upkeep.backfill.isDone { upkeep.sweep.step(facts, into: &changes) }
      }
    }
    var looked = 0
    while !backfill.isDone, looked < limits.backfillRowsMax,
      clock() - start < limits.backfillStepNanoseconds
    {
      var filled = 0
      let isApplied = try transact(writer, engine, backfill.page) { upkeep, facts, changes in
        filled = upkeep.backfill.step(facts, into: &changes)
        looked += max(facts.rows.count, 1)
      }
      guard isApplied else { return }
      if filled > 0 { observer.filled(rows: filled) }
    }
  }

  /// - Returns: False where others were faster, and nothing is done.
  @discardableResult
  private mutating func transact(
    _ writer: any StoreWriter, _ engine: any StoreEngine, _ page: Wanted.Page?,
    _ decide: (inout Upkeep, Facts, inout Changes) -> Void
  ) throws(StoreError) -> Bool {
    let before = (collector, backfill, sweep)
    let facts = try writer.read(Wanted(page: page))
    try Fence.check(facts.meta, engine)
    guard !facts.isBehind, facts.isOpen else {
      writer.forget()
      return false
    }
    var changes = Changes(maintaining: facts.meta.oldestShape)
    decide(&self, facts, &changes)
    guard case .conflict = try writer.apply(changes) else { return true }
    (collector, backfill, sweep) = before
    return false
  }
}
