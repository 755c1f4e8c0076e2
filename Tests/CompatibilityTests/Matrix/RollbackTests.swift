import Foundation
import LatchkeyServer
import LockCore
import Storage
import SwiftProtobuf
import TestKit
import Testing

/// *shared-store* and *free-rollback* with real servers of every release on one file: the way back, and
/// forward again.
@Suite("Rollback", .serialized, .timeLimit(.minutes(5)))
struct RollbackTests {
  private static let older = ReleasedPrograms.all.filter { !$0.isHead }

  @Test(
    "what this version writes, older ones read, renew and release; nothing is lost on the way",
    arguments: older)
  func thereAndBack(_ older: ReleasedPrograms) async throws {
    let folder = try StoreFolder()
    let everything =
      #""lease":"3600.250s","labels":{"team":"payments"},"attributes":{"zone":"z1","cores":8},"#
      + #""grantedAt":"2026-11-25T12:00:00.250Z""#
    func acquire(_ key: String, _ more: String) -> Call {
      .json("Acquire", #"{"key":"\#(key)","owner":"me",\#(more)}"#, wire: 3)
    }
    try await Self.run(.head, folder) { port in
      for key in ["kept", "renewed", "released", "granted-anew"] {
        try await Self.expect(200, acquire(key, everything), port)
      }
      try await Self.expect(200, acquire("short", #""lease":"0.250s""#), port)
      try await Self.expect(
        200, acquire("text", #""lease":"3600s","value":" {\"b\" : 1}""#), port)
    }

    // The way back: the older release sees texts and whole seconds.
    try await Self.run(older, folder, kill: true) { port in
      for (key, value) in [
        ("kept", #"{"cores":8,"zone":"z1"}"#), ("renewed", #"{"cores":8,"zone":"z1"}"#),
        ("text", #" {"b" : 1}"#),
      ] {
        #expect(try await Self.fetch(key, port)?["value"]?.string == value)
      }
      try await Self.expect(200, Self.lock("renewed", "me", value: #"{"zone":"z2"}"#), port)
      for key in ["released", "granted-anew"] {
        try await Self.expect(200, Self.release(key, "me"), port)
      }
      // The same owner and value as before: only the token tells the grants apart.
      try await Self.expect(
        200, Self.lock("granted-anew", "me", value: #"{"cores":8,"zone":"z1"}"#), port)
      try await Self.expect(409, Self.lock("kept", "you", value: ""), port)
      // A lease of less than a second ends here too, and not before.
      try await Self.until { try await Self.fetch("short", port) == nil }
    }

    // Forward again: all is there that still has a meaning.
    try await Self.run(.head, folder) { port in
      func get(_ key: String) async throws -> [String: JSONValue]? {
        let answer = try await HTTPVersion.http2.send(
          .json("Get", #"{"key":"\#(key)"}"#, wire: 3), port: port)
        guard answer.status == 200 else { return nil }
        return try JSONValue(jsonUTF8Bytes: answer.body).member("resource").object
      }
      let expected = try JSONValue(jsonString: "{\(everything)}").object ?? [:]
      let kept = try #require(try await get("kept"))
      for (name, value) in expected { #expect(kept[name] == value, "\(name)") }
      let renewed = try #require(try await get("renewed"))
      #expect(renewed["token"] == "1" && renewed["lease"] == "60s")
      #expect(renewed["labels"] == expected["labels"])
      #expect(renewed["grantedAt"] == expected["grantedAt"])
      #expect(renewed["attributes"]?.object == ["zone": "z2"])
      #expect(renewed["value"] == #"{"zone":"z2"}"#)
      let anew = try #require(try await get("granted-anew"))
      #expect(anew["token"] == "2" && anew["labels"] == nil && anew["grantedAt"] == nil)
      #expect(anew["attributes"] == expected["attributes"])
      for key in ["released", "short"] { #expect(try await get(key) == nil) }
    }
  }

  /// A server of a shape to come lets three readers share a lock, which older shapes cannot say.
  @Test(
    "several holders of a newer shape: shown as held, left alone, and no obstacle for ever",
    arguments: ReleasedPrograms.all)
  func escapeHatch(_ release: ReleasedPrograms) async throws {
    let folder = try StoreFolder()
    try await Self.run(release, folder) { port in
      try await Self.expect(200, Self.lock("shared", "reader-1", value: "v", seconds: 2), port)
      let newer = KnownShapes.all.newest + 1
      let file = try SQLiteFile(folder.file)
      func row() throws -> [String: String?] {
        try #require(
          try file.run("SELECT * FROM latchkey_resources WHERE resource_key = 'shared'").first)
      }
      // Its holders live, so its revision moves, for longer than the lease lasts. The lease is so
      // long that a machine which stands still for seconds does not end it.
      for revision in 10...22 {
        try file.run(
          """
          UPDATE latchkey_resources SET needs_shape = \(newer), kind = 7, revision = \(revision),
          owner = '3 readers', lease_seconds = 5 WHERE resource_key = 'shared'
          """)
        let before = try row()
        try await Self.expect(409, Self.lock("shared", "you", value: ""), port)
        try await Self.expect(400, Self.lock("shared", "3 readers", value: ""), port)
        try await Self.expect(400, Self.release("shared", "3 readers"), port)
        try await Self.expect(409, Self.release("shared", "reader-1"), port)
        #expect(try await Self.fetch("shared", port)?["owner"]?.string == "3 readers")
        #expect(try row() == before)
        try await Task.sleep(for: .milliseconds(500))
      }
      // They are gone: the lease ends by the common rule, and the row is an ordinary one again.
      try await Self.until {
        try await HTTPVersion.http1.send(Self.lock("shared", "you", value: "w"), port: port).status
          == 200
      }
      let freed = try row()
      #expect(freed["needs_shape"] == "1" && freed["token"] == "2" && freed["owner"] == "you")
    }
  }

  @Test(
    "a release that is too old says so in one line, exits with 69 and changes nothing",
    arguments: older.filter { $0.newestShape < S2.number })
  func tooOld(_ older: ReleasedPrograms) async throws {
    let folder = try StoreFolder()
    try await Self.run(.head, folder, ["--rollback-releases", "0"]) { port in
      try await Self.expect(200, Self.lock("k", "me", value: "v"), port)
    }
    let file = try SQLiteFile(folder.file)
    try file.run(
      "UPDATE latchkey_meta SET value = 2, note = '0.3.0 or newer' WHERE name = 'oldest_shape'")
    let all =
      "SELECT * FROM latchkey_resources ORDER BY id; SELECT * FROM latchkey_meta ORDER BY name"
    let before = try file.run(all)
    let program = try Program(
      older.server, ["--listen", "127.0.0.1:0", "--store", "sqlite:\(folder.file)"])
    let result = try await program.result()
    #expect(result.end == .exited(69) && result.output == [])
    #expect(result.errors.count == 1)
    let line = result.errors.first ?? ""
    #expect(line.contains("holds shapes s2 to s3, this server knows only s1"))
    #expect(line.hasSuffix("it needs 0.3.0 or newer"))
    #expect(try file.run(all) == before)
  }

  @Test("a shape is kept for a server that lives, and given up once nobody does who needs it")
  func givenUp() async throws {
    guard let release = Self.older.first else { return }
    let folder = try StoreFolder()
    let file = try SQLiteFile(folder.file)
    let older = try await ServerProgram.start(release.server, store: folder.file)
    do {
      try await Self.until {
        try !file.run("SELECT 1 FROM latchkey_resources WHERE resource_key LIKE '_latchkey/%'")
          .isEmpty
      }
      let server = try await InProcessServer.start(store: folder.file) {
        $0.rollback = RollbackAllowance(releases: 0)
        $0.limits.fleetSettleTime = .seconds(1)
      }
      try await Self.expect(200, Self.lock("key", "me", value: "v"), older.port)
      // Longer than it would take without the older one.
      try await Task.sleep(for: .seconds(4))
      func status() async throws -> String {
        let answer = try await HTTPVersion.http1.send(
          Call(method: "GET", path: "/status", headers: [], body: []), port: server.port)
        return String(decoding: answer.body, as: UTF8.self)
      }
      #expect(try await status().contains("shape s1 is kept for server "))
      try await Self.expect(200, Self.lock("key", "me", value: "w"), older.port)

      // It stands still until its presence has ended.
      older.program.signal(SIGSTOP)
      try await Self.until { try await status().contains(#""oldestShape":3"#) }
      older.program.signal(SIGCONT)
      let refused = try await HTTPVersion.http1.send(
        Self.lock("key", "me", value: "x"), port: older.port)
      #expect(refused.status == 503)
      let text = String(decoding: refused.body, as: UTF8.self)
      #expect(text.contains("holds shapes s3 to s3, this server knows only s1"))
      #expect(text.contains("it needs 0.5.0 or newer"))
      #expect(try await Self.fetch("key", server.port)?["value"]?.string == "w")
      try await server.stop()
    } catch {
      try? await older.kill()
      throw error
    }
    try await older.kill()
  }

  // MARK: - Servers and calls

  private static func run(
    _ release: ReleasedPrograms, _ folder: StoreFolder, _ arguments: [String] = [],
    kill: Bool = false, _ body: (_ port: Int) async throws -> Void
  ) async throws {
    let server = try await ServerProgram.start(
      release.server, store: folder.file, arguments: arguments)
    do {
      try await body(server.port)
    } catch {
      try? await server.kill()
      throw error
    }
    if kill { try await server.kill() } else { try await server.end() }
  }

  private static func call(_ method: String, wire: UInt32, _ message: [String: JSONValue]) -> Call {
    // A message of strings and numbers always encodes.
    .json(method, (try? Google_Protobuf_Struct(fields: message).jsonString()) ?? "", wire: wire)
  }

  private static func lock(
    _ key: String, _ owner: String, value: String, seconds: Int = 60
  ) -> Call {
    let resource: Google_Protobuf_Struct = [
      "key": .init(stringValue: key), "owner": .init(stringValue: owner), "type": "lock",
      "value": .init(stringValue: value),
    ]
    return call(
      "Lock", wire: 1,
      [
        "resource": .init(structValue: resource),
        "ttlInSeconds": .init(numberValue: Double(seconds)),
      ])
  }

  private static func release(_ key: String, _ owner: String) -> Call {
    let resource: Google_Protobuf_Struct = [
      "key": .init(stringValue: key), "owner": .init(stringValue: owner),
    ]
    return call("Release", wire: 1, ["resource": .init(structValue: resource)])
  }

  private static func fetch(_ key: String, _ port: Int) async throws -> [String: JSONValue]? {
    let answer = try await HTTPVersion.http1.send(
      call("Fetch", wire: 1, ["key": .init(stringValue: key)]), port: port)
    guard answer.status == 200 else { return nil }
    return try JSONValue(jsonUTF8Bytes: answer.body).member("resource").object
  }

  private static func expect(
    _ status: Int, _ call: Call, _ port: Int, sourceLocation: SourceLocation = #_sourceLocation
  ) async throws {
    let answer = try await HTTPVersion.http1.send(call, port: port)
    #expect(
      answer.status == status, "\(String(decoding: answer.body, as: UTF8.self))",
      sourceLocation: sourceLocation)
  }

  private static func until(_ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while try await !condition() {
      try #require(ContinuousClock.now < deadline, "in vain")
      try await Task.sleep(for: .milliseconds(50))
    }
  }
}
