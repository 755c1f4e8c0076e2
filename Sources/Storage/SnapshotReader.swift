import LockCore

/// A reading side of the store: answers what is waiting from one snapshot, taken after it was asked,
/// so that an answer contains everything acknowledged before.
///
/// The store has two: one for single keys, one for what may take long.
final class SnapshotReader {
  enum Item: Sendable {
    case query(Query, deadline: MonotonicTime?, call: any StoreCall)
    /// Read every lease in the store and tell the writer.
    case scan(writer: BatchQueue<CommandWriter.Item>)
  }

  private let engine: any StoreEngine
  private let limits: StoreLimits
  private let clock: @Sendable () -> MonotonicTime
  private let observer: any StoreObserver
  private var reader: (any StoreReader)?
  private let backlog = ReplyBacklog()

  init(
    engine: any StoreEngine, reader: any StoreReader, limits: StoreLimits,
    clock: @escaping @Sendable () -> MonotonicTime, observer: any StoreObserver
  ) {
    self.engine = engine
    self.reader = reader
    self.limits = limits
    self.clock = clock
    self.observer = observer
  }

  func turn(_ items: [Item]) {
    var replies = ReplyBatch()
    let now = clock()
    var queries: [(query: Query, call: any StoreCall)] = []
    for item in items {
      switch item {
      case .query(_, let deadline?, let call) where deadline <= now:
        replies.add(.failure(.deadlinePassed), for: call)
      case .query(_, _, let call) where !call.isWanted:
        replies.add(.failure(.unwanted), for: call)
      case .query(let query, _, let call): queries.append((query, call))
      case .scan(let writer): scan(for: writer)
      }
    }
    replies.deliver()
    var rest = queries[...]
    while !rest.isEmpty {
      rest = answer(rest)
      backlog.wait(bytesMax: limits.repliesBytesMax)
    }
  }

  // MARK: - Queries

  /// Answers queries from one snapshot until their answers have become large. Returns the others.
  private func answer(
    _ queries: ArraySlice<(query: Query, call: any StoreCall)>
  ) -> ArraySlice<(query: Query, call: any StoreCall)> {
    var replies = ReplyBatch()
    var rest = queries
    do {
      try inSnapshot { (reader, meta) throws(StoreError) in
        while let (query, call) = rest.first, replies.byteCount < limits.repliesBytesMax {
          replies.add(try answer(query, reader, meta), for: call, backlog: backlog)
          rest.removeFirst()
        }
      }
    } catch {
      for (_, call) in rest { replies.add(.failure(error), for: call) }
      rest = []
    }
    replies.deliver()
    return rest
  }

  private func answer(
    _ query: Query, _ reader: any StoreReader, _ meta: StoreMeta
  ) throws(StoreError) -> StoreResult {
    switch query {
    case .fetch(let key):
      guard let row = try reader.row(forKey: key) else { return .success(.found(nil)) }
      if let damage = row.damage { return .failure(StoreError(.damaged, damage)) }
      guard row.record.holder == nil else { return .success(.found(row.record)) }
      // Without an owner to show, a newer server's row is not free all the same.
      return .success(
        row.isOfNewerServer
          ? .refused(.needsNewerServer(shape: row.needsShape), nil) : .found(nil))
    case .list(let range, let sink):
      return .success(.listed(try list(range, into: sink, reader, meta)))
    case .prefix(let prefix):
      let rows = try reader.rows(
        of: nil, in: KeyRange(prefix: prefix), limit: limits.prefixRowsMax)
      // Somebody is there, if it cannot be read who.
      return .success(.records(rows.map(\.shown)))
    case .meta: return .success(.meta(meta, lastRow: try reader.lastID()))
    }
  }

  private func list(
    _ range: Query.Range, into sink: any RecordSink, _ reader: any StoreReader, _ meta: StoreMeta
  ) throws(StoreError) -> Outcome.ListEnd {
    let term = meta.filledShape >= S2.number ? try rareTerm(of: range, reader) : nil
    var range = range
    var room = range.countMax
    // One more than there is room for shows that there are more. Where few are what is looked for, pages grow.
    var limit = room < limits.pageMax ? room + 1 : limits.pageMax
    while sink.isWanted {
      let (rows, latestKey) =
        if let term {
          try page(of: range, withTerm: term, reader, limit)
        } else {
          try page(of: range, reader, limit)
        }
      // A newer server's row may have no owner that could be shown.
      let records = sound(rows).filter { record in
        guard let holder = record.holder, !ReservedKeys.contains(record.key) else { return false }
        return range.isMet(by: holder)
      }
      let page = Array(records.prefix(room))
      guard page.isEmpty || sink.append(page) else { return .stopped }
      guard page.count == records.count else { return .more }
      room -= page.count
      guard let latestKey else { return .complete }
      range.afterKey = latestKey
      limit = min(2 * limit, limits.pageMax)
    }
    return .stopped
  }

