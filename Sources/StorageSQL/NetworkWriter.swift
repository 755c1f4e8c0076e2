import LockCore
import Storage

/// The connection that changes rows: two round trips make a transaction. Nobody waits for anybody
/// in between; what was decided on rows that have changed since is not done.
final class NetworkWriter<Engine: NetworkEngine>: StoreWriter {
  private typealias Statements = Engine.Statements
  private typealias Result = Engine.Connection.Result

  private let engine: Engine
  private var connection: Engine.Connection
  private let run: Int64
  private let purpose: WritingPurpose
  /// What the transaction that is under way has found.
  private var past: Past?
  /// Whether it is open in the database, and keeps others from its rows.
  private var isBegun = false
  /// What the latest one has left; nil where that is not known.
  private var left: Past?
  /// Whether another connection is needed: this one leads to where nothing can be written, or the run is gone.
  private var isOver = false

  private struct Past {
    /// Of this run's row.
    var changes: Int64
    var commits: Int64
    /// Of the database; nil where it has no name.
    var history: Int64?
    var needsConfirmation: Bool
  }

  let hasMadeStore: Bool

  init(
    _ engine: Engine, _ connection: Engine.Connection, run: Int64, for purpose: WritingPurpose,
    hasMadeStore: Bool
  ) {
    self.hasMadeStore = hasMadeStore
    self.engine = engine
    self.connection = connection
    self.run = run
    self.purpose = purpose
  }

  var isUsable: Bool { connection.isUsable && !isOver }

  func forget() {
    (past, left) = (nil, nil)
    guard isBegun else { return }
    isBegun = false
    if isUsable, (try? connection.run([Statements.rollback])) == nil { isOver = true }
  }

  func acceptPast() { engine.account.withOwn { $0.accept() } }

  func lookAtSettings() throws(StoreError) {
    try engine.lookAtSettings(connection, for: purpose)
  }

  func changesByOthers() throws(StoreError) -> Int64 {
    preconditionFailure("an account of changes is kept")
  }

  // MARK: - Reading

  func read(_ wanted: Wanted) throws(StoreError) -> Facts {
    let questions = StoreQuestions(wanted, engine)
    // Its own run before all else, so that nobody gives a shape up in between.
    let asked = [Statements.own(run)] + questions.asked
    let results: ArraySlice<Result>
    if wanted.isExclusive, let kept = readKeeping(wanted.keys, asked) {
      results = kept
    } else {
      results = try engine.inSnapshot(asked, on: connection)
    }
    var facts: Facts
    do throws(StoreError) {
      facts = try questions.facts(results.dropFirst())
    } catch {
      isOver = true
      engine.leave(connection)
      throw error
    }
    guard let own = results.first!.first else {
      isOver = true
      throw StoreError(
        .unavailable, "the store \(engine.location) does not know this server's run any more")
    }
    past = Past(
      changes: own.integer(0), commits: own.integer(1), history: facts.history,
      needsConfirmation: own.integer(3) == 1)
    facts.isBehind = engine.account.withOwn { $0.saw(own.integer(1), for: purpose) }
    facts.settled = own.integer(2)
    facts.isReplicated = own.integer(3) == 1
    return facts
  }

  /// Begins to keep others from rows; nil where that is not to be had.
  private func readKeeping(
    _ keys: [String], _ asked: [Engine.Connection.Statement]
  ) -> ArraySlice<Result>? {
    let begin = engine.statements.beginLocking(keys: keys, isSessionSet: connection.isSessionSet)
    guard let begin, let results = try? connection.run(begin + asked) else { return nil }
    isBegun = true
    return results.dropFirst(begin.count)
  }

  func goOn() -> Bool {
    guard isUsable, let left else { return false }
    (past, self.left) = (left, nil)
    return true
  }

  // MARK: - Writing

