#if PostgreSQL
  import Glibc
  import TestKit
  import Testing

  /// The program `latchkeyd` over a database on another machine: what it says, waits for, and refuses.
  @Suite(.disabled(if: PostgresCluster.isMissing != nil), .timeLimit(.minutes(2)))
  struct DatabaseProgramTests {
    private static let claim = Call.json(
      "Lock", #"{"resource":{"key":"k","owner":"o","type":"lock"},"ttl_in_seconds":600}"#)

    private static func get(_ path: String, _ server: ServerProgram) async throws -> (Int, String) {
      let call = Call(method: "GET", path: path, headers: [], body: [])
      let answer = try await HTTPVersion.http1.send(call, port: server.port)
      return (answer.status, String(decoding: answer.body, as: UTF8.self))
    }

    /// A server that starts waits for those who may know more than the database.
    private static func waitUntilReady(_ server: ServerProgram) async throws {
      while try await get("/readyz", server).0 != 200 {}
    }

    /// Where the database's socket will be, or not any more.
    private static func uri(_ folder: String, _ parameters: String = "") -> String {
      "postgresql:///postgres?host=\(folder)&user=latchkey\(parameters)"
    }

    @Test func aDatabaseThatIsDownAtTheStartIsWaitedFor() async throws {
      let cluster = try PostgresCluster.startAlone()
      let folder = try StoreFolder()
      let sockets = folder.path("sockets")
      let server = try await ServerProgram.start(url: Self.uri(sockets))
      defer { server.program.signal(SIGKILL) }
      #expect(try await Self.get("/healthz", server).0 == 200)
      let (code, reason) = try await Self.get("/readyz", server)
      #expect(code == 503)
      #expect(reason.contains("cannot open the store") || reason.contains("is being opened"))
      #expect(try await HTTPVersion.http2.send(Self.claim, port: server.port).status == 503)

      #expect(symlink(cluster.folder, sockets) == 0)
      try await Self.waitUntilReady(server)
      #expect(try await HTTPVersion.http2.send(Self.claim, port: server.port).status == 200)
      let status = try await Self.get("/status", server).1
      #expect(status.contains("postgresql://latchkey@/postgres?host="))
      try await server.end()
    }

    struct BadDatabase: Sendable, CustomTestStringConvertible {
      var parameters: String
      var message: String
      /// What an administrator has done before.
      var preparation: [String] = []

      var testDescription: String { message }
    }

    static let badDatabases = [
      BadDatabase(parameters: "&dbname=nowhere", message: "create it: CREATE DATABASE"),
      BadDatabase(parameters: "&user=nobody", message: "role \"nobody\" does not exist"),
      BadDatabase(parameters: "&host=no-such-host.invalid", message: "there is no such host"),
      BadDatabase(parameters: "&bogus=1", message: "invalid URI query parameter"),
      BadDatabase(parameters: "&port=1,2", message: "another number of ports"),
      BadDatabase(
        parameters: "&dbname=latin", message: "its encoding is LATIN1",
        preparation: ["CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0"]),
      BadDatabase(
        parameters: "&user=reader&dbname=bare", message: "store-schema postgresql",
        preparation: ["CREATE ROLE reader LOGIN", "CREATE DATABASE bare"]),
    ]

    @Test(arguments: badDatabases)
    func saysInOneLineWhatIsWrong(_ bad: BadDatabase) async throws {
      let cluster = try PostgresCluster.running()
      for statement in bad.preparation { try await cluster.ask(statement) }
      let result = try await Program.run(
        "latchkeyd",
        ["--listen", "127.0.0.1:0", "--store", Self.uri(cluster.folder, bad.parameters)])
      #expect(result.end == .exited(78))
      #expect(result.output.isEmpty)
      #expect(result.errors.count == 1)
      #expect(result.errors.first?.contains(bad.message) == true, "\(result.errors)")
    }

    @Test func aPasswordIsSaidNowhere() async throws {
      let cluster = try PostgresCluster.running()
      let secret = "Sesame-\(getpid())"
      for said in [
        "latchkey:\(secret)@localhost/postgres", "latchkey:a?\(secret)@localhost/postgres",
        "latchkey:a/\(secret)@localhost/postgres", "localhost/postgres?password=\(secret)",
        "localhost/postgres?%70assword=\(secret)", "localhost/postgres?sslpassword=\(secret)",
      ] {
        let visible = try await Program.run("latchkeyd", ["--store", "postgresql://\(said)"])
        #expect(visible.end == .exited(64), "\(said)")
        #expect(visible.errors.contains { $0.contains("--store-password-file") })
        #expect(!visible.errors.contains { $0.contains(secret) })
      }

      let folder = try StoreFolder()
      try folder.write("\(secret)\nmore\n", to: "password")
      let server = try await ServerProgram.start(
        url: Self.uri(cluster.folder),
        arguments: ["--store-password-file", folder.path("password"), "--log-level", "trace"])
      try await Self.waitUntilReady(server)
      let texts = [
        try await Self.get("/status", server).1, try await Self.get("/metrics", server).1,
      ]
      #expect(!texts.contains { $0.contains(secret) })
      server.program.signal(SIGTERM)
      let result = try await server.program.result()
      #expect(!(result.output + result.errors).contains { $0.contains(secret) })
    }

    @Test func aStoreThatWasPreparedNeedsNoRightToMakeTables() async throws {
      let cluster = try PostgresCluster.running()
      try await cluster.ask("CREATE ROLE \"plain-user\" LOGIN")
      try await cluster.ask("CREATE DATABASE prepared")
      let schema = try await Program.run(
        "latchkeyd", ["store-schema", "postgresql", "--user", "plain-user"])
      #expect(schema.end == .exited(0))
      // Once more it changes nothing, whatever has happened meanwhile.
      for _ in 1...2 {
        try await cluster.ask(schema.output.joined(separator: "\n"), database: "prepared")
      }
      let server = try await ServerProgram.start(
        url: "postgresql:///prepared?host=\(cluster.folder)&user=plain-user")
      defer { server.program.signal(SIGKILL) }
      try await Self.waitUntilReady(server)
      #expect(try await HTTPVersion.http2.send(Self.claim, port: server.port).status == 200)
      try await server.end()
    }

    @Test func aStoreIsCopiedIntoADatabase() async throws {
      let cluster = try PostgresCluster.running()
      try await cluster.ask("CREATE DATABASE copied")
      let folder = try StoreFolder()
      let before = try await ServerProgram.start(store: folder.file)
      #expect(try await HTTPVersion.http2.send(Self.claim, port: before.port).status == 200)
      let target = "postgresql:///copied?host=\(cluster.folder)&user=latchkey"
      let arguments = ["copy-store", "--from", "sqlite:\(folder.file)", "--to", target]
      let early = try await Program.run("latchkeyd", arguments)
      #expect(early.end == .exited(78))
      #expect(early.errors.contains { $0.contains("a server runs on") }, "\(early.errors)")
      try await before.end()
      let copy = try await Program.run("latchkeyd", arguments)
      #expect(copy.end == .exited(0))
      #expect(copy.output.last?.hasPrefix("copied 2 rows") == true, "\(copy.output)")
      let after = try await ServerProgram.start(url: target)
      defer { after.program.signal(SIGKILL) }
      let answer = try await HTTPVersion.http2.send(
        .json("Fetch", #"{"key":"k"}"#), port: after.port)
      #expect(String(decoding: answer.body, as: UTF8.self).contains(#""owner":"o""#))
      try await after.end()
      let again = try await Program.run("latchkeyd", arguments)
      #expect(again.end == .exited(78))
      #expect(again.errors.contains { $0.contains("is not empty") }, "\(again.errors)")
    }
  }
#endif
