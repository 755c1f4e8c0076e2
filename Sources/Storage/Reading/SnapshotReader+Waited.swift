import LockCore

/// A key that is waited for.
struct WaitedKey: Sendable {
  var key: String
  /// The fencing token that it was last seen with; nil where it had no row.
  var token: Int64?
}

/// The keys that are waited for, looked at page by page, so that queries get their turn in between.
struct WaitedLook: Sendable {
  var keys: ArraySlice<WaitedKey>
  /// How long the pages so far took.
  var nanoseconds: Int64 = 0
  /// Who wants to know, and where the rest of the keys waits for its turn.
  let writer: BatchQueue<CommandWriter.Item>
  let queue: BatchQueue<SnapshotReader.Item>
}

extension SnapshotReader {
  /// Looks at the next page of `look` and tells the writer at which of its keys another server has changed
  /// something: the key is free, or granted anew.
  func goOn(with look: WaitedLook) {
    let start = clock()
    var look = look
    let page = look.keys.prefix(limits.pageMax)
    look.keys = look.keys.dropFirst(page.count)
    var isComplete = true
    do {
      var wanted = Wanted()
      wanted.grants = page.map(\.key)
      let grants = try read(wanted).grants
      let changed = zip(page, grants).filter { $1?.isOver ?? true || $0.token != $1?.token }
      if !changed.isEmpty { look.writer.appendAlways(.changed(keys: changed.map(\.0.key))) }
    } catch {
      observer.scanFailed(error)
      isComplete = false
    }
    look.nanoseconds += clock() - start
    if isComplete, !look.keys.isEmpty { return look.queue.appendAlways(.look(look)) }
    look.writer.appendAlways(
      .lookEnded(nanoseconds: look.nanoseconds, isComplete: isComplete))
  }
}
