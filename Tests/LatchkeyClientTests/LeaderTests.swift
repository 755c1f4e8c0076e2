import Logging
import ServiceLifecycle
import Testing
import WireSchema

@testable import LatchkeyClient

/// A service that notes what becomes of it.
private struct Child: Service {
  enum Event: Equatable { case started(Int), asked(Int), ended(Int) }

  /// What it does when it is asked to stop.
  enum Reaction { case returns, throwsCancellation, none }

  let number: Int
  let events: Shared<[Event]>
  var reaction = Reaction.returns

  func run() async throws {
    events.change { $0.append(.started(number)) }
    if reaction != .none {
      try? await gracefulShutdown()
      if !Task.isCancelled { events.change { $0.append(.asked(number)) } }
    } else {
      await withGracefulShutdownHandler {
        await untilCancelled()
      } onGracefulShutdown: {
        events.change { $0.append(.asked(number)) }
      }
    }
    events.change { $0.append(.ended(number)) }
    if reaction == .throwsCancellation { throw CancellationError() }
  }
}

@Suite(.timeLimit(.minutes(2)))
struct LeaderTests {
  private let offer = FakeServer.offer(of: NewestWire.self)
  private let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

  private func group(_ service: any Service) -> ServiceGroup {
    ServiceGroup(services: [service], logger: logger)
  }

  /// A child whose number is how many there were before.
  private func leader(
    _ client: LatchkeyClient, _ events: Shared<[Child.Event]>, lease: Duration = .seconds(15),
    reaction: Child.Reaction = .returns
  ) -> LeaderElectedService<Child> {
    let count = Shared(0)
    return LeaderElectedService("lead", client: client, lease: lease) {
      count.change { $0 += 1 }
      return Child(number: count.now, events: events, reaction: reaction)
    }
  }

  @Test(arguments: [Child.Reaction.returns, .throwsCancellation])
  private func leadershipIsHandedOver(_ reaction: Child.Reaction) async throws {
    let locks = FakeLocks()
    let server = try await FakeServer(offer: offer) { locks.answer($0) }
    let one = LatchkeyClient.testing([server], versions: WireVersions.all)
    let two = LatchkeyClient.testing([server], versions: WireVersions.all)
    let (first, second) = (Shared<[Child.Event]>([]), Shared<[Child.Event]>([]))
    let (groupOne, groupTwo) = (
      group(leader(one, first, reaction: reaction)), group(leader(two, second, reaction: reaction))
    )
    let runOne = Task { try await groupOne.run() }
    try await until { first.now == [.started(1)] }
    let owner = locks.owner(of: "lead")
    let runTwo = Task { try await groupTwo.run() }
    try await until { server.requests("Acquire").count >= 4 }
    #expect(second.now.isEmpty)
    await groupOne.triggerGracefulShutdown()
    try await runOne.value
    #expect(first.now == [.started(1), .asked(1), .ended(1)])
    try await until { second.now == [.started(1)] }
    #expect(locks.owner(of: "lead") != owner)
    await groupTwo.triggerGracefulShutdown()
    try await runTwo.value
    #expect(locks.owner(of: "lead") == nil)
    await one.shutdown()
    await two.shutdown()
    try await server.stop()
  }

