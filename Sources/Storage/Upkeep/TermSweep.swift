/// Takes terms away whose keys have no row: servers of s1 do not know the table, and delete rows
/// without them. Those that run beside this one find rows cleared up by then (``Collector``); what
/// is left is of a time in which only they ran, after a rollback.
///
/// So it is one pass over the keys when a server has started, in small steps, and one when none of
/// them can come any more (``StoreMeta/filledShape``).
struct TermSweep {
  private let limits: StoreLimits
  /// The key that the pass has come to; nil where none is under way.
  private var cursor: String?
  private var isLastPass = false
  private var isDone = false

  init(limits: StoreLimits, shapes: KnownShapes) {
    self.limits = limits
    cursor = shapes.haveTerms ? "" : nil
    isDone = !shapes.haveTerms
  }

  /// Whether there is a next step to be done soon.
  var isUnderWay: Bool { cursor != nil }

  /// What the next step wants to see.
  var page: Wanted.Page? { cursor.map { .keysWithTerms(after: $0, limit: limits.sweepKeysMax) } }

  /// Does one step.
  ///
  /// - Parameter facts: With ``page``.
  mutating func step(_ facts: Facts, into changes: inout Changes) {
    guard !isDone else { return }
    let isFilled = facts.meta.filledShape >= S2.number
    guard let from = cursor else {
      if isFilled { cursor = "" }
      return
    }
    if from.isEmpty { isLastPass = isFilled }
    changes.orphans = facts.keysWithTerms.lazy.filter { !$0.hasRow }.map(\.key)
    cursor = facts.keysWithTerms.last?.key
    isDone = cursor == nil && isLastPass
  }
}
