#if MariaDB
  import LockContent
  import LockCore
  import Storage
  import StorageSQL
  import TestKit
  import Testing

  @testable import StorageMariaDB

  @Suite(.disabled(if: MariaDBCluster.isMissing != nil), .timeLimit(.minutes(2)))
  struct MariaDBEngineTests {
    /// - Parameter secondsMax: Generous where no answer is waited for in vain.
    private func engine(
      _ url: String, _ password: String? = MariaDBCluster.password, secondsMax: Int = 120
    ) throws -> MariaDBEngine {
      try MariaDBEngine(
        url: url, password: password, secondsMax: secondsMax, clock: ManualClock().reading)
    }

    private func database() throws -> MariaDBDatabase { try MariaDBDatabase(.running()) }

    private func claiming(_ key: String, _ facts: Facts, value: String = "") -> Changes {
      var changes = Changes(maintaining: facts.meta.oldestShape)
      let holder = Holder(
        kind: .lock, owner: "owner", content: Content(text: value), lease: Lease(seconds: 60)!)
      changes.rows = [
        RowChange(
          id: nil, expected: nil,
          record: LockRecord(key: key, holder: holder, token: 1, revision: 1), epoch: 0)
      ]
      return changes
    }

    // MARK: - Coming in

    @Test func aNewDatabaseBeginsWithTheShapeThatAllServersKnow() throws {
      let database = try database()
      _ = try engine(database.cluster.uri(database.name)).openWriter()
      let meta = try database.meta(.all)
      #expect(meta.oldestShape == S2.number)
      #expect(meta.newestShape == KnownShapes.all.newest)
      #expect(meta.filledShape == S2.number)
    }

    @Test func serversThatComeAtOnceAllComeIn() async throws {
      let database = try MariaDBDatabase(.runningGalera())
      try await withThrowingTaskGroup(of: Void.self) { group in
        for node in 0..<6 {
          let engine = try engine(database.cluster.uri(database.name, first: node % 3))
          group.addTask { _ = try engine.openWriter() }
        }
        try await group.waitForAll()
      }
      #expect(try database.meta(.all).oldestShape == S2.number)
    }

    @Test func theHostsAreTriedInTheirTurn() throws {
      let database = try database()
      let port = database.cluster.ports[0]
      let user = MariaDBCluster.user
      let url = "mariadb://\(user)@127.0.0.1:1,nowhere.invalid,127.0.0.1:\(port)/\(database.name)"
      let engine = try engine(url)
      _ = try engine.openWriter()
      _ = try engine.openReader().read(Wanted())
    }

    @Test func aSocketWillDo() throws {
      let database = try database()
      let socket = database.cluster.socket(ofNode: 0)
      _ = try engine("mariadb://\(MariaDBCluster.user)@/\(database.name)?socket=\(socket)")
        .openWriter()
    }

    struct Fault: Sendable, CustomTestStringConvertible {
      var url: String
      var password: String?
      /// Whether a database that is not there may be behind it.
      var mayGoAway = false
      /// A part of what is said.
      var part: String

      var testDescription: String { part }
    }

    static let faults = [
      Fault(
        url: "mariadb://latchkey@HERE/test", password: "no", part: "user or password is wrong"),
      Fault(url: "mariadb://latchkey@HERE/no_such", part: "CREATE DATABASE no_such"),
      Fault(url: "mariadb://latchkey@nowhere.invalid/test", part: "Unknown"),
      Fault(url: "mariadb://latchkey@127.0.0.1:1/test", mayGoAway: true, part: "Can't connect"),
      Fault(url: "mariadb://latchkey@/test?socket=/nowhere", mayGoAway: true, part: "/nowhere"),
      Fault(
        url: "mariadb://latchkey@HERE/mysql?ssl-ca=/nowhere.pem", mayGoAway: true, part: "TLS/SSL"),
      Fault(
        url: "mariadb://latchkey@HERE/mysql?ssl-ca=/etc/ssl/certs/ca-certificates.crt",
        mayGoAway: true, part: "TLS/SSL"),
      Fault(url: "mariadb://guest@HERE/mysql", part: "GRANT ALL ON mysql.*"),
    ]

    @Test(arguments: faults)
    func whatIsWrongIsSaidOnOneLine(_ fault: Fault) throws {
      let cluster = try MariaDBCluster.running()
      let database = try database()
      try database.run(
        "CREATE USER IF NOT EXISTS guest IDENTIFIED BY '\(MariaDBCluster.password)'")
      let here = fault.url.split(separator: "HERE", omittingEmptySubsequences: false)
        .joined(separator: "127.0.0.1:\(cluster.ports[0])")
      let engine = try engine(here, fault.password ?? MariaDBCluster.password)
      let error = #expect(throws: StoreError.self) { try engine.openWriter() }
      let message = error?.message ?? ""
      #expect(error?.code == (fault.mayGoAway ? .unavailable : .unusable))
      #expect(message.contains(fault.part), "\(message)")
      #expect(!message.contains("\n") && !message.contains(MariaDBCluster.password))
    }

    @Test func tablesWithoutTransactionsAreRefused() throws {
      let database = try database()
      _ = try database.engine().openWriter()
      try database.run("ALTER TABLE \(S1.metaTable) ENGINE=Aria")
      let error = #expect(throws: StoreError.self) { try database.engine().openWriter() }
      #expect(error?.code == .unusable)
      #expect(error?.message.contains("ALTER TABLE latchkey_meta ENGINE=InnoDB") == true)
    }

    @Test(arguments: ["ssl-mode=required", "ssl-ca=CERTIFICATE"])
    func withTLSNothingIsSaidInTheClear(_ parameters: String) throws {
      let database = try database()
      let parts = parameters.split(separator: "CERTIFICATE", omittingEmptySubsequences: false)
      let parameters = parts.joined(separator: database.cluster.certificate)
      let url = "\(database.cluster.uri(database.name))?\(parameters)"
      _ = try engine(url).openWriter()
      let address = try MariaDBAddress(url)
      let connection = try MariaDBConnection(
        address, address.hosts[0], password: MariaDBCluster.password, secondsMax: 120)
      let status = try connection.run([MariaDBStatement("SHOW STATUS LIKE 'Ssl_cipher'")])
      #expect(status[0].first?.text(1)?.isEmpty == false)
      // The certificate does not have this name.
      let named = database.cluster.uri(database.name)
        .split(separator: "127.0.0.1").joined(separator: "localhost")
      if parts.count > 1 {
        #expect(throws: StoreError.self) { try engine("\(named)?\(parameters)").openWriter() }
      }
    }

    @Test(arguments: ["ssl-mode=required", "ssl-mode=verify-identity"])
    func aServerWithoutTLSIsRefused(_ parameters: String) throws {
      let database = try MariaDBDatabase(.runningGalera())
      let engine = try engine("\(database.cluster.uri(database.name))?\(parameters)")
      let error = #expect(throws: StoreError.self) { try engine.openWriter() }
      #expect(error?.message.contains("TLS") == true, "\(error?.message ?? "")")
    }

    @Test func aServerThatIsOnlyReadFromIsPassedOver() async throws {
      let cluster = try MariaDBCluster.start(nodes: 1)
      let database = try MariaDBDatabase(cluster)
      let there = try self.database()
      try there.run("CREATE DATABASE \(database.name)_there")
      try database.run("CREATE DATABASE \(database.name)_there")
      _ = try database.connect(database.name).run([
        MariaDBStatement("SET GLOBAL read_only = 1")
      ])
      let ports = [cluster.ports[0], there.cluster.ports[0]].map { "127.0.0.1:\($0)" }
      let engine = try engine(
        "mariadb://\(MariaDBCluster.user)@\(ports.joined(separator: ","))/\(database.name)_there")
      _ = try engine.openWriter()
      let alone = try self.engine(cluster.uri(database.name))
      let error = #expect(throws: StoreError.self) { try alone.openWriter() }
      #expect(error?.message.contains("read-only") == true)
    }

    @Test func whoLosesCommitsIsRemarked() throws {
      let durable = try database()
      let first = try engine(durable.cluster.uri(durable.name))
      _ = try first.openWriter()
      #expect(first.remarks() == [])
      let database = try MariaDBDatabase(.start(nodes: 1))
      _ = try database.connect(database.name).run([
        MariaDBStatement("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
      ])
      let second = try engine(database.cluster.uri(database.name))
      _ = try second.openWriter()
      #expect(second.remarks().count == 1)
      #expect(second.remarks()[0].contains("innodb_flush_log_at_trx_commit is not 1"))
    }

    // MARK: - Transactions

    /// More than a text, and more than a packet of MariaDB's.
    @Test func aTransactionIsAllOrNothingHoweverLongItIs() throws {
      let database = try database()
      let engine = try engine(database.cluster.uri(database.name))
      let writer = try engine.openWriter()
      let value = String(repeating: "é", count: NameLimits.valueBytesMax / 2)
      let keys = (0..<300).map { "key \($0)" }
      func changes(_ facts: Facts) -> Changes {
        var changes = Changes(maintaining: facts.meta.oldestShape)
        changes.rows = keys.flatMap { claiming($0, facts, value: value).rows }
        return changes
      }
      // One of them is there already.
      guard case .done = try writer.apply(claiming(keys[299], try writer.read(Wanted()))) else {
        Issue.record("the first row conflicts")
        return
      }
      let all = changes(try writer.read(Wanted()))
      #expect(try writer.apply(all) == .conflict)
      #expect(try engine.openReader().read(Wanted(keys: keys)).byKey.count { $0 != nil } == 1)
      try database.run("DELETE FROM \(S1.resourceTable)")
      guard case .done(let ids) = try writer.apply(changes(try writer.read(Wanted()))) else {
        Issue.record("nobody else is there")
        return
      }
      let rows = try engine.openReader().read(Wanted(ids: ids)).byID
      #expect(rows.map { $0?.record.key } == keys)
      #expect(rows.allSatisfy { $0?.record.holder?.content.text == value })
    }

    /// Rows that are changed together, whose values take nothing, little, and all the room that there is.
    @Test func valuesOfEverySizeAreKept() throws {
      let database = try database()
      let engine = try engine(database.cluster.uri(database.name))
      let writer = try engine.openWriter()
      let sizes = [0, 1, 255, 256, 511, 512, 513, 65_535, NameLimits.valueBytesMax]
      let keys = (0..<40).map { "key \($0)" }
      func changes(_ round: Int) throws -> Changes {
        let facts = try writer.read(Wanted(keys: keys))
        var changes = Changes(maintaining: facts.meta.oldestShape)
        changes.rows = keys.enumerated().map { index, key in
          let row = facts.byKey[index]
          let value = String(repeating: "v", count: sizes[(index + round) % sizes.count])
          let holder = Holder(
            kind: .lock, owner: "owner", content: Content(text: value), lease: Lease(seconds: 60)!,
            labels: index % 2 == 0 ? [:] : ["name": value.count > 512 ? "long" : value])
          return RowChange(
            id: row?.id, expected: row?.record.sighting,
            record: LockRecord(
              key: key, holder: holder, token: 1, revision: Int64(round + 1)), epoch: 0)
        }
        return changes
      }
      for round in 0..<sizes.count {
        let changes = try changes(round)
        guard case .done = try writer.apply(changes) else {
          Issue.record("nobody else is there")
          return
        }
        let rows = try engine.openReader().read(Wanted(keys: keys)).byKey
        #expect(rows.allSatisfy { $0?.damage == nil })
        #expect(rows.map { $0?.record } == changes.rows.map(\.record))
      }
    }

    /// What the database refuses for a reason of its own is an outage, and whoever writes goes on after it.
    @Test func whatIsRefusedIsNotDone() throws {
      let database = try database()
      let engine = try engine(database.cluster.uri(database.name))
      let writer = try engine.openWriter()
      let administrator = try database.connect(database.name)
      _ = try administrator.run([
        MariaDBStatement(
          """
          CREATE TRIGGER refusal BEFORE INSERT ON \(S1.resourceTable)
          FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'there is no room'
          """)
      ])
      let facts = try writer.read(Wanted())
      let error = #expect(throws: StoreError.self) { try writer.apply(claiming("key", facts)) }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("there is no room") == true, "\(error?.message ?? "")")
      #expect(writer.isUsable)
      _ = try administrator.run([MariaDBStatement("DROP TRIGGER refusal")])
      guard case .done = try writer.apply(claiming("key", try writer.read(Wanted()))) else {
        Issue.record("nobody else is there")
        return
      }
    }

    /// Whoever has gone in the middle of a transaction keeps nothing from others.
    @Test func aTransactionWhoseClientHasGoneEnds() throws {
      let database = try database()
      let writer = try engine(database.cluster.uri(database.name)).openWriter()
      guard case .done = try writer.apply(claiming("key", try writer.read(Wanted()))) else {
        Issue.record("nobody else is there")
        return
      }
      let address = try MariaDBAddress(database.cluster.uri(database.name))
      let gone = try MariaDBConnection(
        address, address.hosts[0], password: MariaDBCluster.password, secondsMax: 1)
      _ = try gone.run([
        MariaDBStatement("START TRANSACTION"),
        MariaDBStatement("SELECT id FROM \(S1.resourceTable) FOR UPDATE"),
      ])
      // It waits for a second at a time.
      try database.run("UPDATE \(S1.resourceTable) SET kind = kind")
      #expect(throws: SQLFailure.self) { try gone.run([MariaDBStatements.commit]) }
    }

    /// At two nodes of Galera, which learn of each other's transaction when they commit.
    @Test func ofTwoThatMeetOneIsDone() async throws {
      let database = try MariaDBDatabase(.runningGalera())
      nonisolated(unsafe) let writers = try (0..<2).map { node in
        try engine(database.cluster.uri(database.name, first: node)).openWriter()
      }
      for round in 0..<30 {
        let all = try writers.map { claiming("key \(round)", try $0.read(Wanted())) }
        let applied = try await withThrowingTaskGroup(of: Applied.self) { group in
          for node in 0..<2 { group.addTask { try writers[node].apply(all[node]) } }
          return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(applied.count { $0 == .conflict } == 1)
      }
    }

    @Test func whatOneServerHasChangedTheOthersAreTold() throws {
      let database = try MariaDBDatabase(.runningGalera())
      let mine = try engine(database.cluster.uri(database.name))
      let writer = try mine.openWriter()
      let other = try engine(database.cluster.uri(database.name, first: 1))
      _ = try other.openWriter()
      let reader = try other.openReader()
      let start = try reader.changesByOthers(since: nil)
      #expect(start.rows == nil)
      #expect(try reader.changesByOthers(since: start.mark).rows == [])
      guard case .done(let ids) = try writer.apply(claiming("a", try writer.read(Wanted()))) else {
        Issue.record("nobody else is there")
        return
      }
      let news = try reader.changesByOthers(since: start.mark)
      #expect(news.rows?.map(\.lease.id) == ids)
      #expect(news.rows?.map(\.key) == ["a"])
      #expect(news.rows?.map(\.isOver) == [false])
      #expect(try reader.changesByOthers(since: news.mark).rows == [])
      let own = try mine.openReader()
      #expect(try own.changesByOthers(since: ChangeMark(changesOfRun: [:])).rows == [])
    }

    // MARK: - What is lost

    /// The answer to a commit was lost, or the commit itself: either is known in the end.
    @Test(arguments: [LossyRelay.Loss.ofAnswer, .ofQuestion])
    func whetherACommitWasDoneIsFoundOut(_ loss: LossyRelay.Loss) async throws {
      let database = try database()
      let relay = try await LossyRelay.start(to: database.cluster.ports[0])
      let user = MariaDBCluster.user
      let engine = try engine(
        "mariadb://\(user)@127.0.0.1:\(relay.port)/\(database.name)", secondsMax: 4)
      let writer = try engine.openWriter()
      let facts = try writer.read(Wanted())
      relay.lose(loss)
      let applied = try writer.apply(claiming("key", facts))
      let row = try engine.openReader().read(Wanted(keys: ["key"])).byKey[0]
      switch loss {
      case .ofAnswer: #expect(applied == .done(ids: [try #require(row).id]))
      case .ofQuestion: #expect(applied == .conflict && row == nil)
      }
      // It goes on, on a connection of which it is known that it is another one.
      #expect(!writer.isUsable)
      let next = try engine.openWriter()
      guard case .done = try next.apply(claiming("other", try next.read(Wanted()))) else {
        Issue.record("nobody else is there")
        return
      }
      try await relay.stop()
    }

    /// Others may give shapes up, or begin an epoch, which changes the rows of all runs: that is not taken for a
    /// commit of one's own.
    @Test func whatOthersDoMeanwhileIsNotTakenForOnesOwn() async throws {
      let database = try database()
      let relay = try await LossyRelay.start(to: database.cluster.ports[0])
      let user = MariaDBCluster.user
      let engine = try engine(
        "mariadb://\(user)@127.0.0.1:\(relay.port)/\(database.name)", secondsMax: 4)
      let writer = try engine.openWriter()
      let facts = try writer.read(Wanted())
      try database.run("UPDATE \(ServerRuns.table) SET changes = changes + 1")
      relay.lose(.ofAnswer)
      #expect(try writer.apply(claiming("key", facts)) == .conflict)
      #expect(try engine.openReader().read(Wanted(keys: ["key"])).byKey == [nil])
      try await relay.stop()
    }

    /// A node may take connections and do nothing more.
    @Test func aNodeThatGivesNoAnswerIsLeft() async throws {
      let database = try MariaDBDatabase(.runningGalera())
      let relay = try await LossyRelay.start(to: database.cluster.ports[0])
      let user = MariaDBCluster.user
      let engine = try engine(
        "mariadb://\(user)@127.0.0.1:\(relay.port),127.0.0.1:\(database.cluster.ports[1])/"
          + database.name, secondsMax: 4)
      let writer = try engine.openWriter()
      let facts = try writer.read(Wanted())
      relay.lose(.ofAnswer)
      guard case .done = try writer.apply(claiming("key", facts)) else {
        Issue.record("it was done")
        return
      }
      #expect(try writer.read(Wanted(keys: ["key"])).byKey[0] != nil)
      #expect(try engine.openReader().read(Wanted(keys: ["key"])).byKey[0] != nil)
      #expect(relay.connections == 1)
      try await relay.stop()
    }
  }
#endif
