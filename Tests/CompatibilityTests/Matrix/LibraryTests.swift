import LatchkeyClient
import TestKit
import Testing
import WireSchema

/// The client library with a server of every version: what an older one cannot do is translated, or
/// refused by name.
@Suite("Library with servers of every version", .serialized, .timeLimit(.minutes(5)))
struct LibraryTests {
  private func run(
    _ release: ReleasedPrograms, _ route: Route,
    _ body: (LatchkeyClient, Stage) async throws -> Void
  ) async throws {
    try await Stage.run(server: release, route) { stage in
      try await withClient(of: stage) { try await body($0, stage) }
    }
  }

  private func withClient(
    of stage: Stage, _ body: (LatchkeyClient) async throws -> Void
  ) async throws {
    var configuration = LatchkeyClient.Configuration(endpoints: [try Endpoint(stage.address)])
    configuration.requestTimeout = .seconds(100)
    configuration.connectTimeout = .seconds(100)
    configuration.pollInterval = .init(min: .milliseconds(10), max: .milliseconds(50))
    let client = LatchkeyClient(configuration)
    let result: Result<Void, any Error>
    do { result = .success(try await body(client)) } catch { result = .failure(error) }
    await client.shutdown()
    try result.get()
  }

  private func requirement(
    _ body: () async throws -> Void
  ) async -> LatchkeyError.Requirement? {
    let error = await #expect(throws: LatchkeyError.self) { try await body() }
    #expect(error?.code == .requiresNewerPeer)
    return error?.requirement
  }

