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

  private func client(_ server: InProcessServer) throws -> LatchkeyClient {
    var configuration = LatchkeyClient.Configuration(endpoints: [try endpoint(server)])
    configuration.requestTimeout = .seconds(60)
    configuration.connectTimeout = .seconds(60)
    return LatchkeyClient(configuration)
  }

  @Test func resourcesAreClaimedFoundAndReleased() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server)
    #expect(try await client.fetch("a") == nil)
    try await client.claim("a", owner: "me", value: "v", lease: .seconds(60))
    let resource = Resource(key: "a", kind: .lock, owner: "me", value: "v")
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
    // It cannot renew any more.
    await first.shutdown()
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
