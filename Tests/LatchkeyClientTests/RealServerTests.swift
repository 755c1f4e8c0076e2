import Synchronization
import TestKit
import Testing
import WireSchema

@testable import LatchkeyClient

/// The client with a server of this release, in one process.
@Suite(.timeLimit(.minutes(2)))
struct RealServerTests {
  private func endpoint(_ server: InProcessServer) throws -> Endpoint {
    try Endpoint("\(InProcessServer.host):\(server.port)")
  }

  private func client(
    _ server: InProcessServer, versions: [any WireVersion.Type] = WireVersions.all,
    _ configure: (inout LatchkeyClient.Configuration) -> Void = { _ in }
  ) throws -> LatchkeyClient {
    var configuration = LatchkeyClient.Configuration(endpoints: [try endpoint(server)])
    configuration.requestTimeout = .seconds(60)
    configuration.connectTimeout = .seconds(60)
    configure(&configuration)
    var environment = ClientEnvironment.live
    environment.versions = versions
    return LatchkeyClient(configuration, environment: environment)
  }

  @Test func resourcesAreClaimedFoundAndReleased() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server)
    #expect(try await client.fetch("a") == nil)
    try await client.claim("a", owner: "me", value: "v", lease: .seconds(60))
    var resource = Resource(key: "a", kind: .lock, owner: "me", value: "v")
    resource.token = 1
    resource.revision = 1
    resource.lease = .seconds(60)
    #expect(try await client.fetch("a") == resource)
    #expect(try await client.fetchAll(.lock) == [resource])
    #expect(
      await code { try await client.claim("a", owner: "you", lease: .seconds(60)) }
        == .heldByAnother)
    #expect(await code { try await client.release("a", owner: "you") } == .heldByAnother)
    #expect(
      await code { try await client.claim("", owner: "me", lease: .seconds(60)) }
        == .invalidRequest)
    #expect(
      await code { try await client.claim("_latchkey/x", owner: "me", lease: .seconds(60)) }
        == .invalidRequest)
    let large = String(repeating: "x", count: 1_000_000)
    #expect(
      await code {
        try await client.claim("b", owner: "me", value: large, lease: .seconds(60))
      } == .invalidRequest)
    try await client.release("a", owner: "me")
    #expect(try await client.fetch("a") == nil)
    await client.shutdown()
    try await server.stop()
  }

  @Test func grantsHaveTokensThatRenewAndRelease() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server)
    let grant = try await client.acquire("a", owner: "me", lease: .milliseconds(1_500))
    #expect((grant.token, grant.revision, grant.lease) == (1, 1, .milliseconds(1_500)))
    #expect(try await client.renew("a", token: 1, lease: .seconds(60), value: "v").revision == 2)
    let verdicts = try await client.renew([
      Renewal(key: "a", token: 1), Renewal(key: "a", token: 2), Renewal(key: "b", token: 1),
    ])
    #expect(try verdicts[0].get().lease == .seconds(60))
    #expect(await code { _ = try verdicts[1].get() } == .notTheHolder)
    #expect(await code { _ = try verdicts[2].get() } == .notTheHolder)
    let refused = await #expect(throws: LatchkeyError.self) {
      try await client.acquire("a", owner: "you", lease: .seconds(60))
    }
    #expect(refused?.code == .waitEnded && refused?.holder == "me")
    #expect(await code { try await client.release("a", token: 2) } == .notTheHolder)
    #expect(try await client.list(nil).resources.map(\.value) == ["v"])
    try await client.release("a", token: 1)
    try await client.release("a", token: 1)
    #expect(try await client.list(nil, prefix: "a") == ResourcePage(resources: [], hasMore: false))
    await client.shutdown()
    try await server.stop()
  }

  @Test func whoWaitsIsGrantedTheLockOnItsRelease() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server)
    // A poll would take longer than the whole test may.
    let waiter = try self.client(server) {
      $0.pollInterval = .init(min: .seconds(600), max: .seconds(600))
    }
    let held = try await client.acquire("a", owner: "me", lease: .seconds(600))
    let grant = Task { try await waiter.acquire("a", owner: "you", lease: .seconds(60), wait: nil) }
    // Released and held again until who waits is there.
    for token in 1... as PartialRangeFrom<Int64> {
      try await client.release("a", token: token)
      guard (try? await client.acquire("a", owner: "me", lease: .seconds(600))) != nil else {
        break
      }
    }
    let granted = try await grant.value
    #expect(granted.owner == "you")
    #expect(granted.token! > held.token!)
    #expect(!granted.isRenewal)
    await client.shutdown()
    await waiter.shutdown()
    try await server.stop()
  }

  /// Each renewal through a server of v1 keeps what the holder has.
  @Test func aTokenOutlivesServersThatHaveNone() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server)
    let old = try self.client(server, versions: [V1.self])
    try await client.withLock("a", owner: "me", lease: .seconds(1)) { grant in
      #expect(grant.token == 1)
      let before = try await client.fetch("a")?.revision ?? 0
      try await until { try await client.fetch("a")?.revision ?? 0 >= before + 2 }
      #expect(!grant.isLost && grant.token == 1)
    }
    try await old.withLock("a", owner: "me", lease: .seconds(1)) { grant in
      #expect(grant.token == nil)
      try await until { try await client.fetch("a")?.revision ?? 0 >= 6 }
      #expect(!grant.isLost)
    }
    #expect(await code { _ = try await old.renew("a", token: 1) } == .requiresNewerPeer)
    for client in [client, old] { await client.shutdown() }
    try await server.stop()
  }

  @Test func theServerIsIntroduced() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server)
    let info = try await client.connectionInfo()
    #expect(info.endpoint == (try endpoint(server)))
    #expect(info.serverSoftware == Release.version)
    #expect(info.wireVersion == WireVersions.spoken.newest)
    let status = try await client.status()
    #expect(status.serverID == info.serverID)
    #expect(status.server.software == Release.version)
    await client.shutdown()
    try await server.stop()
  }

  @Test func noTwoBodiesRunAtOnce() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let bodies = Bodies()
    let clients = [try client(server), try client(server)]
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<8 {
        let client = clients[number % 2]
        group.addTask {
          for _ in 0..<3 {
            try await client.withLock("a") { _ in
              #expect(bodies.inside.wrappingAdd(1, ordering: .relaxed).newValue == 1)
              for _ in 0..<10 { await Task.yield() }
              bodies.inside.wrappingSubtract(1, ordering: .relaxed)
              bodies.runs.wrappingAdd(1, ordering: .relaxed)
            }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(bodies.runs.load(ordering: .relaxed) == 24)
    #expect(try await clients[0].fetch("a") == nil)
    for client in clients { await client.shutdown() }
    try await server.stop()
  }

  @Test func theNextHolderComesAfterTheLeaseOfOneThatWentAway() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let (first, second) = (try client(server), try client(server))
    let lease = Duration.seconds(1)
    let cancelledAt = Shared<ContinuousClock.Instant?>(nil)
    let isHeld = Shared(false)
    let holder = Task {
      await code {
        try await first.withLock("a", lease: lease) { _ in
          isHeld.set(true)
          await untilCancelled()
          cancelledAt.set(.now)
        }
      }
    }
    try await until { isHeld.now }
    // It cannot renew any more, nor give the lock back.
    await withCheckedContinuation { closed in first.link.close { closed.resume() } }
    let grantedAt = try await second.withLock("a") { _ in ContinuousClock.now }
    #expect(await holder.value == .leaseLost)
    let stopped = try #require(cancelledAt.now)
    #expect(stopped < grantedAt, "stopped \(stopped - grantedAt) after the next grant")
    await second.shutdown()
    try await server.stop()
  }
}

/// Counts those who hold a lock: now, and in all.
private final class Bodies: Sendable {
  let inside = Atomic<Int>(0)
  let runs = Atomic<Int>(0)
}
