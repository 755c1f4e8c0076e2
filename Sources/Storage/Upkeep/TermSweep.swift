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

  /// Does one step inside the transaction of `writer`.
  mutating func step(_ writer: any StoreWriter, meta: StoreMeta) throws(StoreError) {
    guard !isDone else { return }
    let isFilled = meta.filledShape >= S2.number
    if cursor == nil {
      guard isFilled else { return }
      cursor = ""
    }
    guard let from = cursor else { return }
    if from.isEmpty { isLastPass = isFilled }
    let keys = try writer.keysWithTerms(after: from, limit: limits.sweepKeysMax)
    try writer.setTerms(
      keys.lazy.filter { !$0.hasRow }.map { TermChange(key: $0.key, before: nil, after: []) })
    cursor = keys.last?.key
    isDone = cursor == nil && isLastPass
  }
}
