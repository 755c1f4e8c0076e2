import Metrics
import Storage
import TestKit
import Testing
import WireSchema

@testable import LatchkeyServer

/// What people, load balancers and Prometheus ask of a server.
@Suite struct OperationsTests {
  private static func get(_ path: String, method: String = "GET") -> Call {
    Call(method: method, path: path, headers: [], body: [])
  }

  private static let claim = Call.json(
    "Lock", #"{"resource":{"key":"k","owner":"o","type":"lock"},"ttl_in_seconds":60}"#)

  struct Row: Sendable {
    var method: String
    var path: String
    var status: Int
    var body: String
  }

  static let rows = [
    Row(method: "GET", path: "/healthz", status: 200, body: "ok\n"),
    Row(method: "GET", path: "/readyz", status: 200, body: "ready\n"),
    Row(method: "GET", path: "/readyz?verbose=1", status: 200, body: "ready\n"),
    Row(method: "POST", path: "/healthz", status: 405, body: "ask with GET"),
    Row(method: "GET", path: "/nowhere", status: 404, body: "there is nothing at this path"),
    Row(method: "GET", path: "/latchkey.v1.Locks/Lock", status: 405, body: "POST"),
    // The server of this test keeps its metrics to itself.
    Row(method: "GET", path: "/metrics", status: 404, body: "there is nothing at this path"),
  ]

  @Test(arguments: rows, HTTPVersion.allCases)
  func answers(_ row: Row, _ version: HTTPVersion) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let answer = try await version.send(
      Self.get(row.path, method: row.method), port: server.port)
    #expect(answer.status == row.status)
    #expect(String(decoding: answer.body, as: UTF8.self).contains(row.body))
    #expect(answer.values(of: "latchkey-wire") == [WireVersions.spoken.headerValue])
    try await server.stop()
  }

  @Test func readyzSaysWhyTheStoreCannotBeUsed() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let holder = try SQLiteFile(folder.file)
    try holder.run("BEGIN IMMEDIATE")
    let refused = try await HTTPVersion.http1.send(Self.claim, port: server.port)
    #expect(refused.status == 503)
    #expect(String(decoding: refused.body, as: UTF8.self).contains("locked by another process"))
    let notReady = try await HTTPVersion.http1.send(Self.get("/readyz"), port: server.port)
    #expect(notReady.status == 503)
    #expect(String(decoding: notReady.body, as: UTF8.self).contains("locked by another process"))

