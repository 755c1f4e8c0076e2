#if MariaDB
  import CMariaDB
  package import LockCore
  package import Storage
  package import StorageSQL
  import Synchronization

  /// The store in a MariaDB database, or in a Galera cluster, which servers on several machines use at once.
  package final class MariaDBEngine: NetworkEngine {
    /// How often something is tried that others keep from being done: each time one of them got on.
    private static let triesMax = 5

    package let shapes: KnownShapes
    private let address: MariaDBAddress
    private let password: String?
    /// The shape that a new database begins with.
    private let firstShape: Int64
    package let statements: MariaDBStatements
    package let account: RunsAccount
    private let secondsMax: Int
    private let risks = Mutex<[String]>([])
    /// Which of the address's hosts is tried first.
    private let firstHost = Mutex(0)

    /// - Parameters:
    ///   - url: See ``MariaDBAddress``.
    ///   - password: Counts more than what the URL says.
    ///   - firstShape: No server that does not know it has ever been on such a database.
    ///   - secondsMax: How long a round trip may take, and opening a connection.
    package init(
      url: String, password: String? = nil, shapes: KnownShapes = .all,
      firstShape: Int64 = S2.number, secondsMax: Int = 2,
      clock: @escaping @Sendable () -> MonotonicTime
    ) throws(StoreError) {
      address = try MariaDBAddress(url)
      self.password = password
      account = RunsAccount(clock: clock)
      self.secondsMax = secondsMax
      self.shapes = shapes
      self.firstShape = firstShape
      statements = MariaDBStatements(shapes)
    }

    package var location: String { address.location }
    package var hostCount: Int { max(address.hosts.count, 1) }

    // MARK: - Connections

    package func remarks() -> [String] {
      risks.withLock { $0.map { "the store \(location) \($0)" } }
    }

    package func connect() throws(StoreError) -> MariaDBConnection {
      let hosts = address.hosts.map { Optional($0) } + (address.socket == nil ? [] : [nil])
      let race = HostRace { [self] (host: MariaDBAddress.Host?) throws(StoreError) in
        try MariaDBConnection(address, host, password: password, secondsMax: secondsMax)
      }
      do throws(StoreError) {
        let (connection, index) = try race.run(hosts, first: firstHost.withLock(\.self)) {
          $0?.description ?? ""
        }
        firstHost.withLock { $0 = index }
        risks.withLock { $0 = connection.risks }
        return connection
      } catch {
        throw StoreError(error.code, "cannot open the store \(location): \(error.message)")
      }
    }

    /// A host can answer who connects, and nothing more.
    package func leave(_ connection: MariaDBConnection) {
      guard let host = connection.host, let index = address.hosts.firstIndex(of: host) else {
        return
      }
      firstHost.withLock { $0 = $0 == index ? (index + 1) % address.hosts.count : $0 }
    }

    package func error(_ failure: SQLFailure) -> StoreError {
      switch failure {
      case .refused(let refusal):
        let reason = "\(refusal.message), error \(refusal.code)\(address.advice(refusal.code))"
        switch Int32(refusal.code) {
        case ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR:
          return StoreError(
            .unusable,
            "the store \(location) has other tables than Latchkey's under their names (\(reason))")
        case ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR:
          return StoreError(
            .unusable, "the store \(location) refuses its user what is needed (\(reason))")
        default: return StoreError(.unavailable, "the store \(location) failed (\(reason))")
        }
      case .lost(let reason):
        return StoreError(.unavailable, "the store \(location) gave no answer: \(reason)")
      }
    }

    package var isReadOnly: StoreError {
      StoreError(
        .unavailable,
        "the store \(location) is read-only, such as a replica, which may lack what was committed: name the "
          + "host that is written to")
    }

    // MARK: - Coming in

    /// Brings the database to this server's shape. MariaDB commits each statement that changes a table by
    /// itself, and nobody can be kept from doing the same at the same time: all that counts is that the last
    /// transaction, which says that everything is there, comes last.
    package func migrate(_ connection: MariaDBConnection) throws(StoreError) {
      let existing = try existingColumns(connection)
      if !existing.isEmpty {
        let meta = try meta(connection)
        if existing.isSuperset(of: shapes.columnNames), meta.newestShape >= shapes.newest { return }
        // A newer server may have given this one's shapes up: nothing is touched before that is known.
        // Where nothing is said, another server has just begun.
        if meta.newestShape > 0 { try Fence.check(meta, self) }
      }
      let migration = MariaDBStatements.migration(
        shapes, existingColumns: existing, beginningWith: firstShape)
      for statement in migration.tables { try change(statement, connection) }
      _ = try run(statements.transaction(migration.rows), on: connection, isRepeated: true)
    }

    /// - Parameter statement: Changes a table, unless another server has done so meanwhile.
    private func change(
      _ statement: MariaDBStatement, _ connection: MariaDBConnection
    ) throws(StoreError) {
      for triesLeft in (0..<Self.triesMax).reversed() {
        do throws(SQLFailure) {
          _ = try connection.run([statement])
          return
        } catch {
          guard case .refused(let refusal) = error else { throw self.error(error) }
          if refusal.code == "\(ER_DUP_FIELDNAME)" { return }
          guard refusal.isConflict, triesLeft > 0 else { throw self.error(error) }
        }
      }
    }
  }
#endif
