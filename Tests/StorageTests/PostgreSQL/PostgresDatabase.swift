#if PostgreSQL
  import LockCore
  import Storage
  import StorageSQL
  import Synchronization
  import TestKit

  @testable import StoragePostgreSQL

  /// A database of the tests' PostgreSQL.
  struct PostgresDatabase: NetworkDatabase {
    private static let count = Atomic<Int>(0)
    /// A machine may be slow that runs tests.
    private static let secondsMax = 120

    let uri: String
    /// How servers get to it.
    private let uriOfServers: String

    /// - Parameter isPooled: Whether servers go through a pooler.
    init(isPooled: Bool = false) throws {
      let cluster = try isPooled ? PostgresCluster.runningWithPooler() : .running()
      let name = "test_\(Self.count.wrappingAdd(1, ordering: .relaxed).newValue)"
      let connection = try Self.engine(cluster.uri("postgres")).connect()
      _ = try connection.run([PostgresStatement("CREATE DATABASE \(name)")])
      uri = cluster.uri(name)
      uriOfServers = isPooled ? cluster.uriOfPooler(name) : uri
    }

    func engine(_ shapes: KnownShapes) -> any StoreEngine {
      // It was understood when the database was made.
      try! Self.engine(uriOfServers, shapes)
    }

    private static func engine(
      _ uri: String, _ shapes: KnownShapes = .all
    ) throws(StoreError) -> PostgresEngine {
      try PostgresEngine(
        uri: uri, shapes: shapes, firstShape: S1.number, secondsMax: secondsMax,
        clock: ManualClock().reading)
    }

    func run(_ statements: [HandWritten]) throws {
      let connection = try Self.engine(uri).connect()
      // What goes together is one transaction.
      _ = try repeated {
        try connection.run(statements.map { PostgresStatement(filling: $0.text, $0.values) })
      }
    }

    func ask(_ text: String, _ values: [RowSet.Value]) throws -> PostgresResult {
      try ask(PostgresStatement(filling: text, values))
    }

    private func ask(_ statement: PostgresStatement) throws -> PostgresResult {
      try Self.engine(uri).connect().run([statement])[0]
    }

    func existingColumns() throws -> PostgresResult { try ask(PostgresStatements.existingColumns) }

    static let givingID = "OVERRIDING SYSTEM VALUE"

    func givenIDs() throws {
      try run(
        "SELECT setval(pg_get_serial_sequence('\(S1.resourceTable)', 'id'), max(id)) "
          + "FROM \(S1.resourceTable)")
    }
  }
#endif
