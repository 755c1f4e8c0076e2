#if PostgreSQL
  package import LockCore
  package import Storage
  package import StorageSQL

  /// The store in a PostgreSQL database, which servers on several machines use at once.
  package final class PostgresEngine: NetworkEngine {
    /// Who holds it brings a database to a newer shape.
    private static let migrationLock: Int64 = 0x4C54_4B59

    package let shapes: KnownShapes
    package let mustExist: Bool
    package let location: String
    private let adviceOnStandbys: String
    /// The shape that a new database begins with.
    private let firstShape: Int64
    package let statements: PostgresStatements
    package let account: DatabaseAccount
    package let hosts: HostRace<PostgresParameters.Host, PostgresConnection>
    private let succession: PostgresSuccession

    /// - Parameters:
    ///   - uri: As libpq takes it: `postgresql://user@host1,host2/database?parameter=value`.
    ///   - password: Counts more than what the URI says.
    ///   - mustExist: Whether no store is made where there is none.
    ///   - firstShape: No server that does not know it has ever been on such a database.
    ///   - secondsMax: How long a round trip may take, and opening a connection.
    /// - Throws: `unusable` where libpq does not understand the URI.
    package init(
      uri: String, password: String? = nil, mustExist: Bool = false, shapes: KnownShapes = .all,
      firstShape: Int64 = S2.number, secondsMax: Int = 2,
      clock: @escaping @Sendable () -> MonotonicTime
    ) throws(StoreError) {
      let opening = PostgresOpening(
        parameters: try PostgresParameters(uri), password: password, secondsMax: secondsMax)
      hosts = HostRace(opening.parameters.hosts, name: \.description) {
        (host) throws(StoreError) in
        try PostgresConnection(opening.open(host), secondsMax: secondsMax)
      }
      account = DatabaseAccount(clock: clock)
      succession = PostgresSuccession(opening, account)
      self.shapes = shapes
      self.mustExist = mustExist
      self.firstShape = firstShape
      statements = PostgresStatements(shapes, secondsMax: secondsMax)
      location = opening.parameters.location
      adviceOnStandbys = opening.parameters.adviceOnStandbys
    }

    package var isReadOnly: StoreError {
      StoreError(
        .unavailable,
        "the store \(location) is a standby, which may lack what was committed: \(adviceOnStandbys)"
      )
    }

    package func error(_ failure: SQLFailure) -> StoreError {
      switch failure {
      case .refused(let refusal) where PostgresConnection.isOfStandby(refusal.code): isReadOnly
      case .refused(let refusal):
        switch refusal.code {
        case "42501":
          StoreError(
            .unusable,
            "the store \(location) refuses its user what is needed (\(refusal.message)): the first start needs "
              + "CREATE on the schema, or an administrator who runs what \"latchkeyd store-schema postgresql\" "
              + "prints, the rights at its end included (--user names who gets them)"
          )
        case "3F000":
          StoreError(
            .unusable,
            "the store \(location) has no schema for the tables (\(refusal.message)): search_path has to name one"
          )
        case "55P03": StoreError(.conflict, "the table is in use (\(refusal.message))")
        case "42P01", "42703", "42809", "55000":
          StoreError(
            .unusable,
            "the store \(location) has other tables than Latchkey's under their names (\(refusal.message))"
          )
        default:
          StoreError(
            .unavailable,
            "the store \(location) failed (\(refusal.message), SQLSTATE \(refusal.code))")
        }
      case .lost(let reason):
        StoreError(.unavailable, "the store \(location) gave no answer: \(reason)")
      }
    }

    package func opened(_ connection: PostgresConnection) {
      if hosts.count > 1 { connection.follow(succession) }
    }

    package func keepStatements(_ connection: PostgresConnection) throws(StoreError) {
      do throws(SQLFailure) {
        try connection.keepStatements(statements.sessionSettings)
      } catch {
        throw self.error(error)
      }
    }

    // MARK: - Coming in

    /// How often it is tried to change a table that somebody keeps, such as a backup.
    private static let migrationTriesMax = 20

    /// Brings the database to this server's shape, one server after the other.
    package func migrate(_ connection: PostgresConnection) throws(StoreError) {
      for triesLeft in (0..<Self.migrationTriesMax).reversed() {
        do throws(StoreError) {
          return try tryToMigrate(connection)
        } catch {
          guard error.code == .conflict else { throw error }
          guard triesLeft > 0 else { break }
          BlockingThread.sleep(nanoseconds: Self.migrationPauseNanoseconds)
        }
      }
      throw StoreError(
        .unavailable,
        "the store \(location) cannot be brought to shape s\(shapes.newest): somebody keeps its table, such as a "
          + "backup or an open transaction; start again when that is over")
    }

    private func tryToMigrate(_ connection: PostgresConnection) throws(StoreError) {
      let existing = try existingColumns(connection)
      let needed = Set(shapes.columnNames)
      if needed.isSubset(of: existing), try meta(connection).newestShape >= shapes.newest { return }
      _ = try run(
        statements.begin() + [
          PostgresStatement("SELECT pg_advisory_xact_lock($1)", [.integer(Self.migrationLock)]),
          PostgresStatements.impatient,
        ], on: connection)
      do throws(StoreError) {
        let existing = try existingColumns(connection)
        if !existing.isEmpty {
          // A newer server may have given this one's shapes up: nothing is touched before that is
          // known.
          try Fence.check(try meta(connection), self)
        }
        var migration = shapes.migration(.postgreSQL, existingColumns: existing)
          .map { PostgresStatement($0) }
        migration += PostgresStatements.runsMigration
        if existing.isEmpty, firstShape > S1.number {
          migration.append(PostgresStatements.beginning(with: firstShape))
        }
        _ = try run(migration + [PostgresStatements.commit], on: connection)
      } catch {
        _ = try? run([PostgresStatements.rollback], on: connection)
        throw error
      }
    }
  }
#endif
