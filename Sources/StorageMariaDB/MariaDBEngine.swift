#if MariaDB
  import CMariaDB
  package import LockCore
  package import Storage
  package import StorageSQL

  /// The store in a MariaDB database, or in a Galera cluster, which servers on several machines use at once.
  package final class MariaDBEngine: NetworkEngine {
    package let shapes: KnownShapes
    package let mustExist: Bool
    private let address: MariaDBAddress
    /// The shape that a new database begins with.
    private let firstShape: Int64
    package let statements: MariaDBStatements
    package let account: DatabaseAccount
    /// Nil stands for the address's socket.
    package let hosts: HostRace<MariaDBAddress.Host?, MariaDBConnection>

    /// - Parameters:
    ///   - url: See ``MariaDBAddress``.
    ///   - password: Counts more than what the URL says.
    ///   - mustExist: Whether no store is made where there is none.
    ///   - firstShape: No server that does not know it has ever been on such a database.
    ///   - secondsMax: How long a round trip may take, and opening a connection.
    package init(
      url: String, password: String? = nil, mustExist: Bool = false, shapes: KnownShapes = .all,
      firstShape: Int64 = S2.number, secondsMax: Int = 2,
      clock: @escaping @Sendable () -> MonotonicTime
    ) throws(StoreError) {
      let address = try MariaDBAddress(url)
      self.address = address
      let hosts = address.hosts.map { Optional($0) } + (address.socket == nil ? [] : [nil])
      self.hosts = HostRace(hosts, name: { $0?.description ?? "" }) {
        (host) throws(StoreError) in
        try MariaDBConnection(address, host, password: password, secondsMax: secondsMax)
      }
      account = DatabaseAccount(clock: clock)
      self.shapes = shapes
      self.mustExist = mustExist
      self.firstShape = firstShape
      statements = MariaDBStatements(shapes)
    }

    package var location: String { address.location }

    package func error(_ failure: SQLFailure) -> StoreError {
      switch failure {
      case .refused(let refusal):
        let reason =
          "\(refusal.message), error \(refusal.code)\(address.advice(refusal.code, refusal.message))"
        switch Int32(refusal.code) {
        case ER_NO_SUCH_TABLE, ER_BAD_FIELD_ERROR, ER_KEY_COLUMN_DOES_NOT_EXIST:
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
      try makeTables(connection)
      let foreign = try run([MariaDBStatements.foreignTables], on: connection)[0]
      guard let table = foreign.first else { return }
      let name = table.text(0) ?? ""
      throw StoreError(
        .unusable,
        "the store \(location) has its table \(name) in \(table.text(1) ?? "another engine"), which has no "
          + "transactions: ALTER TABLE \(name) ENGINE=InnoDB")
    }

    private func makeTables(_ connection: MariaDBConnection) throws(StoreError) {
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

    /// - Parameter statement: Changes a table, where that is not done yet.
    private func change(
      _ statement: MariaDBStatement, _ connection: MariaDBConnection
    ) throws(StoreError) {
      for triesLeft in (0..<Self.triesMax).reversed() {
        do throws(SQLFailure) {
          _ = try connection.run([statement])
          return
        } catch {
          guard case .refused(let refusal) = error else { throw self.error(error) }
          guard refusal.isConflict, triesLeft > 0 else { throw self.error(error) }
          BlockingThread.sleep(nanoseconds: Self.migrationPauseNanoseconds)
        }
      }
    }
  }
#endif
