import Storage

/// A connection that reads, each answer in one round trip.
final class NetworkReader<Engine: NetworkEngine>: StoreReader {
  private typealias Statements = Engine.Statements

  private let engine: Engine
  private let connection: Engine.Connection
  private var isOfOneMoment = false

  init(_ engine: Engine, _ connection: Engine.Connection) {
    self.engine = engine
    self.connection = connection
  }

  func read(_ wanted: Wanted) throws(StoreError) -> Facts {
    let questions = StoreQuestions(wanted, engine)
    do throws(StoreError) {
      guard !isOfOneMoment else {
        return try questions.facts(try engine.run(questions.asked, on: connection)[...])
      }
      return try questions.facts(
        try engine.inSnapshot(questions.asked + Statements.confirmation, on: connection))
    } catch {
      if error == engine.isReadOnly { engine.leave(connection) }
      throw error
    }
  }

  func beginMoment() throws(StoreError) {
    var first = engine.statements.beginMoment
    if !Statements.confirmation.isEmpty {
      // It is answered from before its end, so what confirms it has to come first, from the same place: a
      // pooler may give each transaction another one.
      let past = try engine.inSnapshot([Statements.meta] + Statements.confirmation, on: connection)
      first += Statements.expecting(history: try engine.facts(ofMeta: past.first!).history ?? 0)
    }
    // A snapshot may be taken only by the first statement after its beginning.
    _ = try engine.run(first + [Statements.meta], on: connection, isRepeated: true)
    isOfOneMoment = true
  }

  func endMoment() {
    guard isOfOneMoment else { return }
    isOfOneMoment = false
    // Of one that was given up nobody expects anything.
    guard connection.isUsable else { return }
    _ = try? engine.run([Statements.commit], on: connection)
  }

  /// Nobody is answered from this, so nothing of it is confirmed: whatever it leads to is a transaction of its own.
  func changesByOthers(since mark: ChangeMark?) throws(StoreError) -> ChangesByOthers {
    let known = mark?.changesOfRun ?? [:]
    // Before the snapshot: what is committed after it is not missing.
    let own = engine.account.own
    let results = try engine.inSnapshot([Statements.meta, Statements.allRuns], on: connection)
    let facts = try engine.facts(ofMeta: results.first!)
    var (counts, commits): ([Int64: RunWatch.Counts], [Int64: Int64]) = ([:], [:])
    for row in results.last!.rows {
      counts[row.integer(0)] = (row.integer(1), row.integer(2))
      commits[row.integer(0)] = row.integer(2)
    }
    engine.account.saw(counts)
    var changes = counts.mapValues(\.changes)
    for run in own.ids { changes[run] = nil }
    // Of a run that is new all changes are.
    let news = changes.map { (run: $0.key, from: known[$0.key] ?? 0, to: $0.value) }
      .filter { $0.from != $0.to }
    var all = ChangesByOthers(mark: ChangeMark(changesOfRun: changes), rows: nil)
    all.isPastInDoubt = own.isMissingAny(in: commits) || facts.isOfOtherHistory
    all.setbacks = facts.meta.setbacks
    // Of a run that is gone nobody can tell any more what it has done last.
    guard mark != nil, known.keys.allSatisfy({ counts[$0] != nil }),
      news.allSatisfy({
        let (count, overflow) = $0.to.subtractingReportingOverflow($0.from)
        return !overflow && (0...ServerRuns.changesAskedMax).contains(count)
      })
    else { return all }
    all.rows = []
    guard !news.isEmpty else { return all }
    let changed = engine.statements.changedRows(after: news.map { (run: $0.run, change: $0.from) })
    let result = try engine.inSnapshot([changed], on: connection).first!
    guard result.count <= ServerRuns.rowsAskedMax else {
      all.rows = nil
      return all
    }
    for row in result.rows {
      // Every row has a key.
      if row.isNull(2) {
        all.gone.append(row.integer(0))
      } else {
        all.rows!.append(
          ChangedRow(
            key: row.text(2) ?? "", isOver: row.integer(1) == 1,
            lease: SeenLease(named: row.dropFirst(2), engine.shapes)))
      }
    }
    return all
  }
}
