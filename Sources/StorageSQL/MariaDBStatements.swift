import LockCore
package import Storage

/// A statement of MariaDB, with its values in it.
///
/// Bytes and texts are hexadecimal literals: what they mean depends on no setting. Columns hold bytes
/// (``SQLDialect/mariaDB``), so no character set or collation has a say either.
package struct MariaDBStatement: SQLStatement, Equatable {
  package var text: String

  package init(_ text: String) { self.text = text }

  package init(filling text: String, _ values: [RowSet.Value]) {
    let parts = text.split(separator: "?", omittingEmptySubsequences: false)
    precondition(parts.count == values.count + 1)
    self.text = zip(parts, values).map { $0 + $1.literal }.joined() + parts.last!
  }
}

extension RowSet.Value {
  package var literal: String {
    switch self {
    case .integer(let value): "\(value)"
    case .text(let text): Self.hexadecimal(text.utf8)
    case .bytes(let bytes): Self.hexadecimal(bytes)
    case .null: "NULL"
    }
  }

  private static let digits = Array("0123456789abcdef".utf8)

  private static func hexadecimal(_ bytes: some Collection<UInt8>) -> String {
    String(unsafeUninitializedCapacity: 2 * bytes.count + 3) { room in
      room[0] = UInt8(ascii: "x")
      room[1] = UInt8(ascii: "'")
      var end = 2
      for byte in bytes {
        room[end] = digits[Int(byte >> 4)]
        room[end + 1] = digits[Int(byte & 15)]
        end += 2
      }
      room[end] = UInt8(ascii: "'")
      return end + 1
    }
  }
}

