import Glibc
import TestKit
import Testing

/// The program `latchkeyd`, as it is started, told to stop, and killed.
@Suite struct ProgramTests {
  struct BadStart: Sendable, CustomTestStringConvertible {
    var arguments: [String]
    var environment: [String] = []
    var code: Int32
    var message: String

    var testDescription: String { arguments.joined(separator: " ") }
  }

  static let badStarts = [
    BadStart(arguments: ["--listen", "nowhere"], code: 64, message: "--listen must be HOST:PORT"),
    BadStart(arguments: ["--listen", "127.0.0.1:70000"], code: 64, message: "--listen must be"),
    BadStart(
      arguments: [], environment: ["LATCHKEY_LISTEN=:1"], code: 64,
      message: "LATCHKEY_LISTEN must be"),
    BadStart(
      arguments: [], environment: ["LATCHKEY_STORE=x"], code: 64,
      message: "LATCHKEY_STORE must be sqlite:PATH"),
    BadStart(
      arguments: [], environment: ["LATCHKEY_LOG_LEVEL=loud"], code: 64,
      message: "LATCHKEY_LOG_LEVEL must be one of"),
    BadStart(
      arguments: [], environment: ["LATCHKEY_SERVER_ID=a b"], code: 64,
      message: "LATCHKEY_SERVER_ID must be"),
    BadStart(
      arguments: ["--threads", "0"], environment: ["LATCHKEY_THREADS=1"], code: 64,
      message: "--threads must be 1 to 256"),
    BadStart(arguments: ["--store", "mysql:x"], code: 64, message: "--store must be sqlite:PATH"),
    BadStart(arguments: ["--log-level", "loud"], code: 64, message: "--log-level must be one of"),
    BadStart(arguments: ["--server-id", "a b"], code: 64, message: "--server-id must be"),
    BadStart(arguments: ["--threads", "0"], code: 64, message: "--threads must be 1 to 256"),
    BadStart(
      arguments: ["--http1-idle-seconds", "4"], code: 64,
      message: "--http1-idle-seconds must be 5 to 86400, got \"4\""),
    BadStart(
      arguments: [], environment: ["LATCHKEY_HTTP1_IDLE_SECONDS=1m"], code: 64,
      message: "LATCHKEY_HTTP1_IDLE_SECONDS must be 5 to 86400"),
    BadStart(
      arguments: ["--http2-idle-seconds", "86401"], code: 64,
      message: "--http2-idle-seconds must be 5 to 86400"),
    BadStart(
      arguments: [], environment: ["LATCHKEY_HTTP2_IDLE_SECONDS=-1"], code: 64,
      message: "LATCHKEY_HTTP2_IDLE_SECONDS must be 5 to 86400"),
    BadStart(arguments: ["--bogus"], code: 64, message: "--bogus"),
    BadStart(
      arguments: ["--store", "sqlite:/tmp/latchkey-nowhere/x.db", "--store-must-exist"], code: 66,
      message: "the store /tmp/latchkey-nowhere/x.db is missing"),
    BadStart(
      arguments: ["--store", "sqlite:/tmp/latchkey-nowhere/x.db"],
      environment: ["LATCHKEY_STORE_MUST_EXIST=true"], code: 66, message: "is missing"),
    BadStart(
      arguments: [], environment: ["LATCHKEY_STORE_MUST_EXIST=1"], code: 64,
      message: "LATCHKEY_STORE_MUST_EXIST must be true or false"),
    BadStart(
      arguments: ["--store", "sqlite:/proc/nowhere/x.db"], code: 78,
      message: "cannot create the folder /proc/nowhere"),
    BadStart(
      arguments: ["--store", "sqlite:/proc/self"], code: 78, message: "cannot open the store"),
  ]

  @Test(arguments: badStarts) func saysInOneLineWhatIsWrong(_ start: BadStart) async throws {
    let result = try await Program.run(
      "latchkeyd", start.arguments, environment: start.environment)
    #expect(result.end == .exited(start.code))
    #expect(result.errors.contains { $0.contains(start.message) }, "\(result.errors)")
    #expect(result.output.isEmpty)
  }

