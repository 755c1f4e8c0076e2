import LockCore
package import Storage

/// The statements of a store across a network whose server knows certain shapes, as far as an engine says
/// something of its own. What all of them say alike is beside it.
///
/// What is written is written in sets: however many rows a transaction changes, it has a handful of statements,
/// and each that has to find something as it was fails where it did not.
package protocol SetStatements: Sendable {
  associatedtype Statement: SQLStatement

  static var dialect: SQLDialect { get }
  var shared: StoreStatements { get }
  /// Of the table of resources, which is "r".
  var columns: String { get }

  // MARK: Transactions

  static var beginReading: [Statement] { get }
  /// The same of what lasts for several round trips.
  var beginMoment: [Statement] { get }
  static var commit: Statement { get }
  /// A transaction of statements that return nothing. They find rows as they are by now, not as they were when it
  /// began.
  ///
  /// - Parameters:
  ///   - isSessionSet: Whether all that it needs is set for its session (``SQLConnection/isSessionSet``).
  ///   - isBegun: Whether it was begun with ``beginLocking(keys:isSessionSet:)``.
  func transaction(_ statements: [Statement], isSessionSet: Bool, isBegun: Bool) -> [Statement]
  /// Begins a transaction that nobody changes rows beside until it ends; nil where that is not to be had. What is
  /// read in it is of the time at which each statement begins.
  func beginLocking(keys: [String], isSessionSet: Bool) -> [Statement]?
  static var rollback: Statement { get }
  /// Whether a transaction may be taken back, and even be called done, without an error. Then it is done when it
  /// can be seen.
  static var mayBeTakenBack: Bool { get }
  /// Behind a transaction, where that may be: fails unless it can be seen.
  static func expectingDone(_ run: Int64, change: Int64) -> [Statement]
  /// Whether transactions wait for each other, so that all have to change their rows in one order.
  static var setsAreInOrder: Bool { get }
  /// An UPDATE or DELETE that fails unless it finds so many rows.
  static func expecting(_ count: Int, _ text: String, _ values: [RowSet.Value]) -> [Statement]

  // MARK: Where the database is

  /// Whether nothing can be written here.
  static var isReadOnly: String { get }
  /// The database's own number for its history; nil where it has none.
  static var history: String? { get }
  /// Whether what is read has to be confirmed: it may be out of date, and nobody here knows.
  static var needsConfirmation: String { get }
  /// Of a transaction that only reads: has its commit confirm what was read, where that is needed.
  static var confirmation: [Statement] { get }
  /// Fails where the history is another one.
  static func expecting(history: Int64) -> [Statement]

  /// By which settings what was acknowledged may be lost, in words behind the name of the store.
  static var risks: Statement { get }

  // MARK: Reading

  /// Of the table of resources; none where there is no such table.
  static var existingColumns: Statement { get }
  /// Rows by their keys, with the place of each among the keys before its columns.
  func rows(forKeys keys: [String]) -> Statement
  /// The same by their ids.
  func rows(withIDs ids: [Int64]) -> Statement
  /// Token and whether it is over, of each key with its place.
  func latestGrants(ofKeys keys: [String]) -> Statement
  /// Of rows that runs have changed, each after a change of its own, whether the latest grant is over, key and
  /// owner, and what is to be watched where it is not; one row more than ``ServerRuns/rowsAskedMax`` at most.
  func changedRows(after changes: [(run: Int64, change: Int64)]) -> Statement
  /// The ids of rows by their keys, behind the keys.
  static func ids(ofKeys keys: [String]) -> Statement

  // MARK: Writing

  /// What changes `sets`; nothing for what is empty.
  func writing(_ sets: ChangeSets) -> [Statement]
  /// Rows that there were not; fails where there is one by now.
  func inserting(_ new: RowSet) -> [Statement]
  func deletingOrphans(_ keys: [String]) -> Statement
  /// Says that a transaction was done and which rows it has changed, and now and then forgets what it is too long
  /// ago to know.
  ///
  /// - Parameter new: The keys of rows that it has inserted.
  static func log(_ run: Int64, change: Int64, ids: [Int64], new: [String]) -> [Statement]
}

