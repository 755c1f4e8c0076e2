import Foundation
import LockCore
import Storage
import StorageSQLite
import SwiftProtobuf
import TestKit
import Testing

/// Databases that released versions left behind, opened by this one.
@Suite("Time capsules", .timeLimit(.minutes(3)))
struct TimeCapsuleTests {
  private static let versions = (try? ProtocolFiles.capsules()) ?? []

  /// A copy of a capsule's database, and what the version said was in it.
  private struct Capsule {
    let folder: StoreFolder
    let rows: [[String: JSONValue]]
    let meta: [String: Int64]
    /// By their keys; only from s2 on.
    let terms: [String: [String]]

    init(_ version: String) throws {
      folder = try StoreFolder()
      try FileManager.default.copyItem(
        at: ProtocolFiles.capsule(version, "store.db"), to: URL(fileURLWithPath: folder.file))
      let bytes = Array(try Data(contentsOf: ProtocolFiles.capsule(version, "store.json")))
      let recorded = try JSONValue(jsonUTF8Bytes: bytes)
      rows = try (recorded.member("latchkey_resources").list ?? []).compactMap(\.object)
      meta = Dictionary(
        uniqueKeysWithValues: try (recorded.member("latchkey_meta").list ?? []).map {
          (try $0.member("name").string ?? "", try $0.member("value").integer ?? -1)
        })
      let pairs = try (recorded.object?["latchkey_terms"]?.list ?? []).map {
        (try $0.member("resource_key").string ?? "", [try $0.member("term").string ?? ""])
      }
      terms = Dictionary(pairs, uniquingKeysWith: +)
    }

    /// Runs SQL on the copy, as another program would.
    @discardableResult
    func run(_ statements: String) throws -> [[String: String?]] {
      try SQLiteFile(folder.file).run(statements)
    }
  }

  @Test("there is a capsule")
  func exists() throws {
    #expect(try ProtocolFiles.capsules().contains("0.1.0"))
  }

  @Test("every row and fact reads as it was recorded", arguments: versions)
  func reads(_ version: String) throws {
    let capsule = try Capsule(version)
    let writer = try SQLiteEngine(path: capsule.folder.file).openWriter()
    let ids = capsule.rows.compactMap { $0["id"]?.integer }
    let facts = try writer.read(Wanted(ids: ids))
    writer.forget()
    let (rows, meta) = (facts.byID.compactMap(\.self), facts.meta)

    #expect(capsule.rows.count > 8 && rows.count == capsule.rows.count)
    for (row, recorded) in zip(rows, capsule.rows) {
      #expect(row.damage == nil)
      #expect(row.id == recorded["id"]?.integer)
      #expect(row.needsShape == recorded["needs_shape"]?.integer)
      #expect(row.freeEpoch == recorded["free_epoch"]?.integer)
      #expect(row.record.key == recorded["resource_key"]?.string)
      #expect(row.record.token == recorded["token"]?.integer)
      #expect(row.record.revision == recorded["revision"]?.integer)
      let holder = row.record.holder
      #expect(holder?.owner == recorded["owner"]?.string)
      if let holder {
        #expect(holder.kind.rawValue == recorded["kind"]?.integer)
        #expect(holder.content.text == recorded["value"]?.string)
        #expect(holder.lease.seconds == recorded["lease_seconds"]?.integer)
      }
    }
    #expect(meta.tokenFloor == capsule.meta["token_floor"] && meta.tokenFloor > 0)
    #expect(meta.epoch == capsule.meta["epoch"])
    #expect(meta.oldestShape == capsule.meta["oldest_shape"])
  }

