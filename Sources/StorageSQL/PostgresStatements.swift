import LockCore
package import Storage

/// A statement of PostgreSQL and its parameters.
package struct PostgresStatement: SQLStatement, Equatable {
  package enum Parameter: Equatable, Sendable {
    case integer(Int64)
    case text(String)
    case bytes([UInt8])
    case integers([Int64?])
    case texts([String?])
    case byteStrings([[UInt8]?])
  }

  package var text: String
  package var parameters: [Parameter]

  package init(_ text: String, _ parameters: [Parameter] = []) {
    self.text = text
    self.parameters = parameters
  }

  package init(filling text: String, _ values: [RowSet.Value]) {
    self.init(
      Self.numbered(text),
      values.map { value in
        switch value {
        case .integer(let value): .integer(value)
        case .text(let text): .text(text)
        case .bytes(let bytes): .bytes(bytes)
        case .null: preconditionFailure("no statement is asked with a value that is none")
        }
      })
  }
}

extension PostgresStatement {
  /// With its places numbered, as PostgreSQL has them. Done for every statement, so by the byte.
  private static func numbered(_ text: String) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count + 16)
    var number = 0
    for byte in text.utf8 {
      guard byte == UInt8(ascii: "?") else {
        bytes.append(byte)
        continue
      }
      number += 1
      bytes += "$\(number)".utf8
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// The statements of a store in PostgreSQL whose server knows certain shapes.
///
/// What is written is written in sets: however many rows a transaction changes, it has a handful of
/// statements. Each that has to find something as it was ends in a division by the number of those that it
/// found, so where one is missing the transaction fails as a whole, the commit that was sent behind it
/// included.
package struct PostgresStatements: SetStatements {
  package static let dialect = SQLDialect.postgreSQL
  /// The error of such a division.
  package static let conflictCode = "22012"

  package let shared: StoreStatements
  package let columns: String
  /// Of each transaction that lasts, or of a session.
  private let settings: PostgresStatement
  package let sessionSettings: PostgresStatement
  private let setHeld: String
  private let setHolder: String
  private let setNothing: String
  private let setNextRevision: String

  /// - Parameter secondsMax: How long a server waits for whoever is silent in the middle of a transaction.
  package init(_ shapes: KnownShapes, secondsMax: Int) {
    settings = Self.settings(secondsMax: secondsMax, ofTransaction: true)
    sessionSettings = Self.settings(secondsMax: secondsMax, ofTransaction: false)
    shared = StoreStatements(shapes, .postgreSQL)
    columns = shapes.columnNames.map { "r.\($0)" }.joined(separator: ", ")
    func set(_ columns: [RowSet.Column]) -> String {
      columns.map { "\($0.name) = c.\($0.name)" }.joined(separator: ", ")
    }
    setHeld = set(ChangeSets.heldColumns(shapes))
    setHolder = set(ChangeSets.holderColumns(shapes))
    setNextRevision = (["revision"] + shapes.revisionColumnNames).map { "\($0) = r.\($0) + 1" }
      .joined(separator: ", ")
    setNothing = "value = ''" + shapes.newerColumnNames.map { ", \($0) = NULL" }.joined()
  }

  private static let byBytes = #"COLLATE "C""#

  /// Fails unless `statement` returns as many rows as `count` says.
  private static func exactly(_ count: String, _ statement: String) -> String {
    "WITH done AS (\(statement)) SELECT 1 / (count(*) = \(count))::int FROM done"
  }

  /// Fails unless `statement` returns as many rows as `set` has. The text is the same for any number.
  private static func exactly(_ set: RowSet, _ statement: String) -> String {
    exactly("cardinality(\(set.firstArray))", statement)
  }

  // MARK: - Transactions

  package static let beginReading = [
    PostgresStatement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
  ]
  package var beginMoment: [PostgresStatement] { Self.beginReading + [settings] }
  /// What a transaction begins with that writes.
  package func begin(isSessionSet: Bool = false) -> [PostgresStatement] {
    [PostgresStatement("BEGIN ISOLATION LEVEL READ COMMITTED")] + (isSessionSet ? [] : [settings])
  }
  package func transaction(
    _ statements: [PostgresStatement], isSessionSet: Bool, isBegun: Bool
  ) -> [PostgresStatement] {
    (isBegun ? [] : begin(isSessionSet: isSessionSet)) + statements + [Self.commit]
  }

  /// Others wait for a server that is silent in its middle, so not for long.
  package func beginLocking(keys: [String], isSessionSet: Bool) -> [PostgresStatement]? {
    begin(isSessionSet: isSessionSet) + [
      PostgresStatement(
        "SELECT set_config('idle_in_transaction_session_timeout', '500ms', true)"),
      PostgresStatement(
        """
        SELECT 1 FROM \(S1.resourceTable) WHERE resource_key = ANY ($1::text[] \(Self.byBytes))
        ORDER BY id FOR UPDATE
        """, [.texts(keys)]),
    ]
  }
  package static let mayBeTakenBack = false
  package static func expectingDone(_ run: Int64, change: Int64) -> [PostgresStatement] { [] }
  package static let setsAreInOrder = true
  package static func expecting(
    _ count: Int, _ text: String, _ values: [RowSet.Value]
  ) -> [PostgresStatement] {
    [PostgresStatement(filling: exactly("\(count)", "\(text) RETURNING 1"), values)]
  }
  package static let commit = PostgresStatement("COMMIT")
  package static let rollback = PostgresStatement("ROLLBACK")

  /// Keeps `synchronous_commit` from being less than a commit on this machine's disk, and the server from waiting
  /// long for a client that has gone, with all that it keeps from others. It may go between two statements, or in
  /// the middle of what it sends. Sets of rows are looked up one after the other, by an index: whatever their
  /// statistics say that is quick, and it is in the same order for all, so that nobody waits in a circle.
  private static func settings(secondsMax: Int, ofTransaction: Bool) -> PostgresStatement {
    let settings = [
      ("idle_in_transaction_session_timeout", "'\(secondsMax)s'"),
      ("tcp_keepalives_idle", "'\(secondsMax)'"), ("tcp_keepalives_interval", "'1'"),
      ("tcp_keepalives_count", "'2'"),
      ("enable_seqscan", "'off'"), ("enable_hashjoin", "'off'"), ("enable_mergejoin", "'off'"),
      // What is switched off is counted as if it cost a lot, which is no reason to compile anything.
      ("jit", "'off'"),
      // A commit that no standby has confirmed is told by a warning.
      ("client_min_messages", "'warning'"),
      (
        "synchronous_commit",
        """
        CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
          ELSE current_setting('synchronous_commit') END
        """
      ),
    ]
    let calls = settings.map { "set_config('\($0)', \($1), \(ofTransaction))" }
    return PostgresStatement("SELECT \(calls.joined(separator: ", "))")
  }

  package static let isReadOnly = "pg_is_in_recovery()"

  /// The timeline, which a standby begins anew when it is promoted; 0 on a standby.
  package static let history: String? = """
    CASE WHEN pg_is_in_recovery() THEN 0 ELSE
      ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint END
    """

  package static func expecting(history: Int64) -> [PostgresStatement] {
    [PostgresStatement("SELECT 1 / (\(Self.history!) = $1)::int", [.integer(history)])]
  }

  /// Whether commits wait for standbys.
  package static let needsConfirmation = "current_setting('synchronous_standby_names') <> ''"

  /// Of a transaction that only reads: where commits wait for standbys, its own waits for them as well. So it
  /// is not answered by a primary in whose place one of them was promoted, which still runs and knows nothing
  /// of that: what it has to say may be out of date.
  package static let confirmation = [
    PostgresStatement(
      """
      SELECT pg_logical_emit_message(true, 'latchkey', ''),
        CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
          THEN set_config('synchronous_commit', 'on', true) END
      WHERE \(needsConfirmation) AND NOT \(isReadOnly)
      """)
  ]

  // MARK: - Coming in

  /// Of the table of resources; none where there is no such table.
  package static let existingColumns = PostgresStatement(
    """
    SELECT attname::text FROM pg_attribute
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
    """, [.text(S1.resourceTable)])

  /// Whoever waits for a table to be its own has all others wait behind it.
  package static let impatient = PostgresStatement("SET LOCAL lock_timeout = '200ms'")

  /// No server has ever been on this database that does not know `shape`.
  package static func beginning(with shape: Int64) -> PostgresStatement {
    PostgresStatement(
      """
      UPDATE \(S1.metaTable) SET value = \(shape)
      WHERE name IN ('\(StoreMeta.Name.oldestShape.text)', '\(StoreMeta.Name.filledShape.text)')
      AND value < \(shape)
      """)
  }

  package static let risks = PostgresStatement(
    """
    SELECT said FROM (VALUES
      (current_setting('fsync') = 'off',
        'does not sync its disk (fsync is off): loss of power may lose or damage all of it'),
      (current_setting('full_page_writes') = 'off',
        'may be damaged by loss of power (full_page_writes is off)'),
      (current_setting('synchronous_standby_names') = '' AND EXISTS (SELECT 1 FROM pg_stat_replication),
        'has standbys and waits for none of them (synchronous_standby_names is empty): a fail-over may lose what was \
    acknowledged last')) v (applies, said)
    WHERE applies
    """)

  // MARK: - Reading

  /// Rows by their keys, with the place of each among the keys before its columns.
  package func rows(forKeys keys: [String]) -> PostgresStatement {
    PostgresStatement(
      places("text", columns, "r.resource_key = w.it \(Self.byBytes)"), [.texts(keys)])
  }

  /// The same by their ids.
  package func rows(withIDs ids: [Int64]) -> PostgresStatement {
    PostgresStatement(places("bigint", columns, "r.id = w.it"), [.integers(ids)])
  }

  /// Token and whether it is over, of each key with its place.
  package func latestGrants(ofKeys keys: [String]) -> PostgresStatement {
    PostgresStatement(
      places(
        "text", "token, \(shared.isOver)",
        "r.resource_key = w.it \(Self.byBytes)"), [.texts(keys)])
  }

  private func places(_ type: String, _ columns: String, _ condition: String) -> String {
    """
    SELECT w.place - 1, \(columns) FROM unnest($1::\(type)[]) WITH ORDINALITY AS w (it, place)
    JOIN \(S1.resourceTable) r ON \(condition)
    """
  }

  /// Of rows that runs have changed, each after a change of its own, whether the latest grant is over, key and
  /// owner, and what is to be watched where it is not; one row more than ``ServerRuns/rowsAskedMax`` at most.
  package func changedRows(after changes: [(run: Int64, change: Int64)]) -> PostgresStatement {
    PostgresStatement(
      """
      SELECT c.changed, \(shared.isOver), resource_key, owner, \(shared.leaseColumns) FROM (
        SELECT DISTINCT unnest(l.ids) AS changed FROM unnest($1::bigint[], $2::bigint[]) AS k (run, change)
        JOIN \(ServerRuns.changesTable) l ON l.run = k.run AND l.change > k.change
        LIMIT \(ServerRuns.rowsAskedMax + 1)) c
      LEFT JOIN \(S1.resourceTable) ON id = c.changed
      """, [.integers(changes.map(\.run)), .integers(changes.map(\.change))])
  }

  // MARK: - Writing

  private static let asExpected =
    "r.id = c.id AND r.token = c.expected_token AND r.revision = c.expected_revision"

  /// What changes `sets`; nothing for what is empty.
  package func writing(_ sets: ChangeSets) -> [PostgresStatement] {
    var statements: [PostgresStatement] = []
    func add(_ set: RowSet, _ text: (_ rows: String) -> String) {
      guard !set.isEmpty else { return }
      statements.append(PostgresStatement(text(set.unnested), set.arrays))
    }
    let table = S1.resourceTable
    if !sets.idsOfSeveral.isEmpty {
      // In one order for all, or servers would wait for each other in a circle.
      statements.append(
        PostgresStatement(
          "SELECT 1 FROM \(table) WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE",
          [.integers(sets.idsOfSeveral)]))
    }
    add(sets.renewed) { rows in
      Self.exactly(
        sets.renewed,
        """
        UPDATE \(table) r SET needs_shape = \(S1.number), free_epoch = NULL, \(setNextRevision)
        FROM \(rows) WHERE \(Self.asExpected) RETURNING 1
        """)
    }
    add(sets.held) { rows in
      Self.exactly(
        sets.held,
        """
        UPDATE \(table) r SET needs_shape = \(S1.number), free_epoch = NULL, \(setHeld)
        FROM \(rows) WHERE \(Self.asExpected) RETURNING 1
        """)
    }
    add(sets.freed) { rows in
      Self.exactly(
        sets.freed,
        """
        UPDATE \(table) r SET needs_shape = \(S1.number), owner = NULL, \(setNothing),
          token = c.token, revision = c.revision, free_epoch = c.free_epoch,
          kind = coalesce(c.kind, r.kind),
          lease_seconds = coalesce(c.lease_seconds, r.lease_seconds)
        FROM \(rows) WHERE \(Self.asExpected) RETURNING 1
        """)
    }
    add(sets.refilled) { rows in
      Self.exactly(
        sets.refilled,
        "UPDATE \(table) r SET \(setHolder) FROM \(rows) WHERE \(Self.asExpected) RETURNING 1")
    }
    add(sets.cleared) { rows in
      Self.exactly(
        sets.cleared,
        "UPDATE \(table) r SET \(setNothing) FROM \(rows) WHERE \(Self.asExpected) RETURNING 1")
    }
    add(sets.deleted) { rows in
      Self.exactly(
        sets.deleted,
        "DELETE FROM \(table) r USING \(rows) WHERE \(Self.asExpected) RETURNING 1")
    }
    if !sets.keysWithoutTerms.isEmpty {
      statements.append(
        PostgresStatement(
          "DELETE FROM \(Terms.table) WHERE resource_key = ANY ($1::text[] \(Self.byBytes))",
          [.texts(sets.keysWithoutTerms)]))
    }
    add(sets.removedTerms) { rows in
      """
      DELETE FROM \(Terms.table) t USING \(rows)
      WHERE t.resource_key = c.resource_key \(Self.byBytes) AND t.term = c.term \(Self.byBytes)
      """
    }
    add(sets.addedTerms) { rows in
      """
      INSERT INTO \(Terms.table) (resource_key, term) SELECT resource_key, term FROM \(rows)
      ON CONFLICT DO NOTHING
      """
    }
    return statements
  }

  package func inserting(_ new: RowSet) -> [PostgresStatement] {
    guard !new.isEmpty else { return [] }
    return [
      PostgresStatement(
        Self.exactly(
          new,
          """
          INSERT INTO \(S1.resourceTable) (needs_shape, \(new.names))
          SELECT \(S1.number), \(new.names) FROM \(new.unnested)
          ON CONFLICT (resource_key) DO NOTHING RETURNING 1
          """), new.arrays)
    ]
  }

  package func deletingOrphans(_ keys: [String]) -> PostgresStatement {
    PostgresStatement(
      """
      DELETE FROM \(Terms.table) t WHERE t.resource_key = ANY ($1::text[] \(Self.byBytes))
      AND NOT EXISTS (SELECT 1 FROM \(S1.resourceTable) r WHERE r.resource_key = t.resource_key)
      """, [.texts(keys)])
  }

  // MARK: - Servers' runs

  /// What the tables of runs begin with.
  package static let runsMigration =
    (ServerRuns.meta(.postgreSQL, history: history) + [
      ServerRuns.migration(.postgreSQL),
      """
      CREATE TABLE IF NOT EXISTS \(ServerRuns.changesTable) (
        run BIGINT NOT NULL,
        change BIGINT NOT NULL,
        ids BIGINT[] NOT NULL,
        PRIMARY KEY (run, change)
      )
      """,
    ]).map { PostgresStatement($0) }

  package static func ids(ofKeys keys: [String]) -> PostgresStatement {
    PostgresStatement(
      "SELECT resource_key, id FROM \(S1.resourceTable) "
        + "WHERE resource_key = ANY ($1::text[] \(byBytes))", [.texts(keys)])
  }

  package static func log(
    _ run: Int64, change: Int64, ids: [Int64], new: [String]
  ) -> [PostgresStatement] {
    let found =
      new.isEmpty
      ? ""
      : """
       || array(
        SELECT id FROM \(S1.resourceTable)
        WHERE resource_key = ANY ($4::text[] \(byBytes)))
      """
    let parameters: [PostgresStatement.Parameter] = [
      .integer(run), .integer(change), .integers(ids),
    ]
    return [
      PostgresStatement(
        """
        INSERT INTO \(ServerRuns.changesTable) (run, change, ids)
        SELECT $1, $2, $3::bigint[]\(found)
        """, parameters + (new.isEmpty ? [] : [.texts(new)]))
    ] + forgetting(run, before: change)
  }
}

extension RowSet {
  /// The rows as a table "c" with its columns' names, of the parameters from the first on.
  fileprivate var unnested: String {
    let arrays = columns.indices.map { array($0) }
    return "unnest(\(arrays.joined(separator: ", "))) AS c (\(names))"
  }

  fileprivate var firstArray: String { array(0) }

  private func array(_ column: Int) -> String {
    let type =
      switch columns[column].kind {
      case .integer: "bigint"
      case .text: "text"
      case .bytes: "bytea"
      }
    return "$\(column + 1)::\(type)[]"
  }

  fileprivate var arrays: [PostgresStatement.Parameter] {
    columns.indices.map { index in
      let values = values(of: index)
      switch columns[index].kind {
      case .integer:
        return .integers(values.map { if case .integer(let value) = $0 { value } else { nil } })
      case .text: return .texts(values.map { if case .text(let value) = $0 { value } else { nil } })
      case .bytes:
        return .byteStrings(values.map { if case .bytes(let value) = $0 { value } else { nil } })
      }
    }
  }
}
