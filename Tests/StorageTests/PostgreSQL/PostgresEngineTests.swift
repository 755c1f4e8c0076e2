#if PostgreSQL
  import LockContent
  import LockCore
  import Storage
  import StorageSQL
  import TestKit
  import Testing

  @testable import StoragePostgreSQL

  @Suite(.disabled(if: PostgresCluster.isMissing != nil), .timeLimit(.minutes(2)))
  struct PostgresEngineTests {
    private func engine(_ uri: String) throws -> PostgresEngine {
      try PostgresEngine(uri: uri, secondsMax: 120, clock: ManualClock().reading)
    }

    private func claim(_ key: String, _ writer: any StoreWriter) throws -> Applied {
      let facts = try writer.read(Wanted())
      var changes = Changes(maintaining: facts.meta.oldestShape)
      let holder = Holder(
        kind: .lock, owner: "owner", content: Content(text: ""), lease: Lease(seconds: 60)!)
      changes.rows = [
        RowChange(
          id: nil, expected: nil,
          record: LockRecord(key: key, holder: holder, token: 1, revision: 1), epoch: 0)
      ]
      return try writer.apply(changes)
    }

    /// Who may only read and write rows comes in where somebody else has made the tables.
    @Test func fewRightsWillDo() throws {
      let database = try PostgresDatabase()
      try database.run("CREATE ROLE few_rights LOGIN")
      try database.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
      let uri = database.uri.split(separator: "user=latchkey", omittingEmptySubsequences: false)
        .joined(separator: "user=few_rights")
      let engine = try engine(uri)
      let error = #expect(throws: StoreError.self) { try engine.openWriter() }
      #expect(error?.code == .unusable)
      #expect(error?.message.contains("needs CREATE on the schema") == true)
      _ = try self.engine(database.uri).openWriter()
      try database.run(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO few_rights")
      guard case .done(let ids) = try claim("key", try engine.openWriter()) else {
        Issue.record("nobody else is there")
        return
      }
      let reader = try self.engine(database.uri).openReader()
      #expect(try reader.read(Wanted(keys: ["key"])).byKey[0]?.id == ids[0])
      let mark = ChangeMark(changesOfRun: [:])
      #expect(try reader.changesByOthers(since: mark).rows?.map(\.key) == ["key"])
    }

    /// Whoever has gone in the middle of a transaction keeps nothing from others.
    @Test func aTransactionWhoseClientHasGoneEnds() throws {
      let database = try PostgresDatabase()
      #expect(try claim("key", try engine(database.uri).openWriter()) != .conflict)
      let gone = try engine(database.uri).connect()
      _ = try gone.run(
        PostgresStatements(.all, secondsMax: 1).begin() + [
          PostgresStatement("SELECT id FROM \(S1.resourceTable) FOR UPDATE")
        ])
      try database.run("UPDATE \(S1.resourceTable) SET kind = kind")
      #expect(throws: SQLFailure.self) { try gone.run([PostgresStatements.commit]) }
    }

    /// Whoever waits for a table to be its own has everybody wait behind it: a backup would stop the fleet.
    @Test func addingColumnsKeepsNobodyWaitingWhoUsesTheTable() async throws {
      let database = try PostgresDatabase()
      let older = try PostgresEngine(
        uri: database.uri, shapes: .upTo(2), secondsMax: 120, clock: ManualClock().reading)
      let writer = try older.openWriter()
      let reading = try older.connect()
      _ = try reading.run([
        PostgresStatement("BEGIN"), PostgresStatement("SELECT 1 FROM \(S1.resourceTable)"),
      ])
      let uri = database.uri
      let newer = ThreadWork {
        Result {
          try PostgresEngine(uri: uri, secondsMax: 120, clock: ManualClock().reading).openWriter()
            .isUsable
        }
      }
      // Each would wait as long as the reading lasts behind who waits for the table.
      for number in 1...30 {
        #expect(try claim("key-\(number)", writer) != .conflict)
        try await Task.sleep(for: .milliseconds(50))
      }
      #expect(try !database.existingColumns().rows.contains { $0.text(0) == "s3_identity" })
      _ = try reading.run([PostgresStatement("COMMIT")])
      #expect(try await newer.value.get())
      #expect(try database.existingColumns().rows.contains { $0.text(0) == "s3_identity" })
    }

    @Test func whoMayLoseCommitsIsRemarked() async throws {
      let cluster = try PostgresCluster.startWithStandby()
      let engine = try engine(cluster.uri("postgres"))
      let writer = try engine.openWriter()
      #expect(engine.remarks() == [])
      try await cluster.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
      try await cluster.ask("ALTER SYSTEM SET full_page_writes = off")
      try await cluster.ask("SELECT pg_reload_conf()")
      while engine.remarks().count < 2 { try writer.lookAtSettings() }
      let remarks = engine.remarks().joined(separator: "; ")
      #expect(remarks.contains("synchronous_standby_names is empty"))
      #expect(remarks.contains("full_page_writes is off"))
    }

    @Test(arguments: [
      ("postgresql://me@a,b:1,c/locks", ["a", "b:1", "c"]),
      ("postgresql://me@a,b/locks?port=7", ["a:7", "b:7"]),
      ("postgresql://me@a,b/locks?hostaddr=1.2.3.4,::1", ["a", "b"]),
      ("postgresql:///locks?host=/run/one", ["/run/one"]),
      ("postgresql:///locks", ["the local socket"]),
      ("host=a port=7", ["a:7"]),
    ])
    func theHostsAreThoseOfTheURI(_ uri: String, _ hosts: [String]) throws {
      let parameters = try PostgresParameters(uri)
      #expect(parameters.hosts.map(\.description) == hosts)
    }

    @Test(arguments: [
      ("postgresql://me:secret@a,b:1/locks?sslmode=disable", "postgresql://me@a,b:1/locks"),
      ("postgresql://me:secr?t@a/locks", "postgresql://me@a/locks"),
      ("postgresql://me@a/locks?%70assword=secret", "postgresql://me@a/locks"),
      ("postgresql:///locks?host=/run/one&port=7", "postgresql:///locks?host=/run/one:7"),
    ])
    func whereTheStoreIsIsSaidWithoutSecrets(_ uri: String, _ location: String) throws {
      #expect(try PostgresParameters(uri).location == location)
    }

    @Test func eachHostIsGivenWhatIsSaidOfItAndWhatCountsComesLast() throws {
      let parameters = try PostgresParameters(
        "postgresql://me:old@a,b:1/locks?hostaddr=1.2.3.4,::1")
      let values = parameters.values(
        for: parameters.hosts[1], defaults: [("user", "nobody"), ("port", "9")],
        overrides: [("password", "new")])
      var counting: [String: String] = [:]
      for (name, value) in values { counting[name] = value }
      #expect(
        counting == [
          "user": "me", "dbname": "locks", "host": "b", "hostaddr": "::1", "port": "1",
          "password": "new",
        ])
    }

    @Test(arguments: [
      "postgresql://me@a,b/locks?port=1,2,3", "postgresql://me@a/locks?hostaddr=1.2.3.4,1.2.3.5",
      "postgresql://me:secret@a:%zz/locks", "postgresql://me:secret%00@a/locks",
      "postgresql://me:sec/secret@a/locks", "postgresql://me@a:secret/locks",
    ])
    func whatCannotBeUnderstoodIsSaidWithoutSecrets(_ uri: String) {
      let error = #expect(throws: StoreError.self) { try PostgresParameters(uri) }
      #expect(error?.code == .unusable)
      #expect(error?.message.contains("secret") == false)
    }
  }
#endif
