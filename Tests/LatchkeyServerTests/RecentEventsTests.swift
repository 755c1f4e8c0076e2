import Access
import LatchkeyServer
import LockContent
import TestKit
import Testing

/// What a server remembers of what happened.
@Suite(.timeLimit(.minutes(2))) struct RecentEventsTests {
  private func events(
    _ server: InProcessServer, _ query: String = "", over http: HTTPVersion = .http2
  ) async throws -> [[String: AttributeValue]] {
    let answer = try await http.send(
      Call(method: "GET", path: "/events\(query)", headers: [], body: []), port: server.port)
    #expect(answer.status == 200)
    let text = String(decoding: answer.body, as: UTF8.self)
    let all = try #require(Attributes(exactly: text), "\(text)").values
    guard case .list(let events)? = all["events"] else { return [] }
    return events.compactMap { if case .nested(let event) = $0 { event.values } else { nil } }
  }

  private func status(
    _ method: String, _ body: String, _ server: InProcessServer, over http: HTTPVersion
  ) async throws -> Int {
    var call = Call.json(method, body, wire: 3)
    call.headers.append(("x-request-id", "r-1"))
    return try await http.send(call, port: server.port).status
  }

  @Test(arguments: HTTPVersion.allCases)
  func whoDidWhatIsKept(_ http: HTTPVersion) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file) { $0.serverID = "here" }
    let key = "a key/ü"
    #expect(
      try await status(
        "Acquire", #"{"key":"\#(key)","owner":"o","lease":"60s"}"#, server, over: http) == 200)
    #expect(
      try await status("Renew", #"{"key":"\#(key)","token":"1"}"#, server, over: http) == 200)
    #expect(
      try await status("Release", #"{"key":"\#(key)","owner":"o"}"#, server, over: http) == 200)
    #expect(
      try await status("Renew", #"{"key":"\#(key)","token":"1"}"#, server, over: http) != 200)
    #expect(
      try await status(
        "Acquire", #"{"key":"short","owner":"o","lease":"0.5s"}"#, server, over: http) == 200)
    while try await !events(server).contains(where: { $0["event"] == "ended" }) {
      try await Task.sleep(for: .milliseconds(20))
    }
    let all = try await events(server)
    #expect(
      all.map { $0["event"] }
        == ["started", "granted", "released", "lost", "granted", "ended"].map {
          Optional(AttributeValue.string($0))
        })
    let of = try await events(server, "?key=a%20key%2f%C3%BC", over: http)
    #expect(of.count == 3)
    #expect(of.allSatisfy { $0["key"] == .string(key) && $0["serverId"] == "here" })
    #expect(of.allSatisfy { $0["token"] == "1" && $0["requestId"] == "r-1" })
    #expect(of.allSatisfy { "\($0["peer"] ?? .null)".contains("127.0.0.1:") })
    #expect(of[1]["owner"] == "o" && of[2]["owner"] == nil)
    let latest = try await events(server, "?limit=1&key=short")
    #expect(latest.count == 1 && latest[0]["event"] == "ended" && latest[0]["peer"] == nil)
    for query in ["?limit=0", "?limit=1001", "?limit=x"] {
      let answer = try await http.send(
        Call(method: "GET", path: "/events\(query)", headers: [], body: []), port: server.port)
      #expect(answer.status == 400)
    }
    try await server.stop()
  }

  @Test func asManyAreKeptAsThereIsRoomFor() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    for number in 0..<510 {
      for (method, more) in [("Acquire", #","lease":"60s""#), ("Release", "")] {
        let body = #"{"key":"k\#(number)","owner":"o"\#(more)}"#
        #expect(try await status(method, body, server, over: .http2) == 200)
      }
    }
    let all = try await events(server, "?limit=1000")
    #expect(all.count == 1_000)
    #expect(all.first?["key"] == "k10" && all.last?["key"] == "k509")
    #expect(all.last?["event"] == "released")
    try await server.stop()
  }

  /// Who asks for what it does not hold, again and again, leaves room for the others.
  @Test func refusalsDoNotTakeAllTheRoom() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let acquire = #"{"key":"k","owner":"o","lease":"60s"}"#
    #expect(try await status("Acquire", acquire, server, over: .http2) == 200)
    let renewals = (0..<1_000).map { _ in #"{"key":"k","token":"77"}"# }.joined(separator: ",")
    for _ in 0..<3 {
      _ = try await status("RenewMany", #"{"renewals":[\#(renewals)]}"#, server, over: .http2)
    }
    let all = try await events(server, "?limit=1000")
    #expect(all.contains { $0["event"] == "granted" } && all.count < 500)
    try await server.stop()
  }

  @Test func deniedAndReloadsAreEventsForWhoMayOperate() async throws {
    let folder = try StoreFolder()
    try folder.write("anybody operate\nanybody hold a/*", to: "policy")
    let access = try AccessControl(AccessControl.Sources(policy: folder.path("policy")))
    let server = try await InProcessServer.start(store: folder.file) { $0.access = access }
    let acquire = #"{"key":"b","owner":"o","lease":"60s"}"#
    #expect(try await status("Acquire", acquire, server, over: .http2) == 403)
    let denied = try await events(server, "?key=b")
    #expect(denied.count == 1 && denied[0]["event"] == "denied")
    try folder.write("anybody hold a/*", to: "policy")
    #expect(server.reload())
    var refused = 200
    while refused == 200 {
      refused = try await HTTPVersion.http2.send(
        Call(method: "GET", path: "/events", headers: [], body: []), port: server.port
      ).status
    }
    #expect(refused == 403)
    try await server.stop()
  }
}
