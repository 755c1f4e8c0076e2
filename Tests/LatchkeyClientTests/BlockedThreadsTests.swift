import Glibc
import NIOCore
import TestKit
import Testing
import WireSchema

@testable import LatchkeyClient

/// Bodies that block or compute on every thread that tasks have. Nothing but the bodies runs in a
/// task meanwhile, so these tests look from within them.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct BlockedThreadsTests {
  /// Runs `body` under locks of its own on as many threads as tasks have, all at the same time.
  private func withLocksOnAllThreads(
    _ client: LatchkeyClient, lease: Duration,
    _ body: @escaping @Sendable (LockGrant) -> Void
  ) async -> [LatchkeyError.Code?] {
    let bodyCount = System.coreCount
    let running = Shared(0)
    return await withTaskGroup { group in
      for number in 1...bodyCount {
        group.addTask {
          await code {
            try await client.withLock("k\(number)", lease: lease) { grant in
              running.change { $0 += 1 }
              while running.now < bodyCount, !grant.isLost { usleep(1_000) }
              body(grant)
            }
          }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
  }

  @Test func locksAreKept() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try LatchkeyClient(endpoints: ["\(InProcessServer.host):\(server.port)"])
    // Long enough for a machine that stands still for seconds.
    let lease = Duration.seconds(10)
    let results = await withLocksOnAllThreads(client, lease: lease) { grant in
      let end = ContinuousClock.now + lease + .seconds(1)
      while ContinuousClock.now < end, !grant.isLost { usleep(10_000) }
      #expect(!grant.isLost)
      #expect(grant.remaining > .zero)
    }
    #expect(results.allSatisfy { $0 == nil }, "\(results)")
    await client.shutdown()
    try await server.stop()
  }

  @Test func theLossIsToldAndLogged() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer(offer: FakeServer.offer(of: NewestWire.self)) {
      $0.method == "Renew" ? .silence : locks.answer($0)
    }
    let complaints = Complaints()
    let client = LatchkeyClient.testing([server], versions: WireVersions.all) {
      $0.logger = complaints.logger
    }
    let results = await withLocksOnAllThreads(client, lease: .seconds(2)) { grant in
      let end = ContinuousClock.now + .seconds(30)
      while ContinuousClock.now < end, !grant.isLost || !Task.isCancelled { usleep(1_000) }
      #expect(grant.isLost && Task.isCancelled)
      #expect(grant.remaining == .zero)
      while ContinuousClock.now < end, !complaints.all.contains("a lease was lost") {
        usleep(1_000)
      }
      #expect(complaints.all.contains("a lease was lost"))
    }
    #expect(results.allSatisfy { $0 == .leaseLost }, "\(results)")
    await client.shutdown()
    try await server.stop()
  }
}
