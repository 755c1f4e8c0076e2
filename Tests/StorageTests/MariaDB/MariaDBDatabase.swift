#if MariaDB
  import LockCore
  import Storage
  import StorageSQL
  import Synchronization
  import TestKit

  @testable import StorageMariaDB

  /// A database of the tests' MariaDB, or of their Galera cluster. Each server comes in at another node.
  final class MariaDBDatabase: NetworkDatabase {
    private static let count = Atomic<Int>(0)
    /// A machine may be slow that runs tests.
    private static let secondsMax = 120

    let cluster: MariaDBCluster
    let name: String
    private let engines = Atomic<Int>(0)

    init(_ cluster: MariaDBCluster) throws {
      self.cluster = cluster
      name = "test_\(Self.count.wrappingAdd(1, ordering: .relaxed).newValue)"
      _ = try connect("mysql").run([MariaDBStatement("CREATE DATABASE \(name)")])
      // The other nodes have it when they have everything that was there before this.
      for node in 1..<cluster.ports.count {
        let connection = try connect("mysql", node: node)
        _ = try connection.run(MariaDBStatements.beginReading + [MariaDBStatements.commit])
      }
    }

    func connect(_ database: String, node: Int = 0) throws -> MariaDBConnection {
      let address = try MariaDBAddress(cluster.uri(database, first: node))
      return try MariaDBConnection(
        address, address.hosts[0], password: MariaDBCluster.password, secondsMax: Self.secondsMax)
    }

    func engine(_ shapes: KnownShapes) -> any StoreEngine {
      let node = engines.wrappingAdd(1, ordering: .relaxed).oldValue % cluster.ports.count
      return try! MariaDBEngine(
        url: cluster.uri(name, first: node), password: MariaDBCluster.password, shapes: shapes,
        firstShape: S1.number, secondsMax: Self.secondsMax, clock: ManualClock().reading)
    }

    func run(_ statements: [HandWritten]) throws {
      _ = try again(
        MariaDBStatements(.all).transaction(
          statements.map { MariaDBStatement(filling: $0.text, $0.values) }))
    }

    func ask(_ text: String, _ values: [RowSet.Value]) throws -> MariaDBResult {
      let begin = MariaDBStatements.beginReading
      let statement = MariaDBStatement(filling: text, values)
      return try again(begin + [statement, MariaDBStatements.commit])[begin.count]
    }

    private func again(_ statements: [MariaDBStatement]) throws -> [MariaDBResult] {
      let connection = try connect(name)
      return try repeated { try connection.run(statements) }
    }

    func existingColumns() throws -> MariaDBResult {
      try ask(MariaDBStatements.existingColumns.text)
    }

    static let givingID = ""
    func givenIDs() {}
  }
#endif
