import HTTPServer
import Exclusion
import TestKit
import Testing
import WireSchema

/// The opening exchange of a connection, frame by frame against a real server.
@Suite("Handshake", .timeLimit(.minutes(3)))
struct HandshakeTests {
  private static let lock = Call.json(
    "Lock", #"{"resource":{"key":"k","owner":"o","type":"lock"},"ttlInSeconds":15}"#)

  /// Random bits that repeat with their seed.
  private static func random(seed: UInt64) -> @Sendable () -> UInt64 {
    let state = Mutex(SeededGenerator(seed: seed))
    return { state.withLock { $0.next() } }
  }

  // MARK: - What the server says

  @Test("the server opens with its range in SETTINGS and a HELLO")
  func opening() async throws {
    let folder = try StoreFolder()
    // Bits of 0 mean no unknown settings, no unknown fields, and one unknown frame that is empty.
    let server = try await InProcessServer.start(store: folder.file, id: "node-a") {
      $0.random = { 0 }
    }
    let connection = try await RawConnection.open(port: server.port)
    connection.send(Frame.preface + Frame.settings([]).bytes)
    let frames = try await Self.frames(connection) { $0.contains { $0.isSettingsAck } }
    connection.close()
    try await server.stop()

    let settings = try #require(frames.first)
    #expect(settings.type == Frame.Kind.settings && settings.stream == 0)
    #expect(settings.settings.map(\.id) == [0x0003, 0x0004, 0x0006, 0x4C4B])
    #expect(
      settings.settings.map(\.value) == [1_024, 262_144, 16_384, WireVersions.spoken.settingsValue])
    let hello = frames.filter { $0.type == Frame.Kind.hello }
    let spoken = WireVersions.spoken
    let expected = Latchkey_Handshake_V1_Hello.with {
      $0.software = Release.version
      $0.serverID = "node-a"
      $0.wire = spoken.message
      $0.reason = "this release speaks \(spoken)"
    }
    #expect(hello == [Frame(type: 0x4C, payload: try expected.serializedBytes())])
    #expect(
      Set(frames.map(\.type)) == [
        Frame.Kind.settings, Frame.Kind.windowUpdate, Frame.Kind.hello, 0x0B,
      ])
  }

  @Test("what the server greases with is what the specification sets aside")
  func serverGrease() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file, id: "node-a") {
      $0.random = Self.random(seed: 7)
    }
    var settingsSeen = 0
    var framesSeen = 0
    var fieldsSeen = 0
    for _ in 0..<60 {
      let connection = try await RawConnection.open(port: server.port)
      connection.send(Frame.preface + Frame.settings([]).bytes)
      let frames = try await Self.frames(connection) { $0.contains { $0.isSettingsAck } }
      connection.close()
      let first = try #require(frames.first)
      #expect(
        first.settings.filter { $0.id == 0x4C4B }.map(\.value) == [
          WireVersions.spoken.settingsValue
        ])
      let unknown = first.settings.map(\.id).filter { ![3, 4, 6, 0x4C4B].contains($0) }
      #expect(unknown.allSatisfy { $0 & 0x0F0F == 0x0A0A })
      settingsSeen += unknown.count
      let known = [Frame.Kind.settings, Frame.Kind.windowUpdate, Frame.Kind.hello]
      let grease = frames.filter { !known.contains($0.type) }
      #expect(grease.allSatisfy { $0.type % 0x1F == 0x0B && $0.stream == 0 && $0.flags == 0 })
      framesSeen += grease.count
      let payload = try #require(frames.first { $0.type == Frame.Kind.hello }?.payload)
      var hello = try #require(HelloFrame.decode(payload))
      fieldsSeen += hello.unknownFields.data.count
      hello.unknownFields = .init()
      #expect(hello.serverID == "node-a" && hello.wire == WireVersions.spoken.message)
    }
    try await server.stop()
    // A server that sends nothing unknown would let peers depend on that.
    #expect(settingsSeen > 0 && framesSeen > 0 && fieldsSeen > 0)
  }

  @Test("the range follows the fleet, on the live connection: SETTINGS, HELLO and headers")
  func fleet() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file, id: "new")
    let connection = try await RawConnection.open(port: server.port)
    connection.send(Frame.preface + Frame.settings([]).bytes)
    var hellos = 0
    func nextOffer(_ range: WireRange) async throws -> Latchkey_Handshake_V1_Hello {
      hellos += 1
      let frames = try await Self.frames(connection) { [hellos] frames in
        frames.compactMap(Self.hello).count >= hellos
      }
      let hello = try #require(frames.compactMap(Self.hello).last)
      #expect(WireRange(hello.wire) == range)
      let settings = frames.filter { $0.type == Frame.Kind.settings }.flatMap(\.settings)
        .last { $0.id == WireRange.settingID }
      #expect(settings?.value == range.settingsValue)
      return hello
    }
    #expect(
      try await nextOffer(WireVersions.spoken).reason
        == "this release speaks \(WireVersions.spoken)")

    // An older server comes, as its presence has it; then it goes.
    let older = WireRange(oldest: 1, newest: 2)!
    let file = try SQLiteFile(folder.file)
    try file.run(
      """
      INSERT INTO latchkey_resources
      (resource_key, needs_shape, token, revision, kind, owner, value, lease_seconds) VALUES
      ('_latchkey/servers/old/1', 1, 1, 1, 2, 'old/1',
        '{"software":"0.2.0","wireOldest":1,"wireNewest":2,"shapeOldest":1,"shapeNewest":1}', 3600)
      """)
    #expect(
      try await nextOffer(older).reason
        == "server old (0.2.0) speaks v1 to v2, this one \(WireVersions.spoken)")
    let answer = try await HTTPVersion.http1.send(
      .json("Fetch", #"{"key":"k"}"#), port: server.port)
    #expect(answer.value(of: "latchkey-wire") == "1-2")
    // What is not offered is understood all the same.
    let newest = Call.json("Get", #"{"key":"k"}"#, wire: 3)
    #expect(try await HTTPVersion.http2.send(newest, port: server.port).status == 404)

    try file.run(
      "UPDATE latchkey_resources SET owner = NULL, revision = 2 WHERE resource_key LIKE '%/old/1'")
    _ = try await nextOffer(WireVersions.spoken)
    connection.close()
    try await server.stop()
  }

  private static func hello(_ frame: Frame) -> Latchkey_Handshake_V1_Hello? {
    frame.type == Frame.Kind.hello ? HelloFrame.decode(frame.payload) : nil
  }

  // MARK: - What the server takes

  @Test("a server works with every client, however greased")
  func greasedClients() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    for seed in UInt64(0)..<150 {
      var client = GreasedClient(seed: seed)
      let connection = try await RawConnection.open(port: server.port)
      connection.send(client.opening(Self.lock))
      let frames = try await Self.frames(connection) { frames in
        frames.contains { $0.type == Frame.Kind.data && $0.flags & Frame.endStream != 0 }
      }
      connection.close()
      // 0x88 is ":status: 200" (RFC 7541, appendix A).
      let head = frames.first { $0.type == Frame.Kind.headers && $0.stream == 1 }
      #expect(head?.payload.first == 0x88, "seed \(seed)")
      #expect(!frames.contains { $0.type == Frame.Kind.goAway }, "seed \(seed)")
      let body = frames.filter { $0.type == Frame.Kind.data }.flatMap(\.payload)
      #expect(body == Array("{}".utf8), "seed \(seed)")
    }
    try await server.stop()
  }

  // MARK: - Ranges on answers

  @Test("a version that is not spoken is answered with the range", arguments: HTTPVersion.allCases)
  func tooNew(_ http: HTTPVersion) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    var call = Self.lock
    call.path = "/latchkey.v9.Locks/Lock"
    let answer = try await http.send(call, port: server.port)
    try await server.stop()

    #expect(answer.status == 501)
    let error = RPCError(json: answer.body, httpStatus: answer.status)
    #expect(error.code == .unimplemented)
    let detail = try #require(error.details.first)
    #expect(detail.type == "latchkey.handshake.v1.WireRange")
    let message = try Latchkey_Handshake_V1_WireRange(serializedBytes: detail.value)
    #expect(WireRange(message) == WireVersions.spoken)
    #expect(answer.values(of: "latchkey-wire") == [WireVersions.spoken.headerValue])
  }

  @Test("every answer carries latchkey-wire once", arguments: HTTPVersion.allCases)
  func headerOnEveryAnswer(_ http: HTTPVersion) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let json = [("content-type", "application/json")]
    let calls: [(call: Call, status: Int)] = [
      (Self.lock, 200),
      (.json("Fetch", #"{"key":"none"}"#), 404),
      (.json("Lock", "{}"), 400),
      (.json("Nothing", "{}"), 501),
      (Call(method: "GET", path: "/latchkey.v1.Locks/Lock", headers: [], body: []), 405),
      (Call(path: "/latchkey.v1.Locks/Lock", headers: [("content-type", "a/b")], body: []), 415),
      (Call(path: "/latchkey.v9.Locks/Lock", headers: json, body: []), 501),
      (Call(path: "/nothing", headers: json, body: []), 404),
      (
        Call(
          path: "/latchkey.v1.Locks/Lock", headers: json,
          body: Array(repeating: 0x20, count: 524_289)), 413
      ),
      (Call(method: "GET", path: "/healthz", headers: [], body: []), 200),
      (Call(method: "GET", path: "/readyz", headers: [], body: []), 200),
      (Call(method: "GET", path: "/status", headers: [], body: []), 200),
      (Call(method: "GET", path: "/metrics", headers: [], body: []), 404),
      (Call(path: "/healthz", headers: json, body: []), 405),
    ]
    for (call, status) in calls {
      let answer = try await http.send(call, port: server.port)
      #expect(answer.status == status, "\(call.method) \(call.path)")
      #expect(
        answer.values(of: "latchkey-wire") == [WireVersions.spoken.headerValue],
        "\(call.method) \(call.path)")
    }
    try await server.stop()
  }

  @Test(
    "what is no HTTP is answered and carries latchkey-wire as well",
    arguments: [
      "GARBAGE\r\n\r\n", "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", "PRI * HTTP/3.0\r\n\r\n",
    ])
  func headerOnMalformed(_ text: String) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let connection = try await RawConnection.open(port: server.port)
    connection.send(Array(text.utf8))
    // Ends when the server has closed.
    let bytes = try await connection.receive { _ in false }
    connection.close()
    try await server.stop()
    let answer = try #require(HTTP1Answer.parse(bytes))
    #expect(answer.status == 400)
    #expect(answer.values(of: "latchkey-wire") == [WireVersions.spoken.headerValue])
    #expect(answer.values(of: "connection") == ["close"])
  }

  private static func frames(
    _ connection: RawConnection, until isEnough: @escaping @Sendable ([Frame]) -> Bool
  ) async throws -> [Frame] {
    Frame.parse(try await connection.receive { isEnough(Frame.parse($0)) })
  }
}

