package import Storage

// What makes a store in a database, for an administrator to read and run.

extension PostgresStatements {
  /// What an empty database is told.
  package static func creation(
    _ shapes: KnownShapes, beginningWith first: Int64 = S2.number
  ) -> [String] {
    shapes.migration(.postgreSQL, existingColumns: []) + runsMigration.map(\.text)
      + (first > S1.number ? [beginning(with: first).text] : [])
  }

  /// - Parameter user: Whom the servers are to the database.
  package static func schema(_ shapes: KnownShapes, user: String) -> String {
    StoreSchema.script(["BEGIN"] + creation(shapes) + ["COMMIT"], shapes, user: #""\#(user)""#)
  }
}

extension MariaDBStatements {
  /// What an empty database is told.
  package static func creation(
    _ shapes: KnownShapes, beginningWith first: Int64 = S2.number
  ) -> [String] {
    let migration = migration(shapes, existingColumns: [], beginningWith: first)
    return (migration.tables + migration.rows).map(\.text)
  }

  /// - Parameter user: Whom the servers are to the database.
  package static func schema(_ shapes: KnownShapes, user: String) -> String {
    StoreSchema.script(creation(shapes), shapes, user: "'\(user)'@'%'")
  }
}

enum StoreSchema {
  /// All that a store has in a database across a network.
  static let tables = [
    S1.metaTable, S1.resourceTable, Terms.table, ServerRuns.table, ServerRuns.changesTable,
  ]

  fileprivate static func script(_ statements: [String], _ shapes: KnownShapes, user: String)
    -> String
  {
    let grants = tables.map { "GRANT SELECT, INSERT, UPDATE, DELETE ON \($0) TO \(user)" }
    return """
      -- A store of Latchkey, shapes \(shapes). Run it in the database that --store is to name, as somebody who
      -- may create tables there. Once more does no harm.

      \(statements.map { "\($0);" }.joined(separator: "\n"))

      -- All that the servers need from then on. A release with a newer shape needs more for its first start: to
      -- alter the tables, as their owner does.
      \(grants.map { "\($0);" }.joined(separator: "\n"))
      """
  }
}
