import Testing
import WireSchema

@testable import LatchkeyClient

/// A fake server that speaks one wire version, a client of it, and manual time. With the random
/// bits of the tests, renewals are due after exactly a third of the lease, and pauses are what
/// their range says.
struct Scene {
  let time = ManualTime()
  let locks = FakeLocks()
  let wire: any WireVersion.Type
  let server: FakeServer
  let client: LatchkeyClient

  init(
    wire: any WireVersion.Type = NewestWire.self,
    _ configure: (inout LatchkeyClient.Configuration) -> Void = { _ in }
  ) async throws {
    let locks = locks
    self.wire = wire
    server = try await FakeServer(offer: FakeServer.offer(of: wire)) { locks.answer($0) }
    client = .testing([server], time: time, versions: WireVersions.all, configure)
    // So that the first request is written in the right version.
    _ = try await client.connectionInfo()
  }

  func end() async throws {
    await client.shutdown()
    try await server.stop()
  }

  /// What came to the server to acquire, also where that renews.
  var claims: [NewestWire.AcquireRequest] {
    server.requests.compactMap {
      if case .acquire(let request) = $0.call { request } else { nil }
    }
  }

  /// How many renewals came to the server, after the claim that was granted first.
  var renewalCount: Int {
    wire.number == 1 ? claims.count - 1 : server.requests("Renew").count
  }

  /// How many calls are under way, those included that wait for their next try.
  var callCount: Int {
    get async { await client.ask { $0.attempts.count } }
  }

  /// Returns when all that was sent before has arrived, in both directions.
  func settle() async throws {
    while true {
      let isQuiet = await withCheckedContinuation { continuation in
        client.link.withDriver { $0.settle { continuation.resume(returning: $0) } }
      }
      if isQuiet { return }
      await Task.yield()
    }
  }

  /// Moves on to `elapsed` after the start, and lets all arrive that each step brings.
  func advance(to elapsed: Duration) async throws {
    try await time.advance(to: elapsed) { try await settle() }
    try await settle()
  }
}

extension LinkDriver {
  /// Calls `completion` when each server has answered a PING: with false where there was none to
  /// answer it, or a connection is being made.
  fileprivate func settle(_ completion: @escaping (Bool) -> Void) {
    if case .connecting = state.phase { return completion(false) }
    final class Count { var left = 1 }
    let count = Count()
    let pinged: (Bool) -> Void = { _ in
      count.left -= 1
      if count.left == 0 { completion(true) }
    }
    for connection in connections.values {
      count.left += 1
      connection.handler.ping(completion: pinged)
    }
    pinged(true)
  }
}

extension FakeRequest {
  /// The request in the terms of the newest version; nil for what is not a call.
  var call: NewestWire.Request? {
    guard let version, let wire = WireVersions.all.first(where: { $0.number == version }) else {
      return nil
    }
    return wire.lifted(method, body)
  }
}

extension WireVersion {
  fileprivate static func lifted(_ method: String, _ body: [UInt8]) -> NewestWire.Request? {
    Method(rawValue: method).flatMap { try? liftToNewest(Request($0, body, .proto)) }
  }
}

/// Runs a body until it is cancelled, and notes when that was.
final class Holder: Sendable {
  let task: Task<LatchkeyError.Code?, Never>
  let grant = Shared<LockGrant?>(nil)
  let cancelledAt = Shared<Duration?>(nil)

  init(_ scene: Scene, _ key: String = "a", lease: Duration = .seconds(15)) {
    let (grant, cancelledAt) = (grant, cancelledAt)
    task = Task {
      await code {
        try await scene.client.withLock(key, lease: lease) {
          grant.set($0)
          await untilCancelled()
          cancelledAt.set(scene.time.elapsed)
        }
      }
    }
  }

  /// The grant, once it is there.
  func granted() async throws -> LockGrant {
    try await until { self.grant.now != nil }
    return grant.now!
  }
}
