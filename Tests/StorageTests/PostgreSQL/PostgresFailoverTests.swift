#if PostgreSQL
  import Glibc
  import LockContent
  import LockCore
  import Storage
  import StorageSQL
  import TestKit
  import Testing

  @testable import StoragePostgreSQL

  /// A primary that commits with a standby, and lives on when the standby was promoted in its place.
  @Suite(.disabled(if: PostgresCluster.isMissing != nil), .serialized, .timeLimit(.minutes(2)))
  struct PostgresFailoverTests {
    private let cluster: PostgresCluster
    private let database = "postgres"

    init() throws { cluster = try PostgresCluster.startWithStandby() }

    private func engine(_ uri: String, secondsMax: Int = 120) throws -> PostgresEngine {
      try PostgresEngine(uri: uri, secondsMax: secondsMax, clock: ManualClock().reading)
    }

    private func ask(_ uri: String, _ text: String) throws -> PostgresResult {
      try engine(uri).connect().run([PostgresStatement(text)])[0]
    }

    private func promote() throws {
      #expect(
        try ask(cluster.uriOfStandby(database), "SELECT pg_promote()")[0].integer(0) == 1)
    }

    private func apply(
      _ owner: String, _ token: Int64, _ writer: any StoreWriter, key: String = "key"
    ) throws -> Applied {
      let facts = try writer.read(Wanted(keys: [key]))
      let row = facts.byKey[0]
      var changes = Changes(maintaining: facts.meta.oldestShape)
      let holder = Holder(
        kind: .lock, owner: owner, content: Content(text: ""), lease: Lease(seconds: 60)!)
      changes.rows = [
        RowChange(
          id: row?.id, expected: row?.record.sighting,
          record: LockRecord(key: key, holder: holder, token: token, revision: token), epoch: 0)
      ]
      return try writer.apply(changes)
    }

    private func owner(_ reader: any StoreReader) throws -> String? {
      try reader.read(Wanted(keys: ["key"])).byKey[0]?.record.holder?.owner
    }

    @Test func aPrimaryThatWasReplacedDoesNotAnswer() throws {
      let old = try engine(cluster.uri(database), secondsMax: 1)
      let writer = try old.openWriter()
      #expect(try apply("a", 1, writer) != .conflict)
      let (reader, lister) = (try old.openReader(), try old.openReader())
      #expect(try owner(reader) == "a")
      try lister.beginMoment()
      #expect(try owner(lister) == "a")
      lister.endMoment()
      // Nothing comes of it: that is an answer too.
      let meta = try writer.read(Wanted()).meta
      #expect(try writer.apply(Changes(maintaining: meta.oldestShape)) == .done(ids: []))

      try promote()
      let new = try engine(cluster.uriOfStandby(database)).openWriter()
      #expect(try apply("b", 2, new) != .conflict)

      #expect(throws: StoreError.self) { try owner(reader) }
      #expect(throws: StoreError.self) { try lister.beginMoment() }
      #expect(throws: StoreError.self) {
        _ = try writer.read(Wanted(keys: ["key"]))
        return try writer.apply(Changes(maintaining: meta.oldestShape))
      }
      // Whoever gave up keeps no connection of it waiting.
      while try ask(
        cluster.uri(database), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")[
          0
        ].integer(0) > 0
      {}
    }

    @Test func theOneThatReplacedItIsGoneTo() throws {
      let both = try engine(cluster.uriOfBoth(database), secondsMax: 1)
      let writer = try both.openWriter()
      #expect(try apply("a", 1, writer) != .conflict)
      let reader = try both.openReader()
      try promote()
      let new = try engine(cluster.uriOfStandby(database)).openWriter()
      #expect(try apply("b", 2, new) != .conflict)
      // It was not done there, and is decided anew on what there is.
      #expect(try apply("c", 3, writer) == .conflict)
      #expect(throws: StoreError.self) { try owner(reader) }
      #expect(try owner(try both.openReader()) == "b")
      #expect(!writer.isUsable)
      #expect(try apply("c", 3, try both.openWriter()) != .conflict)
      #expect(try owner(try both.openReader()) == "c")
    }

    /// It is suspended, or cut off: whoever waits for it looks at the other host, and waits no longer.
    @Test func aSilentPrimaryThatWasReplacedIsNotWaitedFor() throws {
      // No test lasts so long.
      let both = try engine(cluster.uriOfBoth(database), secondsMax: 600)
      let writer = try both.openWriter()
      #expect(try apply("a", 1, writer) != .conflict)
      let reader = try both.openReader()
      let backends = try ask(
        cluster.uri(database),
        """
        SELECT pid FROM pg_stat_activity
        WHERE application_name = 'latchkeyd' AND pid <> pg_backend_pid()
        """
      ).rows.map { pid_t($0.integer(0)) }
      #expect(backends.count >= 2)
      for backend in backends { kill(backend, SIGSTOP) }
      defer { for backend in backends { kill(backend, SIGCONT) } }
      try promote()
      #expect(throws: StoreError.self) { try owner(reader) }
      #expect(throws: StoreError.self) { try apply("b", 2, writer) }
      #expect(!writer.isUsable)
      #expect(try apply("b", 2, try both.openWriter()) != .conflict)
      #expect(try owner(try both.openReader()) == "b")
    }

    /// An administrator can have a commit wait no longer; then it is done here, and perhaps nowhere else.
    @Test(arguments: ["key", "a new key"])
    func aCommitThatDidNotWaitForTheStandbyIsNotTakenForOne(key: String) async throws {
      let engine = try engine(cluster.uri(database), secondsMax: 4)
      let writer = try engine.openWriter()
      #expect(try apply("a", 1, writer) != .conflict)
      try promote()
      let uri = cluster.uri(database)
      async let canceled: Void = {
        // It ends when the commit waits.
        while try ask(
          uri,
          """
          WITH waiting AS MATERIALIZED (
            SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep')
          SELECT count(*) FROM waiting WHERE pg_cancel_backend(pid)
          """)[0].integer(0) == 0
        {}
      }()
      #expect(throws: StoreError.self) { try apply("b", 2, writer, key: key) }
      try await canceled
    }
  }
#endif