  @Test func theChildHasTheTokenOfItsTerm() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer(offer: offer) { locks.answer($0) }
    let client = LatchkeyClient.testing([server], versions: WireVersions.all)
    let events = Shared<[Child.Event]>([])
    let grant = Shared<LockGrant?>(nil)
    let leader = LeaderElectedService("lead", client: client) {
      grant.set($0)
      return Child(number: 1, events: events)
    }
    let group = group(leader)
    let run = Task { try await group.run() }
    try await until { events.now == [.started(1)] }
    let token = try #require(grant.now?.token)
    #expect(try await client.fetch("lead")?.token == token)
    #expect(grant.now?.isLost == false)
    await group.triggerGracefulShutdown()
    try await run.value
    #expect(grant.now?.isLost == true)
    await client.shutdown()
    try await server.stop()
  }

  @Test func whoWaitsOutlivesAStumblingProxy() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer(offer: offer) {
      $0.number == 1 ? .reply(status: 500, body: Array("oops".utf8)) : locks.answer($0)
    }
    let client = LatchkeyClient.testing([server], versions: WireVersions.all) {
      $0.backoff = .init(min: .milliseconds(1), max: .milliseconds(1))
    }
    let events = Shared<[Child.Event]>([])
    let group = group(leader(client, events))
    let run = Task { try await group.run() }
    try await until { events.now == [.started(1)] }
    await group.triggerGracefulShutdown()
    try await run.value
    await client.shutdown()
    try await server.stop()
  }

  @Test func whoWaitsShutsDownWithoutHavingLed() async throws {
    let locks = FakeLocks()
    locks.give("lead", to: "somebody")
    let server = try await FakeServer(offer: offer) { locks.answer($0) }
    let client = LatchkeyClient.testing([server], versions: WireVersions.all)
    let events = Shared<[Child.Event]>([])
    let group = group(leader(client, events))
    let run = Task { try await group.run() }
    try await server.received(2, "Acquire")
    await group.triggerGracefulShutdown()
    try await run.value
    #expect(events.now.isEmpty)
    #expect(locks.owner(of: "lead") == "somebody")
    await client.shutdown()
    try await server.stop()
  }

  @Test func aLeaseThatRunsOutStopsTheChildGracefullyFirst() async throws {
    let time = ManualTime()
    let locks = FakeLocks()
    let server = try await FakeServer(offer: offer) { locks.answer($0) }
    let client = LatchkeyClient.testing([server], time: time, versions: WireVersions.all)
    let events = Shared<[Child.Event]>([])
    let group = group(leader(client, events, lease: .seconds(8), reaction: .none))
    let run = Task { try await group.run() }
    try await until { events.now == [.started(1)] }
    await time.untilPlanned(at: .seconds(7))
    server.change { _ in .silence }
    try await time.advance(to: .seconds(7) - .nanoseconds(1))
    #expect(events.now == [.started(1)])
    try await time.advance(to: .seconds(7))
    try await until { events.now == [.started(1), .asked(1)] }
    // It does not react, so it is cancelled when the lease is over.
    try await time.advance(to: .seconds(8))
    try await until { events.now == [.started(1), .asked(1), .ended(1)] }
    // And the next term begins when the servers are back.
    server.change { locks.answer($0) }
    try await until {
      try await time.advance(to: time.elapsed + .milliseconds(1))
      locks.give("lead", to: nil)
      return events.now.last == .started(2)
    }
    run.cancel()
    _ = await run.result
    await client.shutdown()
    try await server.stop()
  }

  @Test func aServerThatTakesHalfOfTheLeaseCostsNoTerm() async throws {
    let scene = try await Scene()
    let (time, locks) = (scene.time, scene.locks)
    let events = Shared<[Child.Event]>([])
    let lease = Duration.seconds(16)
    let group = group(leader(scene.client, events, lease: lease))
    let run = Task { try await group.run() }
    try await until { events.now == [.started(1)] }
    await time.untilPlanned(at: lease - lease / ClientLimits.stopMarginDivisor)
    scene.server.change { .later(lease / 2, time, locks.answer($0)) }
    for step in 1...60 {
      try await scene.advance(to: lease * step / 20)
      // A child that is asked to end gives its lock back before it asks for another.
      guard events.now == [.started(1)] else { break }
    }
    #expect(events.now == [.started(1)])
    scene.server.change { locks.answer($0) }
    run.cancel()
    _ = await run.result
    try await scene.end()
  }

  @Test(arguments: [Child.Reaction.returns, .throwsCancellation])
  private func aChildThatStopsInTimeGivesTheLockBack(_ reaction: Child.Reaction) async throws {
    let time = ManualTime()
    let locks = FakeLocks()
    let server = try await FakeServer(offer: offer) { locks.answer($0) }
    let client = LatchkeyClient.testing([server], time: time, versions: WireVersions.all)
    let events = Shared<[Child.Event]>([])
    let group = group(leader(client, events, lease: .seconds(8), reaction: reaction))
    let run = Task { try await group.run() }
    try await until { events.now == [.started(1)] }
    let owner = locks.owner(of: "lead")
    await time.untilPlanned(at: .seconds(7))
    server.change { $0.method == "Renew" ? .silence : locks.answer($0) }
    try await time.advance(to: .seconds(7))
    try await until { events.now.prefix(3) == [.started(1), .asked(1), .ended(1)] }
    // The connection may have been given up meanwhile, as time flew.
    try await until {
      try await time.advance(to: time.elapsed + .milliseconds(1))
      return events.now.last == .started(2)
    }
    #expect(locks.owner(of: "lead") != owner)
    #expect(server.requests("Release").count == 1)
    await group.triggerGracefulShutdown()
    try await run.value
    await client.shutdown()
    try await server.stop()
  }

  @Test func whenTheChildEndsSoDoesTheService() async throws {
    struct Short: Service {
      struct Failure: Error {}
      let fails: Bool
      func run() async throws { if fails { throw Failure() } }
    }
    let locks = FakeLocks()
    let server = try await FakeServer(offer: offer) { locks.answer($0) }
    let client = LatchkeyClient.testing([server], versions: WireVersions.all)
    try await LeaderElectedService("lead", client: client) { Short(fails: false) }.run()
    #expect(locks.owner(of: "lead") == nil)
    await #expect(throws: Short.Failure.self) {
      try await LeaderElectedService("lead", client: client) { Short(fails: true) }.run()
    }
    #expect(locks.owner(of: "lead") == nil)
    #expect(server.requests("Release").count == 2)
    await client.shutdown()
    try await server.stop()
  }

  @Test func impossibleTimingsAreReported() async throws {
    let client = LatchkeyClient(.init(endpoints: [try Endpoint("127.0.0.1:1")]))
    let leader = LeaderElectedService("lead", client: client, lease: .zero) {
      Child(number: 1, events: Shared([]))
    }
    #expect(await code { try await leader.run() } == .invalidRequest)
    await client.shutdown()
  }

  @Test func cancellationEndsTheChildAndReleases() async throws {
    let locks = FakeLocks()
    let server = try await FakeServer(offer: offer) { locks.answer($0) }
    let client = LatchkeyClient.testing([server], versions: WireVersions.all)
    let events = Shared<[Child.Event]>([])
    let leader = leader(client, events, reaction: .none)
    let run = Task { try await leader.run() }
    try await until { events.now == [.started(1)] }
    run.cancel()
    _ = await run.result
    #expect(events.now == [.started(1), .ended(1)])
    #expect(locks.owner(of: "lead") == nil)
    await client.shutdown()
    try await server.stop()
  }
}