  func apply(_ changes: Changes) throws(StoreError) -> Applied {
    guard let past else { preconditionFailure("changes without a transaction") }
    (self.past, left) = (nil, nil)
    let (change, isOver) = past.changes.addingReportingOverflow(1)
    guard !isOver, past.commits < .max else {
      throw StoreError(.damaged, "a row of \(ServerRuns.table) has run out of numbers")
    }
    let new = changes.rows.filter { $0.id == nil }.map(\.record.key)
    let sets = ChangeSets(
      changes, engine.shapes, setsAreInOrder: Statements.setsAreInOrder)
    let inserting = engine.statements.inserting(sets.new)
    var writing = engine.statements.writing(sets)
    if !changes.orphans.isEmpty {
      writing.append(engine.statements.deletingOrphans(changes.orphans))
    }
    let setting = changes.meta.flatMap { engine.statements.setting($0) }
    guard !inserting.isEmpty || !writing.isEmpty || !setting.isEmpty || changes.settled != nil
    else {
      forget()
      guard past.needsConfirmation, let history = past.history else { return .done(ids: []) }
      return try confirmed(on: history)
    }
    // Before anything may change the run's row again.
    let log = Statements.log(
      run, change: change, ids: changes.rows.compactMap(\.id), new: new)
    // Not while clients wait.
    let dead = purpose == .upkeep ? engine.account.takeDead() : []
    let removed = dead.flatMap { Statements.remove($0.run, changes: $0.changes) }
    // Whoever is just coming in is too late as well. Before all else, or two that change all runs would wait for
    // each other.
    let line = changes.meta.contains(where: \.isForAll) ? [Statements.touchAdmissions] : []
    let transaction = engine.statements.transaction(
      line + Statements.commit(run, past.changes, settled: changes.settled, of: past.history)
        + writing + inserting + log + setting + removed, isSessionSet: connection.isSessionSet,
      isBegun: isBegun)
    isBegun = false
    let asked = Statements.expectingDone(run, change: change) + ids(of: new)
    let applied: Applied
    do throws(SQLFailure) {
      let results = try connection.run(transaction + asked)
      applied = done(changes, results.suffix(new.isEmpty ? 0 : 1))
    } catch {
      if !connection.isUsable { engine.leave(connection) }
      applied = try findOut(changes, new, change: change, error)
    }
    if applied != .conflict {
      engine.account.withOwn { $0.committed(past.commits + 1, for: purpose) }
      engine.account.noteCommit(for: purpose)
      // Some of what is said in the meta table changes all runs once more.
      if changes.meta.isEmpty {
        left = past
        left!.changes += 1
        left!.commits += 1
      }
    }
    return applied
  }

  /// What was read and leads to no change is an answer as well.
  private func confirmed(on history: Int64) throws(StoreError) -> Applied {
    do throws(SQLFailure) {
      _ = try connection.run(
        Statements.beginReading + Statements.expecting(history: history) + Statements.confirmation
          + [Statements.commit])
      return .done(ids: [])
    } catch {
      if error.isConflict { return .conflict }
      if !connection.isUsable { engine.leave(connection) }
      throw engine.error(error)
    }
  }

  // MARK: - Whether it was done

  private func ids(of new: [String]) -> [Engine.Connection.Statement] {
    new.isEmpty ? [] : [Statements.ids(ofKeys: new)]
  }

  /// - Parameter results: What ``ids(of:)`` brought.
  private func done(_ changes: Changes, _ results: ArraySlice<Result>) -> Applied {
    var idOfKey: [NameBytes: Int64] = [:]
    for result in results {
      for row in result.rows {
        if let key = row.text(0) { idOfKey[NameBytes(key)] = row.integer(1) }
      }
    }
    return .done(
      ids: changes.rows.map { $0.id ?? idOfKey[NameBytes($0.record.key)] ?? 0 })
  }

  /// After this no other host is asked: clients wait.
  private static var findingOutNanosecondsMax: Int64 { 1_500_000_000 }

  /// Of a commit that was not answered with a success. Whether it was done shows in what the transaction says of
  /// itself beside its rows. So it is also where the database has taken it back: a node of Galera that was just cut
  /// off from the others has perhaps told them before.
  private func findOut(
    _ changes: Changes, _ new: [String], change: Int64, _ failure: SQLFailure
  ) throws(StoreError) -> Applied {
    let asked = [Statements.hasDone(run, change: change)] + ids(of: new)
    if case .refused(let refusal) = failure {
      guard Statements.mayBeTakenBack else {
        if refusal.isConflict { return .conflict }
        throw engine.error(failure)
      }
      // It is over on its own connection.
      if connection.isUsable, let results = try? engine.inSnapshot(asked, on: connection) {
        return try conclusion(changes, results, failure)
      }
    }
    // It may still be under way. Its run's own row is changed here, so it is waited for, or fails.
    let end = DatabaseAccount.timeWithSuspensions() + Self.findingOutNanosecondsMax
    for _ in 0..<engine.hosts.count where DatabaseAccount.timeWithSuspensions() < end {
      connection = try engine.connect()
      let touch = engine.statements.transaction(
        Statements.touch(run), isSessionSet: connection.isSessionSet, isBegun: false)
      // For what it is needed now. It may lead to another database, which whoever opens a connection looks for.
      isOver = true
      if let results = try? connection.run(touch + asked) {
        return try conclusion(changes, results.suffix(asked.count), failure)
      }
      if !connection.isUsable { engine.leave(connection) }
    }
    throw engine.error(failure)
  }

  /// What was refused for a reason of its own is no conflict.
  ///
  /// - Parameter results: Whether it was done, and what ``ids(of:)`` brought.
  private func conclusion(
    _ changes: Changes, _ results: ArraySlice<Result>, _ failure: SQLFailure
  ) throws(StoreError) -> Applied {
    guard results.first!.count == 0 else { return done(changes, results.dropFirst()) }
    if case .refused(let refusal) = failure, !refusal.isConflict { throw engine.error(failure) }
    return .conflict
  }
}