  @Test("what only newer shapes say is there, whoever wrote last", arguments: versions)
  func newerShapes(_ version: String) throws {
    let capsule = try Capsule(version)
    guard capsule.rows.contains(where: { $0["s2_token"] != nil }) else { return }
    let engine = SQLiteEngine(path: capsule.folder.file)
    // It adds what is missing.
    _ = try engine.openWriter()
    let reader = try engine.openReader()
    func row(_ key: String) throws -> StoredRow? { try reader.read(Wanted(keys: [key])).byKey[0] }
    func holder(_ key: String) throws -> Holder? { try row(key)?.record.holder }
    for key in capsule.rows.compactMap({ $0["resource_key"]?.string }) {
      guard let row = try row(key), row.isFilled else { continue }
      #expect(capsule.terms[key] ?? [] == Terms.of(row.record.holder).sorted(), "\(key)")
    }
    #expect(capsule.terms["attributes"]?.count == 5 && capsule.terms["labels"]?.count == 2)
    let labels = ["team": "payments", "size": "größe"]
    let time = StatedTime(milliseconds: 1_795_608_000_250)
    #expect(try holder("labels")?.labels == labels && holder("labels")?.grantedAt == time)
    #expect(try holder("milliseconds")?.lease == Lease(milliseconds: 3_600_250))
    #expect(try holder("labels-released") == nil)
    if version.compare("0.5.0", options: .numeric) != .orderedAscending {
      let owned = try #require(try holder("owned"))
      #expect(owned.identity == "token:worker" && owned.content == "by nobody who is known")
      #expect(try holder("owned-released") == nil)
    }
    #expect(try holder("held")?.identity == "")
    let renewed = try #require(try holder("labels-renewed-by-v1"))
    #expect(renewed.labels == ["team": "payments"] && renewed.content.attributes == ["zone": "z2"])
    let spelled = try #require(try holder("spelled"))
    #expect(spelled.content.text == #" {"zone" : "z1", "cores" : 8.0}"#)
    #expect(spelled.content.attributes == ["zone": "z1", "cores": 8])
    #expect(try holder("inexact")?.content.attributes == nil)
    #expect(
      try holder("attributes")?.content.attributes
        == [
          "s": "ü", "n": -1.5, "t": true, "f": false, "z": .null, "list": [1, ["2"]],
          "nested": ["deep": [:]],
        ])
  }

  @Test(
    "a server serves it: holders hold, the free is granted with a greater token",
    arguments: versions)
  func serves(_ version: String) async throws {
    let capsule = try Capsule(version)
    let server = try await InProcessServer.start(store: capsule.folder.file)
    // The shorter leases may end while the test runs.
    for row in capsule.rows where (row["lease_seconds"]?.integer ?? 0) >= 3_600 {
      let key = try #require(row["resource_key"])
      let fetched = try await call("Fetch", ["key": key], server)
      guard let owner = row["owner"]?.string else {
        #expect(fetched.status == 404)
        continue
      }
      let resource = try JSONValue(jsonUTF8Bytes: fetched.body).member("resource")
      #expect(resource.object?["owner"]?.string == owner)
      #expect(resource.object?["value"]?.string ?? "" == row["value"]?.string)
      #expect(try await claim(key, "somebody else", server).status == 409)
      #expect(try await claim(key, JSONValue(stringValue: owner), server).status == 200)
    }
    #expect(try await claim("released", "somebody else", server).status == 200)
    #expect(try await claim("collected", "somebody else", server).status == 200)
    try await server.stop()

    let tokens = Dictionary(
      uniqueKeysWithValues: try capsule.run(
        "SELECT resource_key, token FROM latchkey_resources"
      ).map { ($0["resource_key"]! ?? "", Int64($0["token"]! ?? "") ?? 0) })
    for row in capsule.rows {
      let key = try #require(row["resource_key"]?.string)
      let recorded = try #require(row["token"]?.integer)
      let now = try #require(tokens[key])
      if key == "released" {
        #expect(now == recorded + 1)
      } else if (row["lease_seconds"]?.integer ?? 0) >= 3_600 {
        #expect(now == recorded, "\(key): a renewal keeps its token")
      }
    }
    // Its row was collected, so the floor remembers: 0.1.0 granted it five times.
    #expect(try #require(tokens["collected"]) > capsule.meta["token_floor"] ?? .max)
  }

  // MARK: - What a later version may add

  /// What a server of a shape that nobody knows yet does to a database: columns and tables of its own, and rows
  /// that only it may act on.
  private static let future = """
    ALTER TABLE latchkey_resources ADD COLUMN s8_labels TEXT;
    CREATE TABLE latchkey_readers (resource_id INTEGER NOT NULL, reader TEXT NOT NULL);
    INSERT INTO latchkey_meta (name, value, note) VALUES ('backfill_cursor', 17, 'later');
    UPDATE latchkey_meta SET value = 8 WHERE name = 'newest_shape';
    UPDATE latchkey_resources SET s8_labels = 'labels of ' || resource_key;
    INSERT INTO latchkey_readers SELECT id, 'reader' FROM latchkey_resources;
    UPDATE latchkey_resources SET needs_shape = 8, revision = revision + 1, lease_seconds = 3600
      WHERE resource_key IN ('held', 'presence');
    UPDATE latchkey_resources SET needs_shape = 8, revision = revision + 1, lease_seconds = 1,
      kind = 7 WHERE resource_key = 'renewed';
    """

  @Test("beside a newer shape: its rows are left alone, its columns survive", arguments: versions)
  func newerShape(_ version: String) async throws {
    let capsule = try Capsule(version)
    try capsule.run(Self.future)
    let server = try await InProcessServer.start(store: capsule.folder.file)

    // A row that needs a newer server is held by its owner, and neither renewed nor released.
    for (key, owner) in [("held", "worker-1"), ("presence", "cell-7")] {
      let before = try row(key, capsule)
      let fetched = try await call("Fetch", ["key": JSONValue(stringValue: key)], server)
      let resource = try JSONValue(jsonUTF8Bytes: fetched.body).member("resource")
      #expect(resource.object?["owner"]?.string == owner)
      let key = JSONValue(stringValue: key)
      #expect(try await code(claim(key, "somebody else", server)) == "already_exists")
      #expect(try await code(release(key, "somebody else", server)) == "already_exists")
      #expect(
        try await code(claim(key, JSONValue(stringValue: owner), server)) == "failed_precondition")
      #expect(
        try await code(release(key, JSONValue(stringValue: owner), server)) == "failed_precondition"
      )
      #expect(try row(key.string ?? "", capsule) == before)
    }

    // An ordinary row is renewed, and what is not known here stays.
    #expect(try await claim("held-again", "worker-2", server).status == 200)
    let renewed = try row("held-again", capsule)
    #expect(renewed["s8_labels"] == "labels of held-again")
    #expect(renewed["revision"] == "4")

    // Its lease ends by the common rule, and then it is ordinary again.
    let freed = try await eventually {
      try await self.claim("renewed", "worker-9", server).status == 200
    }
    #expect(freed, "a lease of a second has to end")
    let granted = try row("renewed", capsule)
    #expect(granted["needs_shape"] == "1")
    #expect(granted["token"] == "7")
    #expect(granted["s8_labels"] == "labels of renewed")
    try await server.stop()

    let later = try capsule.run(
      "SELECT value, note FROM latchkey_meta WHERE name = 'backfill_cursor'")
    #expect(later == [["value": "17", "note": "later"]])
    let readers = try capsule.run("SELECT * FROM latchkey_readers")
    #expect(readers.count == capsule.rows.count)
  }

  private static let contracted = """
    UPDATE latchkey_meta SET value = 8 WHERE name = 'newest_shape';
    UPDATE latchkey_meta SET value = 8, note = '0.9.0' WHERE name = 'oldest_shape';
    """

  @Test(
    "a store that has left every known shape behind is refused and not touched", arguments: versions
  )
  func contractedStore(_ version: String) async throws {
    let capsule = try Capsule(version)
    try capsule.run(Self.contracted)
    let before = try contents(capsule)
    let refusal = await #expect(throws: StoreError.self) {
      _ = try await InProcessServer.start(store: capsule.folder.file)
    }
    #expect(refusal?.code == .tooOldServer)
    #expect(refusal?.message.contains("it needs 0.9.0") == true)
    #expect(try contents(capsule) == before)
  }

  @Test("a server that lives when its shapes are dropped is fenced", arguments: versions)
  func fencedWhileRunning(_ version: String) async throws {
    let capsule = try Capsule(version)
    let server = try await InProcessServer.start(store: capsule.folder.file)
    #expect(try await claim("held", "worker-1", server).status == 200)
    try capsule.run(Self.contracted)
    let before = try contents(capsule)
    #expect(try await code(claim("held", "worker-1", server)) == "unavailable")
    #expect(try await code(release("held", "worker-1", server)) == "unavailable")
    #expect(try await code(call("Fetch", ["key": "held"], server)) == "unavailable")
    #expect(try await code(call("FetchAll", ["type": "lock"], server)) == "unavailable")
    let ready = try await HTTPVersion.http1.send(
      Call(method: "GET", path: "/readyz", headers: [], body: []), port: server.port)
    #expect(ready.status == 503)
    try await server.stop()
    #expect(try contents(capsule) == before)
  }

  // MARK: - Calls and looks

  private func call(
    _ method: String, _ message: [String: JSONValue], _ server: InProcessServer
  ) async throws -> Answer {
    let body = try Google_Protobuf_Struct(fields: message).jsonString()
    return try await HTTPVersion.http2.send(.json(method, body), port: server.port)
  }

  private func claim(
    _ key: JSONValue, _ owner: JSONValue, _ server: InProcessServer
  ) async throws -> Answer {
    let resource = Google_Protobuf_Struct(fields: ["key": key, "owner": owner, "type": "lock"])
    return try await call(
      "Lock", ["resource": JSONValue(structValue: resource), "ttlInSeconds": 3_600], server)
  }

  private func release(
    _ key: JSONValue, _ owner: JSONValue, _ server: InProcessServer
  ) async throws -> Answer {
    let resource = Google_Protobuf_Struct(fields: ["key": key, "owner": owner])
    return try await call("Release", ["resource": JSONValue(structValue: resource)], server)
  }

  private func code(_ answer: Answer) throws -> String? {
    try JSONValue(jsonUTF8Bytes: answer.body).object?["code"]?.string
  }

  private func row(_ key: String, _ capsule: Capsule) throws -> [String: String?] {
    let rows = try capsule.run(
      "SELECT * FROM latchkey_resources WHERE resource_key = '\(key)'")
    return try #require(rows.first)
  }

  private func contents(_ capsule: Capsule) throws -> [[String: String?]] {
    try capsule.run(
      "SELECT * FROM latchkey_resources ORDER BY id; SELECT * FROM latchkey_meta ORDER BY name")
  }

  /// Asks until `condition` holds, for half a minute at most.
  private func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < deadline {
      if try await condition() { return true }
      try await Task.sleep(for: .milliseconds(50))
    }
    return false
  }
}