extension SetStatements {
  package var beginMoment: [Statement] { Self.beginReading }

  // MARK: - Reading

  /// Name, value and note of each, and beside them whether nothing can be written, and the history.
  package static var meta: Statement {
    Statement(
      filling: """
        SELECT name, value, note, \(isReadOnly), (SELECT \(history ?? "NULL")) FROM \(S1.metaTable)
        """, [])
  }

  static func setBirth(_ birth: StoreBirth) -> Statement {
    Statement(filling: dialect.insertIfMissing(birth), [])
  }

  package var lastID: Statement { Statement(filling: shared.lastID, []) }

  package func count(_ count: Wanted.TermCount) -> Statement {
    Statement(
      filling: shared.countOfTerm,
      [.text(count.term)] + bounds(count.range) + [.integer(Int64(count.max))])
  }

  /// Of a page of leases first key and owner; of one of keys by a term each key, and the columns of its row, which
  /// may all be NULL.
  package func page(_ page: Wanted.Page) -> Statement {
    func after(_ id: Int64, _ limit: Int, _ text: String) -> Statement {
      Statement(filling: text, [.integer(id), .integer(Int64(limit))])
    }
    switch page {
    case .rows(let id, let limit): return after(id, limit, shared.afterID)
    case .freeRows(let id, let limit): return after(id, limit, shared.freeAfterID)
    case .leases(let id, let limit):
      let text = """
        SELECT resource_key, owner, \(shared.leaseColumns) FROM \(S1.resourceTable)
        WHERE id > ? AND NOT (\(shared.isOver)) ORDER BY id LIMIT ?
        """
      return after(id, limit, text)
    case .held(nil, let range, let limit):
      return Statement(filling: shared.afterKey, bounds(range) + [.integer(Int64(limit))])
    case .held(let kind?, let range, let limit):
      return Statement(
        filling: shared.ofKindAfterKey,
        bounds(range) + [.integer(kind.rawValue), .integer(Int64(limit))])
    case .found(let term, let range, let limit):
      return Statement(
        filling: """
          SELECT f.resource_key, \(columns) FROM (\(shared.keysByTerm) LIMIT ?) f
          LEFT JOIN \(S1.resourceTable) r ON r.resource_key = f.resource_key ORDER BY f.resource_key
          """,
        [.text(term)] + bounds(range) + bounds(range) + [.integer(Int64(limit))])
    case .keysWithTerms(let key, let limit):
      return Statement(filling: shared.keysWithTerms, [.text(key), .integer(Int64(limit))])
    }
  }

  private func bounds(_ range: KeyRange) -> [RowSet.Value] {
    [.text(range.lowerBound), .text(range.upperBound), .text(range.after)]
  }

  // MARK: - Writing

  package func setting(_ change: MetaChange) -> [Statement] {
    switch change {
    case .set(let name, let from, let to):
      let set = Self.expecting(
        1, "UPDATE \(S1.metaTable) SET value = ? WHERE name = ? AND value = ?",
        [.integer(to), .text(name.text), .integer(from)])
      return change.isForAll ? [Self.touchAllRuns] + set : set
    case .giveUpShapes(let shape, let release):
      return [
        Self.touchAllRuns,
        Statement(filling: shared.giveUp, [.integer(shape), .text(release), .integer(shape)]),
      ]
    }
  }

  // MARK: - Servers' runs (ServerRuns)

  /// Now and then: forgets which rows were changed too long ago to matter.
  static func forgetting(_ run: Int64, before change: Int64) -> [Statement] {
    guard change % ServerRuns.changesForgotten == 0 else { return [] }
    return [
      Statement(
        filling: """
          DELETE FROM \(ServerRuns.changesTable)
          WHERE \(ServerRuns.changesTable).run = ? AND \(ServerRuns.changesTable).change <= ?
          """,
        [.integer(run), .integer(change - ServerRuns.changesKept)])
    ]
  }

