import LockContent
import TestKit
import Testing
import WireSchema

/// Names that would take long to look up: refused in requests, and harmless in rows that have them already.
@Suite struct CombiningMarksTests {
  private static let long = "n" + Marks.run(31)
  private static let short = "n" + Marks.run(30)

  struct Refusal: Sendable, CustomTestStringConvertible {
    var method: String
    /// The body with a name in the place of `*`.
    var body: String
    var word: String

    var testDescription: String { "\(method) \(body)" }

    func call(_ name: String) -> Call {
      let parts = body.utf8.split(separator: UInt8(ascii: "*"))
      return .json(method, parts.map { "\(Substring($0))" }.joined(separator: name), wire: 3)
    }
  }

  static let refusals = [
    Refusal(
      method: "Acquire", body: #"{"key":"k","owner":"o","lease":"9s","attributes":{"*":1}}"#,
      word: "invalid-attributes"),
    Refusal(
      method: "Acquire",
      body: #"{"key":"k","owner":"o","lease":"9s","attributes":{"a":[{"*":1}]}}"#,
      word: "invalid-attributes"),
    Refusal(
      method: "Acquire", body: #"{"key":"k","owner":"o","lease":"9s","labels":{"*":"t"}}"#,
      word: "invalid-labels"),
    Refusal(
      method: "Renew", body: #"{"key":"k","token":"1","attributes":{"*":1}}"#,
      word: "invalid-attributes"),
    Refusal(
      method: "Renew", body: #"{"key":"k","token":"1","labels":{"*":"t"}}"#,
      word: "invalid-labels"),
    Refusal(
      method: "RenewMany", body: #"{"renewals":[{"key":"k","token":"1","attributes":{"*":1}}]}"#,
      word: "invalid-renewals: number 1: invalid-attributes"),
    Refusal(
      method: "List", body: #"{"attributes":{"*":1}}"#, word: "invalid-attributes"),
    Refusal(method: "List", body: #"{"labels":{"*":"t"}}"#, word: "invalid-labels"),
    // What was wrong before it was looked at still is.
    Refusal(
      method: "Acquire", body: #"{"key":"k","owner":"o","lease":"0s","attributes":{"*":1}}"#,
      word: "invalid-lease"),
  ]

  @Test func requestsWithSuchANameAreRefused() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    // Also as many as fit into a body: the time that this takes is not the square of it.
    for name in [Self.long, "n" + Marks.run(120_000)] {
      for refusal in Self.refusals {
        let answer = try await HTTPVersion.http2.send(refusal.call(name), port: server.port)
        #expect(answer.status == 400)
        let text = String(decoding: answer.body, as: UTF8.self)
        #expect(text.contains("\"message\":\"\(refusal.word)"), "\(refusal): \(text)")
      }
    }
    // Thirty are not too many.
    let answer = try await HTTPVersion.http2.send(
      Self.refusals[1].call(Self.short), port: server.port)
    #expect(answer.status == 200)
    try await server.stop()
  }

  @Test func aValueWithSuchANameHasNoAttributes() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let long = "{\"n\(Marks.run(30_000))\":1}"
    try await Self.claim("long", long, server)
    try await Self.claim("short", "{\"\(Self.short)\":1}", server)
    let read = try await Self.get("long", server)
    #expect(!read.hasAttributes && read.value.isSameText(as: long))
    #expect(try await Self.get("short", server).hasAttributes)

    let listed = try await Self.list(.init(), server)
    #expect(listed.map(\.key) == ["long", "short"])
    #expect(listed.map(\.hasAttributes) == [false, true])
    #expect(listed[0].value.isSameText(as: long))
    try await server.stop()
  }

