import Access
import LatchkeyServer
import TestKit
import Testing

/// How much an identity may use: beyond it that one is refused, and nobody else.
@Suite(.timeLimit(.minutes(2))) struct LimitTests {
  private let folder: StoreFolder
  private let tokens = ["one": Tokens.new(), "two": Tokens.new()]

  init() throws {
    folder = try StoreFolder()
    try folder.write(
      tokens.map { Tokens.line(for: $1, name: $0) }.joined(separator: "\n"), to: "tokens")
  }

  private func server(_ policy: String) async throws -> InProcessServer {
    try folder.write(policy, to: "policy")
    let access = try AccessControl(
      AccessControl.Sources(policy: folder.path("policy"), tokens: folder.path("tokens")))
    return try await InProcessServer.start(store: folder.file) { $0.access = access }
  }

  private func status(
    _ call: Call, by name: String, _ server: InProcessServer,
    over http: HTTPVersion = .http2
  ) async throws -> Int {
    var call = call
    if let token = tokens[name] { call.headers.append(("authorization", "Bearer \(token)")) }
    let answer = try await http.send(call, port: server.port)
    if answer.status == 429 {
      let text = String(decoding: answer.body, as: UTF8.self)
      #expect(text.contains("resource_exhausted") && text.contains("limit-reached: "), "\(text)")
    }
    return answer.status
  }

  private func take(_ key: String, wire: UInt32 = 3) -> Call {
    wire == 1
      ? .json(
        "Lock", #"{"resource":{"key":"\#(key)","owner":"o","type":"lock"},"ttl_in_seconds":60}"#)
      : .json("Acquire", #"{"key":"\#(key)","owner":"o","lease":"60s"}"#, wire: wire)
  }

  @Test(arguments: HTTPVersion.allCases, [UInt32(1), 2, 3])
  func keysThatAreHeld(_ http: HTTPVersion, _ wire: UInt32) async throws {
    var server = try await server("anybody hold,read *\nlimit token:* held=3")
    for number in 1...3 {
      #expect(
        try await status(take("k\(number)", wire: wire), by: "one", server, over: http) == 200)
    }
    // Until it has looked through its store, a server does not know who holds how much.
    for isRestarted in [false, true] {
      if isRestarted {
        try await server.stop()
        server = try await self.server("anybody hold,read *\nlimit token:* held=3")
      }
      while try await status(take("more", wire: wire), by: "one", server, over: http) != 429 {
        #expect(isRestarted)
        let release = Call.json("Release", #"{"key":"more","owner":"o"}"#, wire: 3)
        #expect(try await status(release, by: "one", server) == 200)
      }
      // What it holds it may keep, and others may take more.
      #expect(try await status(take("k1", wire: wire), by: "one", server, over: http) == 200)
    }
    #expect(try await status(take("other", wire: wire), by: "two", server, over: http) == 200)
    let release = Call.json("Release", #"{"key":"k2","owner":"o"}"#, wire: 3)
    #expect(try await status(release, by: "one", server) == 200)
    #expect(try await status(take("more", wire: wire), by: "one", server, over: http) == 200)
    #expect(try await status(take("k2", wire: wire), by: "one", server, over: http) == 429)
    try await server.stop()
  }

  private func wait(_ owner: String, for seconds: Double) -> Call {
    .json(
      "Acquire", #"{"key":"k","owner":"\#(owner)","lease":"60s","wait":"\#(seconds)s"}"#, wire: 3)
  }

  @Test func requestsThatWait() async throws {
    let server = try await server("anybody hold *\nlimit token:one waiting=2")
    #expect(try await status(take("k"), by: "two", server) == 200)
    let all = [("o", "two"), ("a", "one"), ("b", "one"), ("d", "two"), ("e", "two"), ("f", "two")]
    try await withThrowingTaskGroup(of: Int.self) { group in
      for (owner, name) in all.dropFirst() {
        group.addTask {
          // The places may be taken by those that are over at once.
          while true {
            let status = try await status(wait(owner, for: 60), by: name, server)
            if status != 429 { return status }
          }
        }
        guard owner == "b" else { continue }
        // One that is over gives its place back.
        while try await status(wait("c", for: 0.01), by: "one", server) != 429 {}
      }
      group.addTask {
        while !Task.isCancelled {
          for (owner, name) in all {
            let release = Call.json("Release", #"{"key":"k","owner":"\#(owner)"}"#, wire: 3)
            _ = try await status(release, by: name, server)
          }
        }
        return 0
      }
      for _ in all.dropFirst() { #expect(try await group.next() == 200) }
      group.cancelAll()
    }
    try await server.stop()
  }

  @Test func requestsInASecond() async throws {
    let server = try await server(
      "anybody hold *\nlimit token:one requests=5\nlimit nobody requests=0")
    // It holds nothing, and asks for something else each time.
    let (start, clock) = (ContinuousClock.now, ContinuousClock())
    var served = 0
    for number in 1...100 where try await status(take("n\(number)"), by: "one", server) == 200 {
      served += 1
    }
    let seconds = (clock.now - start).components.seconds
    #expect(served >= 5 && served <= 5 * (Int(seconds) + 2))
    // What it holds it may renew and give back.
    for _ in 1...20 {
      let renew = Call.json("Renew", #"{"key":"n1","token":"1"}"#, wire: 3)
      #expect(try await status(renew, by: "one", server) == 200)
    }
    let release = Call.json("Release", #"{"key":"n1","owner":"o"}"#, wire: 3)
    #expect(try await status(release, by: "one", server) == 200)
    for _ in 1...50 { #expect(try await status(take("k2"), by: "two", server) == 200) }
    #expect(try await status(take("k3"), by: "nobody", server) == 429)
    // Later it may ask again.
    while try await status(take("later"), by: "one", server) != 200 {}
    try await server.stop()
  }
}