  private static func runs(_ text: String, _ values: Int64...) -> Statement {
    Statement(filling: text, values.map { .integer($0) })
  }

  static var touchAdmissions: Statement {
    Statement(
      filling: "UPDATE \(S1.metaTable) SET value = value + 1 WHERE name = ?",
      [.text(ServerRuns.admissions)])
  }

  static var touchAllRuns: Statement {
    runs("UPDATE \(ServerRuns.table) SET changes = changes + 1")
  }

  /// A server comes in, with a new run in the place of a former one; fails where shapes were given up since it has
  /// looked.
  static func admission(
    of new: Int64, inPlaceOf former: Int64, settled: Int64, maintaining oldest: Int64
  ) -> [Statement] {
    [touchAdmissions]
      + expecting(
        1, "UPDATE \(S1.metaTable) SET value = value WHERE name = ? AND value = ?",
        [.text(StoreMeta.Name.oldestShape.text), .integer(oldest)]) + [
        // With it ends whatever of its transactions is still under way.
        runs("DELETE FROM \(ServerRuns.table) WHERE run = ?", former),
        runs("DELETE FROM \(ServerRuns.changesTable) WHERE run = ?", former),
        runs(
          "INSERT INTO \(ServerRuns.table) (run, changes, commits, settled) VALUES (?, 0, 0, ?)",
          new, settled),
      ]
  }

  /// Changes and commits of a run, with what it is settled, and whether what is read needs to be confirmed; no row
  /// where the run is not there.
  static func own(_ run: Int64) -> Statement {
    runs(
      """
      SELECT changes, commits, settled, \(needsConfirmation) FROM \(ServerRuns.table) WHERE run = ?
      """, run)
  }

  /// Counts a commit of the run, and says with what it is `settled` where that changes. Fails where its row, or the
  /// history, is not as it was.
  static func commit(
    _ run: Int64, _ changes: Int64, settled: Int64?, of history: Int64?
  ) -> [Statement] {
    var values = [settled, run, changes].compactMap { $0 }
    var condition = ""
    if let actual = Self.history, let history {
      condition = " AND \(actual) = ?"
      values.append(history)
    }
    return expecting(
      1,
      """
      UPDATE \(ServerRuns.table) SET changes = changes + 1, commits = commits + 1\(settled == nil ? "" : ", settled = ?")
      WHERE run = ? AND changes = ?\(condition)
      """,
      values.map { .integer($0) })
  }

  /// Changes a run's row whatever it is; fails where it is not there.
  static func touch(_ run: Int64) -> [Statement] {
    expecting(
      1, "UPDATE \(ServerRuns.table) SET changes = changes + 1 WHERE run = ?", [.integer(run)])
  }

  /// A row where the run's transaction was done that made its `changes` what `change` says.
  static func hasDone(_ run: Int64, change: Int64) -> Statement {
    runs(
      "SELECT 1 FROM \(ServerRuns.changesTable) l WHERE l.run = ? AND l.change = ?", run, change)
  }

  /// Number, changes and commits of every run, and with what it is settled.
  static var allRuns: Statement {
    runs("SELECT run, changes, commits, settled FROM \(ServerRuns.table)")
  }

  /// Takes a run away that is still as it was.
  static func remove(_ run: Int64, changes: Int64) -> [Statement] {
    [
      runs("DELETE FROM \(ServerRuns.table) WHERE run = ? AND changes = ?", run, changes),
      runs(
        """
        DELETE FROM \(ServerRuns.changesTable) WHERE run = ?
        AND NOT EXISTS (SELECT 1 FROM \(ServerRuns.table) WHERE run = ?)
        """, run, run),
    ]
  }
}