  /// Up to `limit` rows of a range, and the key that they go up to; nil where there are no more.
  private func page(
    of range: Query.Range, _ reader: any StoreReader, _ limit: Int
  ) throws(StoreError) -> (rows: [StoredRow], latestKey: String?) {
    let rows = try reader.rows(
      of: range.kind, in: range.keys, limit: limit)
    guard rows.count == limit else { return (rows, nil) }
    // A key that is damaged is no place to go on from: its neighbours would come again for ever.
    guard let last = rows.last(where: { !$0.record.key.isEmpty }) else {
      throw StoreError(.damaged, rows.last?.damage ?? "a key of \(S1.resourceTable) is empty")
    }
    return (rows, last.record.key)
  }

  /// The same, of those that a term leads to.
  private func page(
    of range: Query.Range, withTerm term: String, _ reader: any StoreReader, _ limit: Int
  ) throws(StoreError) -> (rows: [StoredRow], latestKey: String?) {
    let keys = try reader.keys(withTerm: term, in: range.keys, limit: limit)
    var rows: [StoredRow] = []
    for key in keys {
      guard let row = try reader.row(forKey: key) else { continue }
      if row.damage != nil || range.kind == nil || row.record.holder?.kind == range.kind {
        rows.append(row)
      }
    }
    return (rows, keys.count == limit ? keys.last : nil)
  }

  /// Of the terms that lead to what is looked for the one that leads to the least, where any leads to few.
  private func rareTerm(
    of range: Query.Range, _ reader: any StoreReader
  ) throws(StoreError) -> String? {
    let terms = Terms.of(range)
    guard var rarest = terms.first, terms.count > 1 else { return terms.first }
    // What is counted costs a small part of what is read.
    for max in [1, 10, 100].map({ $0 * limits.pageMax }) {
      var least = max
      for term in terms where least > 0 {
        let count = try reader.count(ofTerm: term, in: range.keys, max: least)
        if count < least { (rarest, least) = (term, count) }
      }
      if least < max { break }
    }
    return rarest
  }

  /// A damaged row does not keep the others from being listed, but it is not passed over in silence.
  private func sound(_ rows: [StoredRow]) -> [LockRecord] {
    rows.compactMap { row in
      guard let damage = row.damage else { return row.record }
      observer.skipped(damage: damage)
      return nil
    }
  }

  // MARK: - Scan

  /// Every page is a snapshot of its own, so that a long scan does not hold up the WAL.
  private func scan(for writer: BatchQueue<CommandWriter.Item>) {
    let start = clock()
    var isComplete = true
    var latestID: Int64? = 0
    do {
      while let id = latestID {
        let page = try inSnapshot { (reader, _) throws(StoreError) in
          try reader.leases(afterID: id, limit: limits.pageMax)
        }
        if !page.isEmpty, writer.append(.seen(page)) != .admitted {
          isComplete = false
          break
        }
        latestID = page.count == limits.pageMax ? page.last?.id : nil
      }
      observer.scanned()
    } catch {
      observer.scanFailed(error)
      isComplete = false
    }
    writer.appendAlways(.scanEnded(nanoseconds: clock() - start, isComplete: isComplete))
  }

  // MARK: - Snapshots

  private func inSnapshot<R>(
    _ body: (any StoreReader, StoreMeta) throws(StoreError) -> R
  ) throws(StoreError) -> R {
    let reader: any StoreReader
    if let open = self.reader { reader = open } else { reader = try engine.openReader() }
    self.reader = reader
    do {
      try reader.begin()
      let meta = try reader.meta()
      try Fence.check(meta, engine)
      let result = try body(reader, meta)
      reader.end()
      return result
    } catch {
      reader.end()
      // Whatever it was, a new connection starts from a known state. A fence is no fault of it.
      if error.code == .unavailable { self.reader = nil }
      throw error
    }
  }
}
