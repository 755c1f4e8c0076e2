import LockCore

/// A reading side of the store: answers what is waiting from one snapshot, taken after it was asked,
/// so that an answer contains everything acknowledged before.
///
/// The store has three: one for single keys, one for lists, one for lists of one moment.
final class SnapshotReader {
  enum Item: Sendable {
    /// Whatever is not a list.
    case query(Query, deadline: MonotonicTime?, call: any StoreCall)
    /// Look at keys that are waited for.
    case look(WaitedLook)
  }

  /// What may take long.
  enum LongItem: Sendable {
    case list(ListReading)
    /// Read every lease in the store and tell the writer.
    case scan(writer: BatchQueue<CommandWriter.Item>)
  }

  private let engine: any StoreEngine
  let limits: StoreLimits
  let clock: @Sendable () -> MonotonicTime
  let observer: any StoreObserver
  private let damage: DamageReports
  /// Whether the store ends, so that nothing is begun or gone on with that may take long.
  let isEnding: () -> Bool
  private var reader: (any StoreReader)?
  private let backlog = ReplyBacklog()

  /// - Parameter reader: Nil where the connection is to be opened when it is needed.
  init(
    engine: any StoreEngine, reader: (any StoreReader)?, limits: StoreLimits,
    clock: @escaping @Sendable () -> MonotonicTime, observer: any StoreObserver,
    damage: DamageReports, isEnding: @escaping () -> Bool = { false }
  ) {
    self.isEnding = isEnding
    self.engine = engine
    self.reader = reader
    self.limits = limits
    self.clock = clock
    self.observer = observer
    self.damage = damage
  }

  func turn(_ items: [Item]) {
    var replies = ReplyBatch()
    let now = clock()
    var queries: [(query: Query, call: any StoreCall)] = []
    var looks: [WaitedLook] = []
    for item in items {
      switch item {
      case .query(_, let deadline?, let call) where deadline <= now:
        replies.add(.failure(.deadlinePassed), for: call)
      case .query(_, _, let call) where !call.isWanted:
        replies.add(.failure(.unwanted), for: call)
      case .query(let query, _, let call): queries.append((query, call))
      case .look(let look): looks.append(look)
      }
    }
    replies.deliver()
    var rest = queries[...]
    while !rest.isEmpty {
      rest = answer(rest)
      backlog.wait(bytesMax: limits.repliesBytesMax)
    }
    for look in looks { goOn(with: look) }
  }

  /// Reads on for a while. Returns whether that is all.
  func advance(_ item: LongItem) -> Bool {
    switch item {
    case .list(let list): return advance(list)
    case .scan(let writer):
      scan(for: writer)
      return true
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
    case .list: preconditionFailure("lists are read piece by piece")
    case .prefix(let prefix):
      let rows = try reader.rows(
        of: nil, in: KeyRange(prefix: prefix), limit: limits.prefixRowsMax)
      // Somebody is there, if it cannot be read who.
      return .success(.records(rows.map(\.shown)))
    case .meta: return .success(.meta(meta, lastRow: try reader.lastID()))
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

  // MARK: - Damage

  /// A damaged row does not keep the others from being listed, but it is not passed over in
  /// silence.
  func sound(_ rows: [StoredRow]) -> [LockRecord] {
    rows.compactMap { row in
      guard let damage = row.damage else { return row.record }
      observer.skipped(damage: damage, untold: self.damage.note(damage, at: clock()))
      return nil
    }
  }

  // MARK: - Snapshots

  func inSnapshot<R>(
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
