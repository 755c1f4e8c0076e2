import Foundation
import SwiftProtobuf
import TestKit
import Testing
import WireSchema

/// Every exchange of Protocol/vectors, replayed against a real server over real sockets. Each one
/// starts from an empty store.
@Suite("Vectors", .timeLimit(.minutes(10)))
struct VectorTests {
  private static let loaded = Result {
    try WireVersions.all.map { $0.number }.flatMap { try VectorFile.all(in: "v\($0)") }
  }
  private static let files = (try? loaded.get()) ?? []

  @Test("each wire version has sound vectors")
  func filesAreSound() throws {
    #expect(try Self.loaded.get().count >= 12)
    for version in WireVersions.all {
      let folder = "v\(version.number)"
      #expect(try !VectorFile.all(in: folder).isEmpty)
    }
  }

  @Test("the server answers as recorded", arguments: files, HTTPVersion.allCases)
  func replay(_ file: VectorFile, _ http: HTTPVersion) async throws {
    var count = 0
    for vector in file.vectors where vector.http.contains(http) {
      for (contentType, body) in vector.bodies.sorted(by: { $0.key < $1.key }) {
        let label =
          "\(file.testDescription) \(vector.name) \(contentType) over HTTP/\(http.rawValue)"
        do {
          try await Replay(
            vector, wire: file.wire, http, contentType: contentType, body: body, label
          ).run()
        } catch {
          Issue.record("\(label): \(error)")
        }
        count += 1
      }
    }
    #expect(count > 0)
  }
}

/// One vector against servers and a store of its own.
private struct Replay {
  private let vector: Vector
  private let wire: UInt32
  private let http: HTTPVersion
  private let call: Call
  private let label: String

  init(
    _ vector: Vector, wire: UInt32, _ http: HTTPVersion, contentType: String, body: [UInt8],
    _ label: String
  ) {
    self.vector = vector
    self.wire = wire
    self.http = http
    self.label = label
    let type = contentType.isEmpty ? [] : [("content-type", contentType)]
    call = Call(
      method: vector.method, path: vector.path, headers: type + vector.headers, body: body)
  }

  func run() async throws {
    let folder = try StoreFolder()
    var servers: [String: InProcessServer] = [:]
    func server(_ name: String) async throws -> InProcessServer {
      if let running = servers[name] { return running }
      let started = try await InProcessServer.start(store: folder.file, id: name)
      servers[name] = started
      return started
    }
    func perform(_ step: Vector.Step) async throws {
      switch step {
      case .call(let method, let message, let name):
        let call = Call.json(method, try message.jsonString(), wire: wire)
        let answer = try await http.send(call, port: server(name).port)
        #expect(answer.status == 200, "\(method) beside \(label)")
      case .restart:
        for (_, running) in servers { try await running.stop() }
        servers = [:]
      case .sql(let statement): try SQLiteFile(folder.file).run(statement)
      }
    }
    for step in vector.setup { try await perform(step) }
    let port = try await server("a").port
    async let underWay = http.send(call, port: port)
    for step in vector.meanwhile { try await perform(step) }
    let answer = try await underWay
    for (_, running) in servers { try await running.stop() }
    try check(answer)
  }

  private func check(_ answer: Answer) throws {
    #expect(answer.status == vector.status, "\(label)")
    let range = answer.value(of: "\(WireRange.headerName)").flatMap(WireRange.init(headerValue:))
    #expect(range?.contains(wire) == true, "\(label): latchkey-wire")
    #expect(answer.values(of: "content-encoding").isEmpty, "\(label)")
    for (name, value) in vector.requiredHeaders {
      #expect(answer.values(of: name) == [value], "\(label): \(name)")
    }
    switch vector.outcome {
    case .text(let text): #expect(String(decoding: answer.body, as: UTF8.self) == text, "\(label)")
    case .message(let json, let proto): try check(answer, json: json, proto: proto)
    case .error(let expected): try check(answer, expected)
    }
  }

  private func check(_ answer: Answer, json: JSONValue?, proto: [UInt8]?) throws {
    let type = try #require(answer.value(of: "content-type"), "\(label)")
    let sent = call.headers.first { $0.0 == "content-type" }?.1
    #expect(Codec(contentType: type) == sent.flatMap(Codec.init(contentType:)), "\(label)")
    if type == Codec.proto.contentType {
      #expect(answer.body == proto, "\(label)")
    } else {
      #expect(try JSONValue(jsonUTF8Bytes: answer.body) == json, "\(label)")
    }
  }

  private func check(_ answer: Answer, _ expected: Vector.ExpectedError) throws {
    #expect(answer.value(of: "content-type") == Codec.json.contentType, "\(label)")
    let body = try JSONValue(jsonUTF8Bytes: answer.body)
    #expect(try body.member("code").string == expected.code, "\(label)")
    let message = body.object?["message"]?.string ?? ""
    if let wanted = expected.message {
      #expect(expected.isPrefix ? message.hasPrefix(wanted) : message == wanted, "\(label)")
    }
    let details = body.object?["details"]?.list ?? []
    #expect(
      details.map { $0.object?["type"]?.string } == expected.details.map(\.type), "\(label)")
    for (detail, wanted) in zip(details, expected.details) {
      guard let bytes = wanted.value else { continue }
      let base64 = try #require(detail.object?["value"]?.string)
      let padded = base64 + String(repeating: "=", count: (4 - base64.count % 4) % 4)
      // It has the same fields in v2 and v3.
      var refusal = try Latchkey_V3_Refusal(
        serializedBytes: [UInt8](try #require(Data(base64Encoded: padded))))
      #expect(refusal.hasLeaseLeft == !refusal.owner.isEmpty, "\(label)")
      refusal.clearLeaseLeft()
      #expect(try refusal.serializedBytes() == bytes, "\(label)")
    }
  }
}