    try holder.run("ROLLBACK")
    #expect(try await HTTPVersion.http1.send(Self.claim, port: server.port).status == 200)
    #expect(try await HTTPVersion.http1.send(Self.get("/readyz"), port: server.port).status == 200)
    try await server.stop()
  }

  @Test func aDeadlineIsKeptWhileTheStoreIsStuck() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let holder = try SQLiteFile(folder.file)
    try holder.run("BEGIN IMMEDIATE")
    var call = Self.claim
    call.headers.append(("connect-timeout-ms", "100"))
    let answer = try await HTTPVersion.http2.send(call, port: server.port)
    #expect(answer.status == 504)
    #expect(String(decoding: answer.body, as: UTF8.self).contains("deadline_exceeded"))
    try holder.run("ROLLBACK")
    try await server.stop()
  }

  /// Its owner, who was told that the store gives no answer, may have gone on at another server.
  @Test func whatWasAnsweredIsNotTriedAgainAfterAConflict() async throws {
    let database = MemoryDatabase(.optimistic)
    let plan = FaultPlan()
    let first = try await InProcessServer.start(
      engine: FaultyEngine(database.engine(), plan: plan), id: "first")
    let second = try await InProcessServer.start(engine: database.engine(), id: "second")
    for server in [first, second] { try await Self.serves(server) }
    // It waits for its turn for a while, so that it is answered before the turn has taken too long to go on.
    let before = plan.hold(.apply)
    async let held: Void = Self.serves(first)
    await before.arrival()
    async let claimed = HTTPVersion.http2.send(Self.claim, port: first.port)
    try await Task.sleep(for: .milliseconds(900))
    let writing = plan.hold(.apply)
    before.open()
    let answer = try await claimed
    #expect(answer.status == 503)
    #expect(String(decoding: answer.body, as: UTF8.self).contains("the store gives no answer"))
    #expect(try await HTTPVersion.http2.send(Self.claim, port: second.port).status == 200)
    writing.open()
    // Once these are done, so is what became of the first.
    try await held
    try await Self.serves(first)
    #expect(database.row(forKey: "k")?.revision == 1)
    for server in [first, second] { try await server.stop() }
  }

  /// A server that has just come waits before it does what clients ask.
  private static func serves(_ server: InProcessServer) async throws {
    let claim = Call.json(
      "Lock", #"{"resource":{"key":"other","owner":"o","type":"lock"},"ttl_in_seconds":60}"#)
    while try await HTTPVersion.http2.send(claim, port: server.port).status != 200 {
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  @Test func readyzAnswersWhileNoThreadOfTheStoreDoes() async throws {
    let database = MemoryDatabase()
    let plan = FaultPlan()
    let server = try await InProcessServer.start(
      engine: FaultyEngine(database.engine(), plan: plan))
    // Behind the claim there was the first scan, and the list is behind that: none is left to meet
    // the gate in the place of the question.
    for call in [Self.claim, .json("FetchAll", #"{"type":"lock"}"#)] {
      #expect(try await HTTPVersion.http2.send(call, port: server.port).status == 200)
    }
    let reading = plan.hold(.read)
    for (path, status) in [("/readyz", 503), ("/status", 200)] {
      let answer = try await HTTPVersion.http2.send(Self.get(path), port: server.port)
      #expect(answer.status == status)
      #expect(String(decoding: answer.body, as: UTF8.self).contains("the store gives no answer"))
    }
    reading.open()
    try await server.stop()
  }

  /// The answer to the first lets the second in, which has a deadline as well.
  @Test func deadlinesOfPipelinedCallsAreKept() async throws {
    let plan = FaultPlan()
    let server = try await InProcessServer.start(
      engine: FaultyEngine(MemoryDatabase().engine(), plan: plan))
    let writing = plan.hold(.apply)
    let body = #"{"resource":{"key":"k","owner":"o","type":"lock"},"ttlInSeconds":60}"#
    let request = """
      POST /latchkey.v1.Locks/Lock HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
      connect-timeout-ms: 1\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)
      """
    let connection = try await RawConnection.open(port: server.port)
    connection.send(Array((request + request + request).utf8))
    let answers = try await connection.receive {
      String(decoding: $0, as: UTF8.self).ranges(of: "HTTP/1.1 504 ").count >= 3
    }
    #expect(String(decoding: answers, as: UTF8.self).ranges(of: "deadline_exceeded").count == 3)
    connection.close()
    writing.open()
    try await server.stop()
  }

  @Test func aStoreThatHangsDoesNotHoldUpTheEnd() async throws {
    let plan = FaultPlan()
    let server = try await InProcessServer.start(
      engine: FaultyEngine(MemoryDatabase().engine(), plan: plan)
    ) { $0.limits.storeTimeout = .milliseconds(100) }
    #expect(try await HTTPVersion.http2.send(Self.claim, port: server.port).status == 200)
    let writing = plan.hold(.apply)
    try await server.stop()
    writing.open()
  }

  @Test func serversOfOneStoreKnowEachOther() async throws {
    let folder = try StoreFolder()
    let first = try await InProcessServer.start(store: folder.file, id: "first")
    let second = try await InProcessServer.start(store: folder.file, id: "second")
    // The second announces itself after it has begun to listen.
    let both = try await Self.status(of: first) { $0.contains("\"serverId\":\"second\"") }
    #expect(both.contains("\"software\":\"\(Release.version)\""))

    let presences = Call.json("FetchAll", #"{"type":"presence"}"#)
    let listed = try await HTTPVersion.http1.send(presences, port: first.port)
    #expect(String(decoding: listed.body, as: UTF8.self) == "{}")

    try await second.stop()
    let left = try await Self.status(of: first) { !$0.contains("\"serverId\":\"second\"") }
    #expect(left.contains("\"serverId\":\"first\""))
    try await first.stop()
  }

  /// Asks until the answer is as it should be; the test's own time limit ends what never is.
  private static func status(
    of server: InProcessServer, until isRight: (String) -> Bool
  ) async throws -> String {
    while true {
      let answer = try await HTTPVersion.http1.send(get("/status"), port: server.port)
      let text = String(decoding: answer.body, as: UTF8.self)
      if isRight(text) { return text }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  @Test func aRunThatWasKilledStandsBesideTheNextOne() async throws {
    let folder = try StoreFolder()
    let writer = try SQLiteFile(folder.file)
    let first = try await InProcessServer.start(store: folder.file, id: "same")
    _ = try await Self.status(of: first) { $0.contains("\"run\":") }
    // What a kill leaves behind: the presence of a run that does not renew it any more.
    try writer.run(
      "UPDATE latchkey_resources SET resource_key = '_latchkey/servers/same/dead', owner = 'dead'")
    let second = try await InProcessServer.start(store: folder.file, id: "same")
    let both = try await Self.status(of: second) {
      $0.ranges(of: "\"run\":").count >= 2
    }
    #expect(both.contains("\"run\":\"dead\""))
    try await second.stop()
    try await first.stop()
  }

  @Test func aConnectionThatSaysNothingDoesNotHoldUpTheEnd() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file) {
      $0.limits.drainTimeout = .hours(1)
    }
    let silent = try await RawConnection.open(port: server.port)
    // The server has accepted it by the time that it answers another one.
    _ = try await HTTPVersion.http1.send(Self.get("/healthz"), port: server.port)
    try await server.stop()
    #expect(try await silent.receive { _ in false } == [])
  }

  /// Answers that nobody reads are refused before they fill the memory, and others are served.
  @Test func aPeerThatReadsNothingTakesNoMoreThanItsPart() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let value = String(repeating: "v", count: 60_000)
    let claim = Call.json(
      "Lock",
      #"{"resource":{"key":"k","owner":"o","type":"lock","value":"\#(value)"},"ttlInSeconds":60}"#)
    #expect(try await HTTPVersion.http1.send(claim, port: server.port).status == 200)
    let deaf = try await RawConnection.open(port: server.port)
    let initialWindowSize: UInt16 = 4
    deaf.send(Frame.preface + Frame.settings([(initialWindowSize, 0)]).bytes)
    let streams = (0..<1_000).map { UInt32(2 * $0 + 1) }
    for stream in streams {
      let frames = Frame.request(.json("Fetch", #"{"key":"k"}"#), on: stream)
      deaf.send(frames.flatMap(\.bytes))
    }
    // The header fields of an answer wait for no window, so all can be told apart.
    @Sendable func heads(_ bytes: [UInt8]) -> [Frame] {
      Frame.parse(bytes).filter { $0.type == Frame.Kind.headers }
    }
    let answers = try await deaf.receive { heads($0).count >= streams.count }
    let indexed200: UInt8 = 0x88
    let granted = heads(answers).count { $0.payload.first == indexed200 }
    // A third of what it leaves free.
    let most = AnswerBudget.resourceBytesMax / 4 / value.utf8.count
    #expect(granted <= most && granted > most / 2)
    let other = try await HTTPVersion.http2.send(
      .json("Fetch", #"{"key":"k"}"#), port: server.port)
    #expect(other.status == 200)
    deaf.close()
    try await server.stop()
  }

  @Test func metricsAreWhatPrometheusReads() {
    let registry = PrometheusRegistry(help: ["hits_total": "Hits."])
    Counter(label: "hits_total", dimensions: [("code", "a\"b\\c\nd")], factory: registry)
      .increment(by: 3)
    Gauge(label: "level", factory: registry).record(1.5)
    FloatingPointCounter(label: "seconds_total", factory: registry).increment(by: 0.25)
    let timer = Metrics.Timer(label: "took_seconds", factory: registry)
    timer.recordNanoseconds(1_000_000)
    timer.recordNanoseconds(20_000_000_000)
    let text = registry.text()
    for line in [
      "# HELP hits_total Hits.", "# TYPE hits_total counter",
      #"hits_total{code="a\"b\\c\nd"} 3"#, "# TYPE level gauge", "level 1.5",
      "# TYPE seconds_total counter", "seconds_total 0.25", "# TYPE took_seconds histogram",
      #"took_seconds_bucket{le="0.0005"} 0"#, #"took_seconds_bucket{le="0.001"} 1"#,
      #"took_seconds_bucket{le="10"} 1"#, #"took_seconds_bucket{le="+Inf"} 2"#,
      "took_seconds_sum 20.001", "took_seconds_count 2",
    ] {
      #expect(text.split(separator: "\n").contains { $0 == line }, "no \(line) in \(text)")
    }
  }
}
