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
    /// Tell the writer what other servers have changed.
    case news(since: ChangeMark?, writer: BatchQueue<CommandWriter.Item>)
  }

  /// What may take long.
  enum LongItem: Sendable {
    case list(ListReading)
    /// Read every lease in the store and tell the writer.
    case scan(writer: BatchQueue<CommandWriter.Item>)
  }

  let engine: any StoreEngine
  let limits: StoreLimits
  let clock: @Sendable () -> MonotonicTime
  let observer: any StoreObserver
  private let damage: DamageReports
  /// Whether the store ends, so that nothing is begun or gone on with that may take long.
  let isEnding: () -> Bool
  private var reader: (any StoreReader)?
  private let open: () throws(StoreError) -> (any StoreReader)?
  private let backlog = ReplyBacklog()

  /// - Parameters:
  ///   - reader: Nil where the connection is to be opened when it is needed.
  ///   - open: Gives another one; nil while it is being opened.
  init(
    engine: any StoreEngine, reader: (any StoreReader)?,
    open: @escaping () throws(StoreError) -> (any StoreReader)?, limits: StoreLimits,
    clock: @escaping @Sendable () -> MonotonicTime, observer: any StoreObserver,
    damage: DamageReports, isEnding: @escaping () -> Bool = { false }
  ) {
    self.isEnding = isEnding
    self.engine = engine
    self.reader = reader
    self.open = open
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
    var news: [(since: ChangeMark?, writer: BatchQueue<CommandWriter.Item>)] = []
    for item in items {
      switch item {
      case .query(_, let deadline?, let call) where deadline <= now:
        replies.add(.failure(.deadlinePassed), for: call)
      case .query(_, _, let call) where !call.isWanted:
        replies.add(.failure(.unwanted), for: call)
      case .query(let query, _, let call): queries.append((query, call))
      case .look(let look): looks.append(look)
      case .news(let mark, let writer): news.append((mark, writer))
      }
    }
    replies.deliver()
    var rest = queries[...]
    while !rest.isEmpty {
      rest = answer(rest)
      backlog.wait(bytesMax: limits.repliesBytesMax)
    }
    for look in looks { goOn(with: look) }
    for (mark, writer) in news { tellNews(since: mark, to: writer) }
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

  /// Answers the first of `queries`, from one snapshot. Returns the others.
  private func answer(
    _ queries: ArraySlice<(query: Query, call: any StoreCall)>
  ) -> ArraySlice<(query: Query, call: any StoreCall)> {
    let keys = queries.prefix(limits.keysReadMax).map(\.query.fetchedKey).prefix { $0 != nil }
    let part = queries.prefix(max(keys.count, 1))
    var replies = ReplyBatch()
    do throws(StoreError) {
      let results =
        keys.isEmpty ? [try answer(part.first!.query)] : try fetch(keys.map { $0! })
      for ((_, call), result) in zip(part, results) {
        replies.add(result, for: call, backlog: backlog)
      }
    } catch {
      for (_, call) in part { replies.add(.failure(error), for: call) }
    }
    replies.deliver()
    return queries.dropFirst(part.count)
  }

  private func fetch(_ keys: [String]) throws(StoreError) -> [StoreResult] {
    var scope = Batch.Scope()
    let slots = scope.add(keys)
    let facts = try read(scope.wanted)
    return slots.map { slot in
      guard let row = facts.byKey[slot] else { return .success(.found(nil)) }
      if let damage = row.damage { return .failure(StoreError(.damaged, damage)) }
      guard row.record.holder == nil else { return .success(.found(row.record)) }
      // Without an owner to show, a newer server's row is not free all the same.
      return .success(
        row.isOfNewerServer
          ? .refused(.needsNewerServer(shape: row.needsShape), nil) : .found(nil))
    }
  }

  private func answer(_ query: Query) throws(StoreError) -> StoreResult {
    switch query {
    case .fetch(let key): return try fetch([key])[0]
    case .list: preconditionFailure("lists are read piece by piece")
    case .prefix(let prefix):
      let page = Wanted.Page.held(
        kind: nil, in: KeyRange(prefix: prefix), limit: limits.prefixRowsMax)
      // Somebody is there, if it cannot be read who.
      return .success(.records(try read(Wanted(page: page)).rows.map(\.shown)))
    case .meta:
      var wanted = Wanted()
      wanted.wantsLastID = true
      let facts = try read(wanted)
      return .success(.meta(facts.meta, lastRow: facts.lastID))
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
        let wanted = Wanted(page: .leases(afterID: id, limit: limits.pageMax))
        let facts = try read(wanted)
        let page = facts.leases
        if !page.isEmpty, writer.append(.seen(page, setbacks: facts.meta.setbacks)) != .admitted {
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

  func read(_ wanted: Wanted) throws(StoreError) -> Facts {
    let facts = try withReader { (reader) throws(StoreError) in try reader.read(wanted) }
    // A fence is no fault of the connection.
    try Fence.check(facts.meta, engine)
    // What was acknowledged may be missing.
    guard facts.isOpen else { throw Setback.error }
    return facts
  }

  /// - Parameter body: Reads from one and the same snapshot.
  func inOneMoment<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> R {
    try withReader { (reader) throws(StoreError) in try reader.beginMoment() }
    defer { reader?.endMoment() }
    return try body()
  }

  func withReader<R>(
    _ body: (any StoreReader) throws(StoreError) -> R
  ) throws(StoreError) -> R {
    if reader == nil { reader = try open() }
    guard let reader else {
      throw StoreError(
        .unavailable, "a connection to the store \(engine.location) is being opened")
    }
    do throws(StoreError) {
      return try body(reader)
    } catch {
      // Whatever it was, a new connection starts from a known state.
      reader.endMoment()
      self.reader = nil
      throw error
    }
  }
}

extension Query {
  /// Nil where more is asked than who holds a key.
  fileprivate var fetchedKey: String? {
    if case .fetch(let key) = self { key } else { nil }
  }
}