  @Test(
    "any-pair: what a server's version carries is done, and the rest is refused by name",
    arguments: ReleasedPrograms.all, Route.faithful)
  func features(_ server: ReleasedPrograms, _ route: Route) async throws {
    let hasTokens = server.newestWire >= 2
    try await run(server, route) { client, stage in
      let grant = try await client.acquire("a", owner: "me", lease: .milliseconds(90_500))
      #expect((grant.key, grant.owner) == ("a", "me"))
      #expect(grant.lease == (server.newestWire >= 3 ? .milliseconds(90_500) : .seconds(91)))
      #expect(grant.token == (hasTokens ? 1 : nil))
      #expect(grant.revision == (hasTokens ? 1 : nil))
      let again = try await client.acquire("a", owner: "me", value: "v", lease: .seconds(90))
      #expect(again.isRenewal == hasTokens)

      let found = try #require(try await client.fetch("a"))
      #expect((found.owner, found.value, found.kind) == ("me", "v", .lock))
      #expect(found.token == (hasTokens ? 1 : nil))
      #expect(found.lease == (hasTokens ? .seconds(90) : nil))

      let before = try stage.row("a")
      if hasTokens {
        #expect(try await client.renew("a", token: 1).revision == 3)
        let verdicts = try await client.renew([Renewal(key: "a", token: 1)])
        #expect(try verdicts.first?.get().revision == 4)
        #expect(try await client.list(nil).resources.map(\.key) == ["a"])
        try await client.release("a", token: 1)
      } else {
        func missing(_ feature: String) -> LatchkeyError.Requirement? {
          LatchkeyError.requiresNewerPeer(feature: feature, needs: 2, has: 1).requirement
        }
        #expect(
          await requirement { _ = try await client.renew("a", token: 1) }
            == missing("renewal by token"))
        #expect(
          await requirement { _ = try await client.renew([Renewal(key: "a", token: 1)]) }
            == missing("renewal of several locks at once"))
        #expect(
          await requirement { try await client.release("a", token: 1) }
            == missing("release by token"))
        #expect(
          await requirement { _ = try await client.list(nil) } == missing("list of every kind"))
        #expect(try stage.row("a") == before)
        try await client.release("a", owner: "me")
      }
      #expect(try await client.fetch("a") == nil)
    }
  }

  /// What the server says of itself is not waited for. A server that is older costs the one request
  /// that it refuses, once.
  @Test("negotiation costs no round trip", arguments: ReleasedPrograms.all)
  func roundTrips(_ release: ReleasedPrograms) async throws {
    let isOlder = release.newestWire < WireVersions.spoken.newest
    try await Stage.run(server: release, .direct) { stage in
      let relay = try await HoldingRelay.start(to: stage.port)
      let client = try LatchkeyClient(endpoints: ["127.0.0.1:\(relay.port)"])
      try await client.claim("a", owner: "me", lease: .seconds(90))
      #expect(relay.requests == [isOlder ? 2 : 1])
      try await client.claim("a", owner: "me", lease: .seconds(90))
      #expect(relay.requests == [isOlder ? 3 : 2])
      try await relay.disconnect()
      try await client.claim("a", owner: "me", lease: .seconds(90))
      #expect(relay.requests == [isOlder ? 3 : 2, 1])
      await client.shutdown()
      try await relay.stop()
    }
  }

  @Test(
    "any-pair: a list comes in pages from every server", arguments: ReleasedPrograms.all,
    [Route.direct, .haproxy])
  func pages(_ server: ReleasedPrograms, _ route: Route) async throws {
    try await run(server, route) { client, _ in
      for number in 0..<5 {
        try await client.claim("p/\(number)", owner: "me", lease: .seconds(90))
      }
      try await client.claim("q", owner: "me", lease: .seconds(90))
      var keys: [String] = []
      var hasMore = true
      while hasMore {
        let page = try await client.list(
          .lock, prefix: "p/", after: keys.last ?? "", countMax: 2)
        #expect(page.resources.count <= 2 && !page.resources.isEmpty)
        keys += page.resources.map(\.key)
        hasMore = page.hasMore
      }
      #expect(keys == (0..<5).map { "p/\($0)" })
      #expect(try await client.fetchAll(.lock).map(\.key) == keys + ["q"])
    }
  }

  @Test(
    "mutex: who waits with any server has the lock when it is free",
    arguments: ReleasedPrograms.all, Route.faithful)
  func waiting(_ server: ReleasedPrograms, _ route: Route) async throws {
    try await run(server, route) { client, stage in
      _ = try await client.acquire("a", owner: "me", lease: .seconds(90))
      let refused = await #expect(throws: LatchkeyError.self) {
        try await client.acquire(
          "a", owner: "you", lease: .seconds(90), wait: .milliseconds(200))
      }
      #expect(refused?.code == .waitEnded && refused?.holder == "me")
      async let waited = client.acquire("a", owner: "you", lease: .seconds(90), wait: nil)
      try await client.release("a", owner: "me")
      let grant = try await waited
      #expect(grant.owner == "you")
      #expect(try stage.row("a")?.owner == "you")
      #expect(try stage.row("a")?.token == 2)
    }
  }

  /// The body of `withLock` sees neither server go.
  @Test(
    "any-pair, holder-first: a lock is held while its server is replaced under it",
    arguments: ReleasedPrograms.all)
  func replacement(_ first: ReleasedPrograms) async throws {
    try await Stage.run(server: first, Route.faithful) { stage in
      try await withClient(of: stage) { client in
        // A machine that stands still for seconds does not end it.
        try await client.withLock("a", owner: "me", lease: .seconds(10)) { grant in
          for second in first.neighbours {
            for server in [second, first] {
              try await stage.replaceServer(by: server, afterCrash: false)
              try await stage.waitForRenewal(of: "a")
              #expect(!grant.isLost && !Task.isCancelled, "by route \(stage.route)")
              #expect(grant.token == (first.newestWire >= 2 ? 1 : nil))
              // Behind a proxy that keeps the connection, the answer to that renewal tells the
              // client what the new server speaks: it may still be under way.
              let wire = min(server.newestWire, WireVersions.spoken.newest)
              try await stage.wait(until: { $0 == wire }) {
                try await client.connectionInfo().wireVersion
              }
            }
          }
          let row = try #require(try stage.row("a"))
          #expect(row.owner == "me" && row.token == 1)
        }
        #expect(try stage.row("a")?.owner == nil)
      }
    }
  }
}