  /// Servers of 0.3.0 kept such attributes, in s2 and among the terms.
  @Test(arguments: [true, false]) func rowsThatHaveSuchAttributesAreShownAsText(
    _ isS1Maintained: Bool
  ) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let attributes: Attributes = [Self.long: 1, "zone": "z1", "é": [.nested([Self.long: .null])]]
    let text = attributes.json
    try await Self.claim("k", text, server)
    let content = [1] + withUnsafeBytes(of: text.hash64.bigEndian) { Array($0) } + attributes.binary
    let store = try SQLiteFile(folder.file)
    try store.run(
      """
      UPDATE latchkey_resources SET s2_content = x'\(content.map(Self.hexadecimal).joined())'
        WHERE resource_key = 'k';
      INSERT INTO latchkey_terms VALUES ('k', '{"zone":"z1"}')
      """)
    if !isS1Maintained {
      try store.run(
        "UPDATE latchkey_resources SET value = '', lease_seconds = -1 WHERE resource_key = 'k'")
    }
    for _ in 0..<2 {
      let read = try await Self.get("k", server)
      #expect(!read.hasAttributes && read.value.isSameText(as: text))
      #expect(try await Self.list(.init(), server).map(\.key) == ["k"])
      let filtered = NewestWire.ListRequest.with { $0.attributes = ["zone": "z1"] }
      #expect(try await Self.list(filtered, server).isEmpty)
      // Written anew, it stays what it is.
      let renewal = NewestWire.RenewRequest.with {
        $0.key = "k"
        $0.token = read.token
      }
      guard
        case .renew(let renewed) = try await Self.send(.renew, .renew(renewal), server)
      else { return }
      #expect(renewed.grant.token == read.token)
    }
    try await server.stop()
  }

  @Test func pathsAndEncodingsOfMarksAreNotLookedAtForLong() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let marks = Marks.run(3_000)
    let nowhere = try await HTTPVersion.http1.send(
      Call(method: "GET", path: "/\(marks)", headers: [], body: []), port: server.port)
    #expect([400, 404].contains(nowhere.status))
    for header in ["content-type", "content-encoding"] {
      var call = Call.json("Get", "{}", wire: 3)
      call.headers.removeAll { $0.0 == header }
      call.headers.append((header, marks))
      let answer = try await HTTPVersion.http1.send(call, port: server.port)
      #expect([400, 415, 501].contains(answer.status), "\(header): \(answer.status)")
    }
    try await server.stop()
  }

  // MARK: - Calls of v3 in protobuf

  private static func hexadecimal(_ byte: UInt8) -> String {
    String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
  }

  private static func send(
    _ method: NewestWire.Method, _ request: NewestWire.Request, _ server: InProcessServer
  ) async throws -> NewestWire.Response {
    let call = Call(
      path: NewestWire.path(of: method), headers: [("content-type", Codec.proto.contentType)],
      body: try request.encoded(.proto))
    let answer = try await HTTPVersion.http2.send(call, port: server.port)
    try #require(answer.status == 200, "\(String(decoding: answer.body, as: UTF8.self))")
    return try NewestWire.Response(method, answer.body, .proto)
  }

  private static func claim(_ key: String, _ value: String, _ server: InProcessServer) async throws
  {
    let request = NewestWire.AcquireRequest.with {
      $0.key = key
      $0.owner = "o"
      $0.value = value
      $0.lease = .init(seconds: 600)
    }
    _ = try await send(.acquire, .acquire(request), server)
  }

  private static func get(
    _ key: String, _ server: InProcessServer
  ) async throws -> NewestWire.Resource {
    let answer = try await send(.get, .get(.with { $0.key = key }), server)
    guard case .get(let message) = answer else { throw PeerFault(message: "\(answer)") }
    return message.resource
  }

  private static func list(
    _ request: NewestWire.ListRequest, _ server: InProcessServer
  ) async throws -> [NewestWire.Resource] {
    let answer = try await send(.list, .list(request), server)
    guard case .list(let message) = answer else { throw PeerFault(message: "\(answer)") }
    return message.resources
  }
}