/// The statements of a store in MariaDB whose server knows certain shapes.
///
/// What is written is written in sets: however many rows a transaction changes, it has a handful of
/// statements. Behind each that has to find something as it was stands one that fails where it did not:
/// what was sent behind that is not done, the commit included.
package struct MariaDBStatements: SetStatements {
  package static let dialect = SQLDialect.mariaDB
  /// The SQLSTATE of such a failure.
  package static let conflictState = "45LK1"
  /// What a set of rows takes in a statement: with more it is several. A single row may take more.
  package static let setBytesMax = 1 << 20

  package let shared: StoreStatements
  package let columns: String
  private let heldNames: [String]
  private let holderNames: [String]
  private let setNothing: String
  private let setNextRevision: String

  package init(_ shapes: KnownShapes) {
    shared = StoreStatements(shapes, .mariaDB)
    columns = shapes.columnNames.map { "r.\($0)" }.joined(separator: ", ")
    heldNames = ChangeSets.heldColumns(shapes).map(\.name)
    holderNames = ChangeSets.holderColumns(shapes).map(\.name)
    setNextRevision = (["revision"] + shapes.revisionColumnNames).map { "\($0) = \($0) + 1" }
      .joined(separator: ", ")
    setNothing = "value = ''" + shapes.newerColumnNames.map { ", \($0) = NULL" }.joined()
  }

  /// Fails where the statement before it did not find as many rows as `count` says.
  private static func expecting(_ count: Int) -> MariaDBStatement {
    MariaDBStatement(
      "IF ROW_COUNT() <> \(count) THEN SIGNAL SQLSTATE '\(conflictState)'; END IF")
  }

  // MARK: - Transactions

  /// Of a session. What is written is written as it is or not at all. Nothing waits for longer than a round trip
  /// may take; all that waits for locks waits for a second, which is the shortest time there is. A transaction
  /// whose client has gone ends as soon, with its locks. A connection without one keeps nothing from anybody, and
  /// may rest for as long as the server lets it: a new one would have to come in again.
  package static func session(secondsMax: Int) -> MariaDBStatement {
    MariaDBStatement(
      """
      SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1,
        completion_type = 'NO_CHAIN', default_storage_engine = 'InnoDB', sql_safe_updates = 0,
        innodb_lock_wait_timeout = 1, lock_wait_timeout = 1, max_statement_time = \(secondsMax),
        idle_transaction_timeout = \(secondsMax), group_concat_max_len = 16777216,
        sql_select_limit = 18446744073709551615, sql_big_selects = 1, tx_read_only = 0
      """)
  }

  /// A table of the store that an engine keeps which has no transactions, and the engine.
  package static let foreignTables = MariaDBStatement(
    """
    SELECT table_name, engine FROM information_schema.tables
    WHERE table_schema = database() AND engine <> 'InnoDB' AND table_name IN (\
    \(StoreSchema.tables.map { "'\($0)'" }.joined(separator: ", ")))
    """)

  /// Whether the server is only read from, such as a replica.
  package static let state = MariaDBStatement("SELECT @@read_only <> 0")
  package static let risks = MariaDBStatement(
    """
    SELECT v.said FROM (
      SELECT @@innodb_flush_log_at_trx_commit <> 1 AND \(variable("wsrep_on")) <> 'ON' AS applies,
        'answers commits before they are on its disk (innodb_flush_log_at_trx_commit is not 1): loss of power may \
    lose what was acknowledged last' AS said
      UNION ALL SELECT @@innodb_flush_log_at_trx_commit <> 1 AND \(variable("wsrep_on")) = 'ON',
        'answers commits before they are on a disk (innodb_flush_log_at_trx_commit is not 1): loss of power on all \
    nodes at once may lose what was acknowledged last'
      UNION ALL SELECT @@global.max_allowed_packet < 16777216,
        'takes less than 16 MiB at a time (max_allowed_packet): large values may fail, and with them what others ask'
      UNION ALL SELECT \(variable("innodb_doublewrite")) = 'OFF',
        'may be damaged by loss of power (innodb_doublewrite is off)'
      UNION ALL SELECT \(variable("wsrep_on")) <> 'ON' AND \(status("slaves_connected")) + 0 > 0
          AND \(status("rpl_semi_sync_master_status")) <> 'ON',
        'has replicas and waits for none of them (semi-synchronous replication is off): a fail-over may lose what \
    was acknowledged last') v
    WHERE v.applies
    """)

  /// Empty where the server does not know it.
  private static func variable(_ name: String) -> String {
    "coalesce((SELECT variable_value FROM information_schema.global_variables WHERE variable_name = '\(name)'), '')"
  }

  private static func status(_ name: String) -> String {
    "coalesce((SELECT variable_value FROM information_schema.global_status WHERE variable_name = '\(name)'), '')"
  }

  /// Whether the server is a node of a Galera cluster; no row where it is not built for that.
  package static let galera = MariaDBStatement("SHOW SESSION VARIABLES LIKE 'wsrep_on'")

  /// Of a session on a node of Galera: what begins with ``beginReading`` contains everything that any node has
  /// acknowledged by then.
  ///
  /// What was taken back is not begun anew by the node itself, in part.
  package static let synchronized = MariaDBStatement(
    "SET SESSION wsrep_sync_wait = 1, wsrep_retry_autocommit = 0")

  package func transaction(
    _ statements: [MariaDBStatement], isSessionSet: Bool = true, isBegun: Bool = false
  ) -> [MariaDBStatement] {
    [MariaDBStatement("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")]
      + Self.together([MariaDBStatement("START TRANSACTION")] + statements + [Self.commit])
  }
  /// Nodes of Galera do not lock rows for each other.
  package func beginLocking(keys: [String], isSessionSet: Bool) -> [MariaDBStatement]? { nil }
  package static let mayBeTakenBack = true
  package static func expectingDone(_ run: Int64, change: Int64) -> [MariaDBStatement] {
    [
      MariaDBStatement(
        """
        IF NOT EXISTS (SELECT 1 FROM \(ServerRuns.changesTable) WHERE run = \(run) AND `change` = \(change)) THEN
        SIGNAL SQLSTATE '\(conflictState)'; END IF
        """)
    ]
  }
  /// A deadlock is a conflict at once.
  package static let setsAreInOrder = false
  package static func expecting(
    _ count: Int, _ text: String, _ values: [RowSet.Value]
  ) -> [MariaDBStatement] {
    [MariaDBStatement(filling: text, values), expecting(count)]
  }
  package static let beginReading = [
    MariaDBStatement("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
    MariaDBStatement("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"),
  ]
  package static let commit = MariaDBStatement("COMMIT")

  /// Statements that return nothing, as one. Between statements of a text, or behind one that returns rows, a node
  /// of Galera may take their transaction back without an error, do the rest by itself and call the commit done
  /// (MariaDB 10.11: a fifth of transactions that met). Within one statement it does not.
  static func together(_ statements: [MariaDBStatement]) -> [MariaDBStatement] {
    var parts: [[MariaDBStatement]] = []
    var bytes = blockBytesMax
    for statement in statements {
      let own = statement.text.utf8.count
      if bytes + own > blockBytesMax {
        parts.append([])
        bytes = 0
      }
      parts[parts.count - 1].append(statement)
      bytes += own
    }
    return parts.enumerated().map { index, part in
      // Within the block, as in between the transaction may be taken back.
      let part = index == 0 ? part : [goOn] + part
      return MariaDBStatement(
        "BEGIN NOT ATOMIC\n\(part.map { $0.text + ";" }.joined(separator: "\n"))\nEND")
    }
  }

  /// Of statements that go out together; one alone may take more. A server takes 16 MiB unless it was told
  /// otherwise.
  package static let textBytesMax = 4 << 20
  /// Of statements that are one, with room for what goes out with them.
  private static let blockBytesMax = textBytesMax - (64 << 10)

  package static let isReadOnly = "@@read_only <> 0"
  package static let history: String? = nil
  package static func expecting(history: Int64) -> [MariaDBStatement] { [] }
  /// A node of Galera reads what is there (``synchronized``), or not at all.
  package static let needsConfirmation = "0"
  package static let confirmation: [MariaDBStatement] = []

  package static let rollback = MariaDBStatement("ROLLBACK")
  /// Fails where a transaction that was begun is over already: what follows would be done one by one.
  package static let goOn = MariaDBStatement(
    "IF @@in_transaction = 0 THEN SIGNAL SQLSTATE '\(conflictState)'; END IF")

  // MARK: - Coming in

  /// Of the table of resources; none where there is no such table.
  package static let existingColumns = MariaDBStatement(
    """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = database() AND table_name = '\(S1.resourceTable)'
    """)

  /// What brings the database to the newest shape: what changes tables, each of which is a transaction of its
  /// own, and then what says so, for one transaction.
  ///
  /// - Parameter first: The shape of a new database: no server has ever been on it that does not know it.
  package static func migration(
    _ shapes: KnownShapes, existingColumns: Set<String>, beginningWith first: Int64
  ) -> (tables: [MariaDBStatement], rows: [MariaDBStatement]) {
    let all = shapes.migration(.mariaDB, existingColumns: existingColumns)
    let changesTables = { (text: String) in text.hasPrefix("CREATE ") || text.hasPrefix("ALTER ") }
    let rows = all.filter { !changesTables($0) } + ServerRuns.meta(.mariaDB, history: history)
    return (
      tables: (all.filter(changesTables) + runsTables).map { MariaDBStatement($0) },
      rows: ((first > S1.number ? [beginning(with: first)] : []) + rows).map {
        MariaDBStatement($0)
      }
    )
  }

  /// Nothing where there is something already.
  private static func beginning(with shape: Int64) -> String {
    """
    INSERT IGNORE INTO \(S1.metaTable) (name, value, note)
    SELECT n.name, \(shape), '' FROM (
      SELECT '\(StoreMeta.Name.oldestShape.text)' AS name
      UNION ALL SELECT '\(StoreMeta.Name.filledShape.text)') n
    WHERE NOT EXISTS (SELECT 1 FROM \(S1.metaTable))
    """
  }

  // MARK: - Reading

  /// Rows by their keys, with the place of each among the keys before its columns.
  package func rows(forKeys keys: [String]) -> MariaDBStatement {
    places(keys.map { .text($0) }, columns, "r.resource_key = w.it")
  }

  /// The same by their ids.
  package func rows(withIDs ids: [Int64]) -> MariaDBStatement {
    places(ids.map { .integer($0) }, columns, "r.id = w.it")
  }

  /// Token and whether it is over, of each key with its place.
  package func latestGrants(ofKeys keys: [String]) -> MariaDBStatement {
    places(
      keys.map { .text($0) }, "r.token, \(shared.isOver)", "r.resource_key = w.it")
  }

  private func places(
    _ values: [RowSet.Value], _ columns: String, _ condition: String
  ) -> MariaDBStatement {
    let rows = values.enumerated().map { [.integer(Int64($0)), $1] }
    return MariaDBStatement(
      """
      SELECT w.place, \(columns) FROM \(Self.table("w", ["place", "it"], rows[...]))
      STRAIGHT_JOIN \(S1.resourceTable) r ON \(condition)
      """)
  }

  /// Rows as a table with a name.
  private static func table(
    _ name: String, _ columns: [String], _ rows: ArraySlice<[RowSet.Value]>
  ) -> String {
    let first = zip(rows.first!, columns).map { "\($0.literal) AS \($1)" }
    var text = "(SELECT \(first.joined(separator: ", "))"
    for (index, row) in rows.dropFirst().enumerated() {
      text += index == 0 ? " UNION ALL VALUES " : ", "
      text += "(\(row.map(\.literal).joined(separator: ", ")))"
    }
    return text + ") \(name)"
  }

  /// Of rows that runs have changed, each after a change of its own, whether the latest grant is over, key and
  /// owner, and what is to be watched where it is not; one row more than ``ServerRuns/rowsAskedMax`` at most.
  package func changedRows(after changes: [(run: Int64, change: Int64)]) -> MariaDBStatement {
    let after = changes.map { "l.run = \($0.run) AND l.`change` > \($0.change)" }
    return MariaDBStatement(
      """
      SELECT c.changed, \(shared.isOver), resource_key, owner, \(shared.leaseColumns) FROM (
        SELECT DISTINCT j.id AS changed FROM \(ServerRuns.changesTable) l
        JOIN json_table(concat('[', l.ids, ']'), '$[*]' COLUMNS (id BIGINT PATH '$')) j
        WHERE \(after.joined(separator: " OR ")) LIMIT \(ServerRuns.rowsAskedMax + 1)) c
      LEFT JOIN \(S1.resourceTable) ON id = c.changed
      """)
  }

  /// For a condition with IN: nothing is in an empty one.
  private static func list(_ values: [RowSet.Value]) -> String {
    values.isEmpty ? "NULL" : values.map(\.literal).joined(separator: ", ")
  }

  private static func tuples(_ rows: ArraySlice<[RowSet.Value]>) -> String {
    rows.map { "(\(list($0)))" }.joined(separator: ", ")
  }

  // MARK: - Writing

  /// What a set changes in a row.
  private struct Update {
    /// The columns of the set that are taken as they are.
    var taken: [String]
    /// What is the same for every row.
    var constant = ""
    /// Columns that are never NULL, and stay as they are where the set has it, all or none of them.
    var kept: [String] = []

    /// With zeros in the place of NULL where that may not be written.
    func withoutNulls(
      _ rows: ArraySlice<[RowSet.Value]>, _ columns: [String]
    ) -> ArraySlice<[RowSet.Value]> {
      let places = kept.map { columns.firstIndex(of: $0)! }
      guard !places.isEmpty else { return rows }
      return rows.map { row in
        var row = row
        for place in places where row[place] == .null { row[place] = .integer(0) }
        return row
      }[...]
    }

    func assignments(_ value: (_ column: String) -> String) -> String {
      var all = constant.isEmpty ? [] : [constant]
      all += taken.map { "\($0) = \(value($0))" }
      all += kept.map { "\($0) = IF(\(value(kept[0])) = 0, \($0), \(value($0)))" }
      return all.joined(separator: ", ")
    }
  }

  /// Of rows whose ids and expectations come first: those that are as they were expected.
  private static func areAsExpected(_ rows: ArraySlice<[RowSet.Value]>) -> String {
    let expected = rows.map { Array($0[..<3]) }
    return
      "id IN (\(list(rows.map { $0[0] }))) AND (id, token, revision) IN (\(tuples(expected[...])))"
  }

  /// Changes the rows of a set, or fails where one of them is not as it was expected.
  ///
  /// There is no table made of the set to be joined with that of the resources: MariaDB 10.11 keeps no more than
  /// two bytes of the length of what is in such a table (65,536 bytes are none), and damages it by that. Rows are
  /// found to be as they were, and locked; and then they are there, so an INSERT of them only changes them.
  private static func updating(
    _ rows: ArraySlice<[RowSet.Value]>, _ columns: [String], _ update: Update
  ) -> [MariaDBStatement] {
    let table = S1.resourceTable
    let rows = update.withoutNulls(rows, columns)
    guard rows.count > 1 else {
      let values = Dictionary(uniqueKeysWithValues: zip(columns, rows.first!.map(\.literal)))
      let assignments = update.assignments { values[$0]! }
      return [
        MariaDBStatement("UPDATE \(table) SET \(assignments) WHERE \(areAsExpected(rows))"),
        expecting(1),
      ]
    }
    let written = ["id"] + columns.dropFirst(3)
    // What may not be left out, and is not written.
    let missing = requiredNames.filter { !written.contains($0) }
    let zeros = missing.map { _ in ", 0" }.joined()
    let all = rows.map { "(\($0[0].literal), \(list(Array($0[3...])))\(zeros))" }
    return [
      MariaDBStatement(
        "UPDATE \(table) SET needs_shape = needs_shape WHERE \(areAsExpected(rows))"),
      expecting(rows.count),
      MariaDBStatement(
        """
        INSERT INTO \(table) (\((written + missing).joined(separator: ", ")))
        VALUES \(all.joined(separator: ", "))
        ON DUPLICATE KEY UPDATE \(update.assignments { "VALUES(\($0))" })
        """),
    ]
  }

  private static let requiredNames = [
    "resource_key", "needs_shape", "token", "revision", "kind", "value", "lease_seconds",
  ]

  /// What changes `sets`; nothing for what is empty.
  package func writing(_ sets: ChangeSets) -> [MariaDBStatement] {
    var statements: [MariaDBStatement] = []
    func update(_ set: RowSet, _ update: Update) {
      for rows in set.parts {
        statements += Self.updating(rows, set.columns.map(\.name), update)
      }
    }
    let ordinary = "needs_shape = \(S1.number)"
    for rows in sets.renewed.parts {
      statements += [
        MariaDBStatement(
          """
          UPDATE \(S1.resourceTable) SET \(ordinary), free_epoch = NULL, \(setNextRevision)
          WHERE \(Self.areAsExpected(rows))
          """), Self.expecting(rows.count),
      ]
    }
    update(sets.held, Update(taken: heldNames, constant: "\(ordinary), free_epoch = NULL"))
    update(
      sets.freed,
      Update(
        taken: ["token", "revision", "free_epoch"],
        constant: "\(ordinary), owner = NULL, \(setNothing)", kept: ["kind", "lease_seconds"]))
    update(sets.refilled, Update(taken: holderNames))
    for rows in sets.cleared.parts {
      statements += [
        MariaDBStatement(
          "UPDATE \(S1.resourceTable) SET \(setNothing) WHERE \(Self.areAsExpected(rows))"),
        Self.expecting(rows.count),
      ]
    }
    for rows in sets.deleted.parts {
      statements += [
        MariaDBStatement("DELETE FROM \(S1.resourceTable) WHERE \(Self.areAsExpected(rows))"),
        Self.expecting(rows.count),
      ]
    }
    if !sets.keysWithoutTerms.isEmpty {
      let keys = Self.list(sets.keysWithoutTerms.map { .text($0) })
      statements.append(
        MariaDBStatement("DELETE FROM \(Terms.table) WHERE resource_key IN (\(keys))"))
    }
    for rows in sets.removedTerms.parts {
      statements.append(
        MariaDBStatement(
          """
          DELETE FROM \(Terms.table) WHERE resource_key IN (\(Self.list(rows.map { $0[0] })))
          AND (resource_key, term) IN (\(Self.tuples(rows)))
          """))
    }
    for rows in sets.addedTerms.parts {
      statements.append(
        MariaDBStatement(
          "INSERT IGNORE INTO \(Terms.table) (resource_key, term) VALUES \(Self.tuples(rows))"))
    }
    return statements
  }

  /// Rows that there were not. Fails where there is one by now (1062).
  package func inserting(_ new: RowSet) -> [MariaDBStatement] {
    new.parts.map { rows in
      let values = rows.map { "(\(S1.number), \($0.map(\.literal).joined(separator: ", ")))" }
      return MariaDBStatement(
        """
        INSERT INTO \(S1.resourceTable) (needs_shape, \(new.names))
        VALUES \(values.joined(separator: ", "))
        """)
    }
  }

  package func deletingOrphans(_ keys: [String]) -> MariaDBStatement {
    MariaDBStatement(
      """
      DELETE t FROM \(Terms.table) t
      LEFT JOIN \(S1.resourceTable) r ON r.resource_key = t.resource_key
      WHERE t.resource_key IN (\(Self.list(keys.map { .text($0) }))) AND r.id IS NULL
      """)
  }

  // MARK: - Servers' runs, whose changes are a text here: numbers with commas between them

  private static let runsTables = [
    ServerRuns.migration(.mariaDB),
    """
    CREATE TABLE IF NOT EXISTS \(ServerRuns.changesTable) (
      run BIGINT NOT NULL,
      `change` BIGINT NOT NULL,
      ids MEDIUMTEXT CHARACTER SET ascii NOT NULL,
      PRIMARY KEY (run, `change`)
    )\(SQLDialect.mariaDB.tableOptions)
    """,
  ]

  package static func ids(ofKeys keys: [String]) -> MariaDBStatement {
    MariaDBStatement("SELECT resource_key, id \(rows(withKeys: keys))")
  }

  private static func rows(withKeys keys: [String]) -> String {
    "FROM \(S1.resourceTable) WHERE resource_key IN (\(list(keys.map { .text($0) })))"
  }

  package static func log(
    _ run: Int64, change: Int64, ids: [Int64], new: [String]
  ) -> [MariaDBStatement] {
    let known = ids.isEmpty ? "NULL" : "'\(ids.map { "\($0)" }.joined(separator: ","))'"
    let found = new.isEmpty ? "NULL" : "(SELECT group_concat(id) \(rows(withKeys: new)))"
    let saying = [
      MariaDBStatement(
        """
        INSERT INTO \(ServerRuns.changesTable) (run, `change`, ids)
        SELECT run, changes, concat_ws(',', \(known), \(found)) FROM \(ServerRuns.table)
        WHERE run = \(run) AND changes = \(change)
        """), expecting(1),
    ]
    guard change % changesForgotten == 0 else { return saying }
    return saying + [
      MariaDBStatement(
        """
        DELETE FROM \(ServerRuns.changesTable)
        WHERE run = \(run) AND `change` <= \(change - ServerRuns.changesKept)
        """)
    ]
  }

  /// Of changes that are too long ago so many are forgotten at a time.
  private static let changesForgotten: Int64 = 64
}

extension RowSet {
  /// The rows in runs of ``MariaDBStatements/setBytesMax`` as text.
  fileprivate var parts: [ArraySlice<[Value]>] {
    let rows = (0..<count).map { row in
      Array(values[row * columns.count..<(row + 1) * columns.count])
    }
    var parts: [ArraySlice<[Value]>] = []
    var (start, bytes) = (0, 0)
    for (index, row) in rows.enumerated() {
      let own = row.reduce(0) { $0 + $1.textBytes }
      if index > start, bytes + own > MariaDBStatements.setBytesMax {
        parts.append(rows[start..<index])
        (start, bytes) = (index, 0)
      }
      bytes += own
    }
    if start < rows.count { parts.append(rows[start...]) }
    return parts
  }
}

extension RowSet.Value {
  /// What it takes in a statement, or a little more.
  fileprivate var textBytes: Int {
    switch self {
    case .integer, .null: 24
    case .text(let text): 2 * text.utf8.count + 8
    case .bytes(let bytes): 2 * bytes.count + 8
    }
  }
}
