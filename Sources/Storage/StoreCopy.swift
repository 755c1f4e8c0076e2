import LockCore

/// Copies a store into an empty one, of any engine: all that is held, every token, the floor. No server may run
/// on either meanwhile.
///
/// Until everything is there the copy's floor is ``unfinished``, with which no server of any release serves. So
/// a copy that was broken off is no store.
package struct StoreCopy {
  /// The floor of tokens of a copy that is not finished.
  static let unfinished: Int64 = -2
  /// Rows that are read and written at a time, and how many bytes they should have: a slow line has to carry them
  /// in the time of one answer.
  private static let (rowsMax, bytesWanted) = (400, 256 << 10)
  /// How often it is looked whether a server lives.
  private static let lookNanoseconds: Int64 = 500_000_000

  private let source: any StoreEngine
  private let target: any StoreEngine
  private let sleep: (_ nanoseconds: Int64) -> Void

  /// - Parameter sleep: Lets so many nanoseconds pass.
  package init(
    from source: any StoreEngine, to target: any StoreEngine, sleep: @escaping (Int64) -> Void
  ) {
    self.source = source
    self.target = target
    self.sleep = sleep
  }

  /// - Parameters:
  ///   - waits: Told that servers have said that they live, which takes so many seconds to be found wrong.
  ///   - progress: Told how many rows are copied.
  /// - Returns: How many rows were copied.
  /// - Throws: `unusable` where a server runs on the source, where one of its rows cannot be copied, or where the
  ///   target is not empty; else what the engines throw. Nobody can serve from the target then.
  package func run(
    waits: (_ seconds: Int64) -> Void = { _ in }, progress: (_ rows: Int64) -> Void = { _ in }
  ) throws(StoreError) -> Int64 {
    let from = try source.openWriter()
    let reader = try source.openReader()
    // What is wrong with the target is said before anybody waits, and nobody serves from it meanwhile.
    let to = try target.openWriter()
    try begin(to)
    let (meta, mark): (StoreMeta, ChangeMark?)
    defer { from.forget() }
    do throws(StoreError) {
      try refuseLivingServers(reader, waits: waits)
      // Where engines have one lock, nobody else writes from here on.
      meta = try from.read(Wanted()).meta
      try Fence.check(meta, source)
      mark = source.keepsAccount ? try reader.changesByOthers(since: nil).mark : nil
    } catch {
      // Nothing was copied.
      try? change(to) { _, changes in
        changes.meta = [.set(.tokenFloor, from: Self.unfinished, to: 0)]
      }
      throw error
    }
    let count = try copyRows(reader, to, epoch: meta.epoch, progress: progress)
    if source.keepsAccount, try reader.changesByOthers(since: mark).mark != mark {
      throw StoreError(
        .unusable,
        "something has written to \(source.location) meanwhile; the copy in \(target.location) is void"
      )
    }
    try change(to) { facts, changes in
      changes.meta = [
        .set(.epoch, from: facts.meta.epoch, to: meta.epoch),
        .set(.tokenFloor, from: Self.unfinished, to: meta.tokenFloor),
      ]
      // Engines whose servers never lose what is committed have none.
      if target.keepsAccount, source.keepsAccount {
        changes.meta.append(
          .set(.setbackFloor, from: facts.meta.setbackFloor, to: meta.setbackFloor))
      }
    }
    return count
  }

  // MARK: - Servers

  /// A server keeps its presence for as long as it lives. One that was killed leaves it behind.
  private func refuseLivingServers(
    _ reader: any StoreReader, waits: (Int64) -> Void
  ) throws(StoreError) {
    let before = try presences(reader)
    guard let lease = before.compactMap(\.lease?.nanoseconds).max() else { return }
    waits(lease / 1_000_000_000)
    for _ in 0...(lease / Self.lookNanoseconds) {
      sleep(Self.lookNanoseconds)
      for row in try presences(reader) {
        let seen = before.first { $0.id == row.id }?.record.sighting
        guard seen != row.record.sighting else { continue }
        throw StoreError(
          .unusable,
          "a server runs on \(source.location) (\(row.record.key.dropFirst(ReservedKeys.servers.utf8.count))): "
            + "stop all of them first")
      }
    }
  }

  private func presences(_ reader: any StoreReader) throws(StoreError) -> [StoredRow] {
    let range = KeyRange(prefix: ReservedKeys.servers)
    return try reader.read(Wanted(page: .held(kind: .presence, in: range, limit: 1_000))).rows
  }

  // MARK: - Rows

  private func begin(_ writer: any StoreWriter) throws(StoreError) {
    var wanted = Wanted()
    wanted.wantsLastID = true
    try change(writer, wanted) { (facts, changes) throws(StoreError) in
      if facts.meta.tokenFloor != Self.unfinished { try Fence.check(facts.meta, target) }
      guard facts.lastID == 0, facts.meta.tokenFloor == 0 else {
        throw StoreError(
          .unusable,
          "\(target.location) is not empty: a store is copied into a new one only")
      }
      changes.meta = [.set(.tokenFloor, from: 0, to: Self.unfinished)]
    }
  }

  private func copyRows(
    _ reader: any StoreReader, _ writer: any StoreWriter, epoch: Int64, progress: (Int64) -> Void
  ) throws(StoreError) -> Int64 {
    try reader.beginMoment()
    defer { reader.endMoment() }
    var (count, lastID): (Int64, Int64) = (0, 0)
    var limit = Self.rowsMax / 16
    while true {
      let page = Wanted.Page.rows(afterID: lastID, limit: limit)
      let rows = try reader.read(Wanted(page: page)).rows
      guard let last = rows.last else { return count }
      try change(writer) { (facts, changes) throws(StoreError) in
        changes.oldestShape = facts.meta.oldestShape
        for row in rows {
          changes.rows.append(try copy(of: row, epoch: epoch))
          changes.terms.append(TermChange(row))
        }
      }
      lastID = last.id
      count += Int64(rows.count)
      progress(count)
      // Those that come next are taken to be like these.
      let bytes = rows.reduce(1) { $0 + $1.byteCount }
      limit = min(max(rows.count * Self.bytesWanted / bytes, 1), 2 * limit, Self.rowsMax)
    }
  }

  private func copy(of row: StoredRow, epoch: Int64) throws(StoreError) -> RowChange {
    if let damage = row.damage {
      throw StoreError(.damaged, "\(source.location) is damaged: \(damage)")
    }
    guard !row.isOfNewerServer else {
      throw StoreError(
        .tooOldServer,
        "the row of \"\(row.record.key)\" needs a server that knows shape s\(row.needsShape): copy with that release"
      )
    }
    // Of who held a free row last only the lease is known, and matters.
    let latest = Holder(
      kind: .lock, owner: "", content: .empty, lease: row.lease ?? .longest)
    var interim = row.record
    interim.holder = latest
    return RowChange(
      id: nil, expected: nil, record: row.record,
      interim: row.record.holder == nil ? interim : nil, epoch: row.freeEpoch ?? epoch)
  }

  private func change(
    _ writer: any StoreWriter, _ wanted: Wanted = Wanted(),
    _ decide: (Facts, inout Changes) throws(StoreError) -> Void
  ) throws(StoreError) {
    do throws(StoreError) {
      let facts = try writer.read(wanted)
      var changes = Changes(maintaining: facts.meta.oldestShape)
      try decide(facts, &changes)
      if case .conflict = try writer.apply(changes) {
        throw StoreError(
          .unusable, "something else writes to \(target.location); the copy in it is void")
      }
    } catch {
      writer.forget()
      throw error
    }
  }
}
