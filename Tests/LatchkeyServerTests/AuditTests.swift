import Access
import Files
import Glibc
import LatchkeyServer
import LockContent
import Logging
import TestKit
import Testing

/// What the account says of what was done, and what becomes of it where it cannot be written.
@Suite(.timeLimit(.minutes(2))) struct AuditTests {
  private let folder: StoreFolder
  private let tokens = ["one": Tokens.new(), "two": Tokens.new()]
  private let log: String

  init() throws {
    folder = try StoreFolder()
    log = folder.path("audit")
    try folder.write(
      tokens.map { Tokens.line(for: $1, name: $0) }.joined(separator: "\n"), to: "tokens")
    try folder.write("token:one hold,read a/*\ntoken:two hold,break a/*", to: "policy")
  }

  private func server(
    _ path: String? = nil, isRequired: Bool = false
  ) async throws -> InProcessServer {
    let access = try AccessControl(
      AccessControl.Sources(policy: folder.path("policy"), tokens: folder.path("tokens")))
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let audit = try AuditLog(
      path ?? log, of: "audited", isRequired: isRequired, logger: logger)
    return try await InProcessServer.start(store: folder.file) {
      $0.access = access
      $0.audit = audit
    }
  }

  private func status(
    _ call: Call, by name: String?, _ server: InProcessServer, over http: HTTPVersion = .http2
  ) async throws -> Int {
    var call = call
    if let name { call.headers.append(("authorization", "Bearer \(tokens[name] ?? name)")) }
    call.headers.append(("x-request-id", "r-1"))
    return try await http.send(call, port: server.port).status
  }

  private func take(_ key: String, _ owner: String = "o", lease: Double = 60) -> Call {
    .json("Acquire", #"{"key":"\#(key)","owner":"\#(owner)","lease":"\#(lease)s"}"#, wire: 3)
  }

  private func release(_ key: String) -> Call {
    .json("Release", #"{"key":"\#(key)","owner":"o"}"#, wire: 3)
  }

  private static func text(_ path: String) throws -> String {
    String(decoding: try FileReading.bytes(of: path, max: 1 << 20), as: UTF8.self)
  }

  /// The lines so far, each of which is an object.
  private func lines(_ path: String? = nil) throws -> [[String: AttributeValue]] {
    let text = try Self.text(path ?? log)
    return try text.split(separator: "\n").map { line in
      try #require(Attributes(exactly: String(line)), "\(line)").values
    }
  }

  private func said(
    _ event: String, _ members: [String: AttributeValue], in path: String? = nil
  ) async throws {
    while try !lines(path).contains(where: { line in
      line["event"] == .string(event) && members.allSatisfy { line[$0.key] == $0.value }
    }) {
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  @Test(arguments: HTTPVersion.allCases)
  func whoDidWhatIsTold(_ http: HTTPVersion) async throws {
    let server = try await server()
    #expect(try await status(take("a/k"), by: "one", server, over: http) == 200)
    try await said(
      "granted",
      [
        "key": "a/k", "owner": "o", "kind": "lock", "token": "1", "identity": "token:one",
        "by": "token:one", "requestId": "r-1",
      ])
    // A renewal is no event; one by another is.
    #expect(try await status(take("a/k"), by: "one", server, over: http) == 200)
    let renew = Call.json("Renew", #"{"key":"a/k","token":"1"}"#, wire: 3)
    #expect(try await status(renew, by: "two", server, over: http) == 200)
    try await said(
      "renewed",
      ["key": "a/k", "identity": "token:one", "by": "token:two", "break": .boolean(true)])
    #expect(try await status(release("a/k"), by: "two", server, over: http) == 200)
    try await said(
      "released", ["key": "a/k", "token": "1", "by": "token:two", "break": .boolean(true)])
    #expect(try await status(take("a/short", lease: 0.05), by: "one", server, over: http) == 200)
    try await said("ended", ["key": "a/short", "identity": "token:one", "owner": "o"])
    #expect(try await status(take("b"), by: "one", server, over: http) == 403)
    try await said(
      "denied",
      ["by": "token:one", "code": "permission_denied", "key": "b", "requestId": "r-1"])
    #expect(try await status(take("a/k"), by: "wrong", server, over: http) == 401)
    try await said("denied", ["code": "unauthenticated"])
    #expect(try await status(take("a/k2"), by: "two", server, over: http) == 200)
    #expect(try await status(release("a/k2"), by: "one", server, over: http) == 403)
    let many = Call.json(
      "RenewMany", #"{"renewals":[{"key":"a/k2","token":"1"},{"key":"c","token":"1"}]}"#, wire: 3)
    #expect(try await status(many, by: "one", server, over: http) == 200)
    try await said(
      "denied", ["reason": "permission-denied: 2 of 2 renewals, of \"a/k2\", \"c\""])
    try folder.write("token:one hold *", to: "policy")
    #expect(server.reload())
    try await said("policy-changed", ["rules": "1"])
    try folder.write("token:one hold", to: "policy")
    #expect(server.reload())
    try await said("policy-refused", [:])
    try await server.stop()
    let all = try lines()
    #expect(all.first?["event"] == "started" && all.last?["event"] == "stopped")
    #expect(all.allSatisfy { $0["server"] == "audited" })
    #expect(all.count(where: { $0["event"] == "renewed" }) == 1)
    let peers = all.compactMap { $0["peer"] }
    #expect(peers.count > 5 && peers.allSatisfy { "\($0)".contains("127.0.0.1:") })
    // Neither a token nor what was taken for one.
    let text = try Self.text(log)
    #expect(!text.contains("latchkey_") && !text.contains("wrong") && !text.contains("_latchkey/"))
  }

  /// What a peer says stays within its line.
  @Test func nobodyForgesALine() async throws {
    let server = try await server()
    let owner = #"o\"}\n{\"event\":\"granted\",\"by\":\"token:root\"}\u2028"#
    #expect(try await status(take("a/k", owner), by: "one", server) == 200)
    try await said("granted", ["key": "a/k"])
    try await server.stop()
    #expect(try lines().count == 3)
    #expect(try !lines().contains { $0["by"] == "token:root" })
  }

  @Test func aFileThatWasMovedAwayIsLeft() async throws {
    let server = try await server()
    #expect(try await status(take("a/1"), by: "one", server) == 200)
    try await said("granted", ["key": "a/1"])
    #expect(rename(log, log + ".1") == 0)
    #expect(server.reload())
    while access(log, F_OK) != 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(try await status(take("a/2"), by: "one", server) == 200)
    try await said("granted", ["key": "a/2"])
    try await server.stop()
    #expect(try lines(log + ".1").count == 2)
    var file = stat()
    #expect(stat(log, &file) == 0 && file.st_mode & 0o777 == 0o600)
  }

  @Test func aFileThatWasRemovedIsMadeAnew() async throws {
    let server = try await server(isRequired: true)
    #expect(try await status(take("a/1"), by: "one", server) == 200)
    #expect(unlink(log) == 0)
    #expect(try await status(take("a/2"), by: "one", server) == 200)
    #expect(try lines().contains { $0["key"] == .string("a/2") })
    try await server.stop()
  }

  /// As where what reads a pipe stands still: it goes on in a file when that is there in the place of the pipe.
  @Test func aPipeThatNobodyReadsIsAFailure() async throws {
    #expect(mkfifo(log, 0o600) == 0)
    let reader = open(log, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    defer { close(reader) }
    let server = try await server(isRequired: true)
    var number = 0
    repeat { number += 1 } while try await status(take("a/\(number)"), by: "one", server) == 200
    let ready = Call(method: "GET", path: "/readyz", headers: [], body: [])
    #expect(try await HTTPVersion.http1.send(ready, port: server.port).status == 503)
    #expect(rename(log, log + ".1") == 0)
    #expect(server.reload())
    while try await status(take("a/0"), by: "one", server) != 200 {}
    try await said("granted", ["key": "a/0"])
    try await server.stop()
  }

  @Test func aFullDiskStopsNothingUnlessTheLogIsRequired() async throws {
    var server = try await server("/dev/full")
    for key in ["a/1", "a/2"] {
      #expect(try await status(take(key), by: "one", server) == 200)
      #expect(try await status(release(key), by: "one", server) == 200)
    }
    #expect(try await status(take("a/1"), by: "one", server) == 200)
    try await server.stop()

    server = try await self.server("/dev/full", isRequired: true)
    // From the first one on.
    #expect(try await status(take("a/2"), by: "one", server) == 503)
    #expect(try await status(release("a/1"), by: "one", server) == 503)
    let ready = Call(method: "GET", path: "/readyz", headers: [], body: [])
    #expect(try await HTTPVersion.http1.send(ready, port: server.port).status == 503)
    // Older clients renew so.
    #expect(try await status(take("a/1"), by: "one", server) == 200)
    let renew = Call.json("Renew", #"{"key":"a/1","token":"2"}"#, wire: 3)
    #expect(try await status(renew, by: "one", server) == 200)
    let get = Call.json("Get", #"{"key":"a/1"}"#, wire: 3)
    #expect(try await status(get, by: "one", server) == 200)
    try await server.stop()
  }

  @Test func whereItIsRequiredItIsWrittenBeforeTheAnswer() async throws {
    let server = try await server(isRequired: true)
    for number in 1...20 {
      #expect(try await status(take("a/\(number)"), by: "one", server) == 200)
      #expect(try lines().contains { $0["key"] == .string("a/\(number)") })
    }
    try await server.stop()
  }
}