extension Frame {
  fileprivate var isSettingsAck: Bool { type == Kind.settings && isAck }
}

/// A client that sends all that a peer has to ignore, as its seed says.
private struct GreasedClient {
  private var bits: SeededGenerator

  init(seed: UInt64) { bits = SeededGenerator(seed: seed) }

  /// Preface, SETTINGS, HELLO and one call on stream 1, with grease before, between and after.
  mutating func opening(_ call: Call) -> [UInt8] {
    var frames = [Frame.settings(settings())]
    frames += noise()
    if Bool.random(using: &bits) { frames.append(hello()) }
    frames += noise()
    if Bool.random(using: &bits) { frames.append(.settings(settings())) }
    let request = Frame.request(call, on: 1)
    frames.append(request[0])
    frames += noise(stream: 1)
    frames.append(request[1])
    frames += noise()
    return Frame.preface + frames.flatMap(\.bytes)
  }

  /// Unknown settings, and sometimes the handshake's, with or without meaning.
  private mutating func settings() -> [(id: UInt16, value: UInt32)] {
    var entries: [(id: UInt16, value: UInt32)] = []
    for _ in 0..<Int.random(in: 0...12, using: &bits) {
      // Above those that RFC 9113 and its extensions define.
      entries.append(
        (.random(in: 0x20...0x4C4A, using: &bits), .random(in: 0 ... .max, using: &bits)))
    }
    let offers: [UInt32?] = [
      nil, 0, WireVersions.spoken.settingsValue, 0x0007_0001, 0x0009_0005, 0x0001_0002, 0xffff_ffff,
      0xffff_0000,
    ]
    if let offer = offers.randomElement(using: &bits) ?? nil {
      entries.insert((0x4C4B, offer), at: Int.random(in: 0...entries.count, using: &bits))
    }
    return entries
  }

  /// HELLOs with unknown fields, of other layouts, empty, over the bound, or on a stream.
  private mutating func hello() -> Frame {
    let sound = Latchkey_Handshake_V1_Hello.with { $0.software = "test" }
    let payloads: [[UInt8]] = [
      HelloFrame.encode(sound, grease: bits.next()), [], [0xff, 0xff, 0xff],
      Array(repeating: 0x2a, count: HelloFrame.bytesMax + 1),
    ]
    return Frame(
      type: Frame.Kind.hello, flags: .random(in: 0 ... .max, using: &bits),
      payload: payloads.randomElement(using: &bits) ?? [])
  }

  /// Frames of types that nobody defines.
  private mutating func noise(stream: UInt32 = 0) -> [Frame] {
    (0..<Int.random(in: 0...3, using: &bits)).map { _ in
      let length = Int.random(in: 0...300, using: &bits)
      return Frame(
        type: .random(in: 0x20...0x4B, using: &bits), flags: .random(in: 0 ... .max, using: &bits),
        stream: stream, payload: (0..<length).map { _ in .random(in: 0 ... .max, using: &bits) })
    }
  }
}
