import Glibc
import StorageSQLite
import TestKit
import Testing
import WireSchema

@testable import LatchkeyClient

/// Leases at servers that take their time: round trips of up to half of the lease cost nothing.
@Suite(.timeLimit(.minutes(2)))
struct SlowServerTests {
  struct Case: CustomStringConvertible, Sendable {
    var lease: Duration
    /// How long the server takes, in parts of the lease.
    var delayPercent: Int
    var wire: Int
    var description: String { "\(delayPercent) % of \(lease), wire v\(wire + 1)" }
    var delay: Duration { lease * delayPercent / 100 }
  }

  static let kept = cases([0, 5, 10, 16, 17, 20, 30, 33, 34, 40, 45, 50, 60])
  static let lost = cases([68, 80, 100, 130])

  private static func cases(_ percents: [Int]) -> [Case] {
    [Duration.seconds(2), .seconds(15)].flatMap { lease in
      [0, 2].flatMap { wire in
        percents.map { Case(lease: lease, delayPercent: $0, wire: wire) }
      }
    }
  }

  /// A lock that is held, at a server that has become slow since.
  private func hold(_ slow: Case) async throws -> (Scene, Holder, LockGrant) {
    let scene = try await Scene(wire: WireVersions.all[slow.wire])
    let holder = Holder(scene, lease: slow.lease)
    let grant = try await holder.granted()
    await scene.time.untilPlanned(at: slow.lease / 3)
    let (time, locks) = (scene.time, scene.locks)
    scene.server.change { .later(slow.delay, time, locks.answer($0)) }
    return (scene, holder, grant)
  }

  @Test(arguments: kept)
  func aLeaseIsKept(_ slow: Case) async throws {
    let (scene, holder, grant) = try await hold(slow)
    for step in 1...60 {
      try await scene.advance(to: slow.lease * step / 10)
      #expect(!grant.isLost, "lost after \(scene.time.elapsed)")
      guard !grant.isLost else { break }
    }
    // Nothing that was on its way was taken back.
    #expect(try await scene.server.countAbandoned() == 0)
    // Three renewals a lease, or twice as many where they are not answered before the next is due.
    #expect(scene.renewalCount <= 6 * 6)
    let locks = scene.locks
    scene.server.change { locks.answer($0) }
    holder.task.cancel()
    #expect(await holder.task.value == nil)
    #expect(scene.server.requests("Release").count == 1)
    try await scene.end()
  }

  @Test(arguments: lost)
  func whatTakesTooLongIsNoticedInTime(_ slow: Case) async throws {
    let (scene, holder, grant) = try await hold(slow)
    try await scene.advance(to: slow.lease - .nanoseconds(1))
    #expect(!grant.isLost)
    #expect(scene.renewalCount <= ClientLimits.renewalsInFlightMax)
    try await scene.advance(to: slow.lease)
    #expect(grant.isLost)
    #expect(await holder.task.value == .leaseLost)
    #expect(holder.cancelledAt.now == slow.lease)
    try await scene.end()
  }

  /// In real time, with a store that takes a third of the lease to commit, as on a disk that is
  /// slow to sync. Each renewal is overdue by then.
  @Test func aSlowDiskCostsNoLease() async throws {
    let folder = try StoreFolder()
    let plan = FaultPlan()
    let engine = FaultyEngine(SQLiteEngine(path: folder.file), plan: plan)
    let server = try await InProcessServer.start(engine: engine)
    let client = try LatchkeyClient(endpoints: ["\(InProcessServer.host):\(server.port)"])
    let lease = Duration.seconds(12)
    let isKept = try await client.withLock("a", lease: lease) { grant in
      let slowness = Task {
        while !Task.isCancelled {
          let gate = plan.hold(.apply)
          await gate.arrival()
          try? await Task.sleep(for: lease / 3)
          gate.open()
        }
        // The last one found nobody to hold, or let it go.
        plan.clear()
      }
      // As long as the lease lasts without a renewal, and a little more.
      try? await Task.sleep(for: lease + .seconds(1))
      slowness.cancel()
      await slowness.value
      return !grant.isLost
    }
    #expect(isKept)
    await client.shutdown()
    try await server.stop()
  }

  /// The same for a command under `latchkey lock`, whose renewal takes so long that it is answered in the
  /// last quarter of the lease.
  @Test func aSlowDiskCostsNoCommand() async throws {
    let folder = try StoreFolder()
    let plan = FaultPlan()
    let engine = FaultyEngine(SQLiteEngine(path: folder.file), plan: plan)
    let server = try await InProcessServer.start(engine: engine)
    let lease = Duration.seconds(20)
    let holder = try Program(
      "latchkey",
      ["lock", "k", "--ttl", "20s", "--", "sh", "-c", "echo started; sleep 20; echo over"],
      environment: ["LATCHKEY_SERVER=\(InProcessServer.host):\(server.port)"])
    defer { holder.signal(SIGKILL) }
    try await holder.output.line(containing: "started")
    let gate = plan.hold(.apply)
    await gate.arrival()
    try await Task.sleep(for: lease * 45 / 100)
    gate.open()
    #expect(try await holder.output.all() == ["started", "over"])
    #expect(try await holder.exit() == .exited(0))
    try await server.stop()
  }
}