  @Test func aPortInUseIsSaidSo() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    let second = try await Program.run(
      "latchkeyd", ["--listen", "127.0.0.1:\(server.port)", "--store", "sqlite:\(folder.file)"])
    #expect(second.end == .exited(75))
    #expect(second.errors.contains { $0.contains("Address already in use") }, "\(second.errors)")
    try await server.end()
  }

  @Test func aStoreOfTooNewAShapeIsLeftAlone() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    try await server.end()
    let store = try SQLiteFile(folder.file)
    try store.run(
      """
      UPDATE latchkey_meta SET value = 8, note = '0.9.0' WHERE name = 'oldest_shape';
      UPDATE latchkey_meta SET value = 9 WHERE name = 'newest_shape'
      """)
    let before = try store.run("SELECT * FROM latchkey_meta ORDER BY name")
    let tooOld = try await Program.run(
      "latchkeyd", ["--listen", "127.0.0.1:0", "--store", "sqlite:\(folder.file)"])
    #expect(tooOld.end == .exited(69))
    #expect(tooOld.errors.count == 1)
    #expect(tooOld.errors.first?.contains("holds shapes s8 to s9") == true)
    #expect(tooOld.errors.first?.contains("it needs 0.9.0") == true)
    #expect(try store.run("SELECT * FROM latchkey_meta ORDER BY name") == before)
  }

  @Test(arguments: [SIGTERM, SIGINT]) func finishesWhatIsInFlight(_ signal: Int32) async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    let port = server.port
    let holder = try SQLiteFile(folder.file)
    try holder.run("BEGIN IMMEDIATE")
    async let answer = HTTPVersion.http2.send(ServerProgram.claim("k", "o"), port: port)
    // The request is in the store's hands once the server has been told to stop and still runs.
    try await server.untilBusy()
    server.program.signal(signal)
    try await server.program.errors.line(containing: "shutting down")
    let ready = try await HTTPVersion.http1.send(
      Call(method: "GET", path: "/readyz", headers: [], body: []), port: port)
    #expect(ready.status == 503)
    #expect(String(decoding: ready.body, as: UTF8.self) == "shutting down\n")
    try holder.run("ROLLBACK")
    #expect(try await answer.status == 200)
    #expect(try await server.program.exit() == .exited(0))
  }

  /// A load balancer has time to notice, and loses nothing meanwhile.
  @Test func saysThatItWillEndBeforeItDoes() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(
      store: folder.file, arguments: ["--drain-delay-seconds", "2"])
    func get(_ path: String) async throws -> (Int, String) {
      let answer = try await HTTPVersion.http1.send(
        Call(method: "GET", path: path, headers: [], body: []), port: server.port)
      return (answer.status, String(decoding: answer.body, as: UTF8.self))
    }
    server.program.signal(SIGTERM)
    try await server.program.errors.line(containing: "told to end")
    #expect(try await get("/readyz") == (503, "shutting down\n"))
    #expect(try await get("/healthz").0 == 200)
    #expect(try await get("/status").1.contains(#""readiness":"shutting down""#))
    let claim = ServerProgram.claim("k", "o")
    #expect(try await HTTPVersion.http2.send(claim, port: server.port).status == 200)
    #expect(try await server.program.exit() == .exited(0))
  }

  @Test func whatWasSaidIsShownAndWhatIsMistypedIsSaid() async throws {
    let folder = try StoreFolder()
    let arguments = ["--store", "sqlite:\(folder.file)", "--drain-seconds=7", "--threads", "1"]
    let environment = [
      "LATCHKEY_TREADS=4", "LATCHKEY_MAX_QUEUE=9", "LATCHKEY_PORT=tcp://10.0.0.1:7420",
      "LATCHKEY_STORE_PASSWORD=sesame",
    ]
    let checked = try await Program.run(
      "latchkeyd", arguments + ["--check-config"], environment: environment)
    #expect(checked.end == .exited(0))
    #expect(
      checked.output == [
        "--drain-seconds 7", "--max-queue 9 (LATCHKEY_MAX_QUEUE)", "--threads 1",
        "nothing is wrong with the configuration",
      ])
    #expect(
      checked.errors == ["latchkeyd: LATCHKEY_TREADS: there is no such variable, it does nothing"])
    #expect(access(folder.file, F_OK) != 0)
    let wrong = try await Program.run(
      "latchkeyd", ["--check-config", "--policy", folder.path("none")])
    #expect(wrong.end == .exited(64) && wrong.errors.count == 1, "\(wrong.errors)")

    let program = try Program(
      "latchkeyd", arguments + ["--listen", "127.0.0.1:0"], environment: environment)
    defer { program.signal(SIGKILL) }
    let line = try await program.output.line(containing: "listening on 127.0.0.1:")
    let address = line.split(separator: "127.0.0.1:", maxSplits: 1)[1]
    let port = try #require(Int(address.prefix { $0.isNumber }))
    try await program.errors.line(containing: "name=LATCHKEY_TREADS")
    let answer = try await HTTPVersion.http1.send(
      Call(method: "GET", path: "/status", headers: [], body: []), port: port)
    let status = String(decoding: answer.body, as: UTF8.self)
    #expect(
      status.contains(
        #"{"name":"--max-queue","value":"9","source":"LATCHKEY_MAX_QUEUE"}"#), "\(status)")
    #expect(status.contains(#""readiness":"ready""#) && !status.contains("sesame"))
    #expect(!program.errors.isSaid("LATCHKEY_PORT"))
  }

  /// Promise *durable*: `kill -9` at any moment under load loses no acknowledged claim.
  @Test(arguments: [1, 2, 3] as [UInt64]) func killLosesNothingAcknowledged(_ seed: UInt64)
    async throws
  {
    let folder = try StoreFolder()
    var random = SeededGenerator(seed: seed)
    var acknowledged: [String: String] = [:]
    for round in 0..<4 {
      let server = try await ServerProgram.start(store: folder.file)
      for (key, owner) in acknowledged {
        let answer = try await HTTPVersion.http2.send(ServerProgram.fetch(key), port: server.port)
        #expect(answer.status == 200, "\(key) is lost (seed \(seed), round \(round))")
        #expect(
          String(decoding: answer.body, as: UTF8.self).contains("\"owner\":\"\(owner)\""),
          "\(key) has another owner (seed \(seed), round \(round))")
      }
      // So many answers are waited for before the kill; more requests are under way then.
      let enough = Int.random(in: 5...60, using: &random)
      let answered = try await Self.load(
        server, keys: (0..<(enough + 40)).map { "r\(round)/\($0)" }, killAfter: enough)
      for key in answered { acknowledged[key] = "owner of \(key)" }
      #expect(try await server.program.exit() == .killed(SIGKILL))
    }
    #expect(acknowledged.count >= 20)
  }

  /// Claims `keys` all at once and kills the server after some answers. Returns the keys whose claim
  /// was acknowledged.
  private static func load(
    _ server: ServerProgram, keys: [String], killAfter enough: Int
  ) async throws -> [String] {
    await withTaskGroup(of: String?.self) { group in
      for key in keys {
        group.addTask {
          let call = ServerProgram.claim(key, "owner of \(key)")
          let answer = try? await HTTPVersion.http2.send(call, port: server.port)
          return answer?.status == 200 ? key : nil
        }
      }
      var acknowledged: [String] = []
      for await key in group {
        guard let key else { continue }
        acknowledged.append(key)
        if acknowledged.count == enough { server.program.signal(SIGKILL) }
      }
      server.program.signal(SIGKILL)
      return acknowledged
    }
  }
}

extension ServerProgram {
  /// Waits until a second connection is served: then the first one's request has been read, since
  /// both belong to event loops that take what comes in turn.
  fileprivate func untilBusy() async throws {
    let health = Call(method: "GET", path: "/metrics", headers: [], body: [])
    while true {
      let answer = try await HTTPVersion.http1.send(health, port: port)
      let text = String(decoding: answer.body, as: UTF8.self)
      if text.contains("latchkey_connections{protocol=\"http/2\"} 1") { return }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  fileprivate static func claim(_ key: String, _ owner: String) -> Call {
    .json(
      "Lock",
      #"{"resource":{"key":"\#(key)","owner":"\#(owner)","type":"lock"},"ttl_in_seconds":600}"#)
  }

  fileprivate static func fetch(_ key: String) -> Call { .json("Fetch", #"{"key":"\#(key)"}"#) }
}
