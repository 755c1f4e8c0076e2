import TestKit
import Testing

@testable import LatchkeyClient

/// Who of a client's callers asks for a key, and whose request waits at the server.
struct WaitLineStateTests {
  private var state = WaitLineState(placesMax: 2, waitersMax: 5)

  @Test func theFirstOfEachKeyAsks() {
    var state = state
    let tickets = ["a", "a", "b", "a"].map { state.join($0)! }
    #expect(tickets.map { state.isFirst($0) } == [true, false, true, false])
    #expect(state.leave(tickets[0]) == [tickets[1]])
    #expect(state.isFirst(tickets[1]))
    #expect(state.leave(tickets[2]).isEmpty)
  }

  @Test func whoLeavesTheMiddleIsSkipped() {
    var state = state
    let tickets = (1...4).map { _ in state.join("a")! }
    #expect(state.leave(tickets[1]).isEmpty)
    #expect(state.leave(tickets[2]).isEmpty)
    #expect(state.leave(tickets[0]) == [tickets[3]])
    #expect(state.leave(tickets[3]).isEmpty)
    #expect(state.leave(tickets[3]).isEmpty)
  }

  @Test func thereAreSoManyAndNoMore() {
    var state = state
    let tickets = (1...5).compactMap { state.join("\($0)") }
    #expect(tickets.count == 5)
    #expect(state.join("6") == nil)
    _ = state.leave(tickets[0])
    #expect(state.join("6") != nil)
  }

  @Test func placesGoRoundInTheOrderInWhichTheyAreWanted() {
    var state = state
    let tickets = (1...4).map { state.join("\($0)")! }
    #expect(tickets.map { state.take($0) } == [true, true, false, false])
    #expect(tickets.map { state.take($0) } == [true, true, false, false])
    #expect(state.isCrowded)
    #expect(state.giveBack(tickets[0]) == [tickets[2]])
    #expect(state.take(tickets[0]) == false)
    // Who leaves gives its place back, or does not want one any more.
    #expect(state.leave(tickets[3]).isEmpty)
    #expect(state.leave(tickets[1]) == [tickets[0]])
    #expect(state.hasPlace(tickets[0]))
    #expect(!state.isCrowded)
    #expect(state.giveBack(tickets[1]).isEmpty)
  }

  /// One waits for days, and others come and go behind it.
  @Test func thoseWhoLeftAreForgotten() {
    var state = WaitLineState(placesMax: 1, waitersMax: 5)
    let first = state.join("a")!
    #expect(state.take(first) == true)
    let (behind, other) = (state.join("a")!, state.join("b")!)
    #expect(state.take(other) == false)
    var most = 0
    for _ in 1...10_000 {
      let passing = [state.join("a")!, state.join("c")!]
      for ticket in passing { #expect(state.take(ticket) == false) }
      // As who polls does, again and again.
      #expect(state.giveBack(other).isEmpty)
      #expect(state.take(other) == false)
      for ticket in passing { #expect(state.leave(ticket).isEmpty) }
      most = max(most, state.rememberedCount)
    }
    // In the line and in the order of wishes, each beside twice the five who live.
    #expect(most <= 2 * (2 * 5 + WaitLineState.spareMax))
    #expect(state.leave(first) == [other, behind])
    #expect(state.isFirst(behind))
    #expect(state.hasPlace(other))
  }

  @Test func thoseBehindKnowWhatTheFirstWasTold() {
    var state = state
    let tickets = (1...2).map { _ in state.join("a")! }
    #expect(state.reason(for: tickets[1]) == nil)
    state.note(LatchkeyError(.unavailable, "away"), by: tickets[0])
    #expect(state.reason(for: tickets[1])?.code == .unavailable)
  }
}

/// Many callers of one client, at a server of this release.
@Suite(.timeLimit(.minutes(2)))
struct WaitLineTests {
  @Test func callersAreServedInTheOrderInWhichTheyCame() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server)
    let order = Shared<[Int]>([])
    let held = try await client.acquire("a", owner: "me", lease: .seconds(600))
    let tasks = try await queue(200, on: "a", client) { number in
      order.change { $0.append(number) }
    }
    try await client.release("a", token: held.token!)
    for task in tasks { try await task.value }
    #expect(order.now == Array(1...200))
    await client.shutdown()
    try await server.stop()
  }

  /// While 200 wait for one key, another is handed over as soon as it is released.
  @Test func anotherKeyIsHandedOverAtOnce() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server)
    for key in ["a", "b"] {
      _ = try await client.acquire(key, owner: "me", lease: .seconds(600))
    }
    let waiting = try await queue(200, on: "a", client) { _ in }
    let granted = Shared(false)
    let other = try await queue(1, on: "b", client) { _ in granted.set(true) }
    try await client.release("b", owner: "me")
    // A poll would take ten minutes.
    for task in other { try await task.value }
    #expect(granted.now)
    for task in waiting { task.cancel() }
    for task in waiting { _ = await task.result }
    await client.shutdown()
    try await server.stop()
  }

  /// Two clients, one with a long line: the other one's single caller is not kept waiting behind
  /// it.
  @Test func aLongLineDoesNotStarveOtherClients() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let (crowd, single) = (try client(server), try client(server))
    let served = Shared(0)
    let held = try await crowd.acquire("a", owner: "me", lease: .seconds(600))
    let tasks = try await queue(100, on: "a", crowd) { _ in served.change { $0 += 1 } }
    let before = Shared(-1)
    let one = try await queue(1, on: "a", single) { _ in before.set(served.now) }
    // It knows that the lock is held, and asks the server to wait.
    try await until { single.lines.reason(for: 1) != nil }
    try await crowd.release("a", token: held.token!)
    for task in one + tasks { try await task.value }
    // In its turn at the server, where the crowd has one place in line at a time.
    #expect((0..<50).contains(before.now), "after \(before.now) of the crowd")
    for client in [crowd, single] { await client.shutdown() }
    try await server.stop()
  }

  @Test func whoWaitsInLineLeavesItInTime() async throws {
    let time = ManualTime()
    let locks = FakeLocks()
    locks.give("a", to: "somebody")
    let server = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([server], time: time)
    let first = Task { await code { try await client.withLock("a") { _ in } } }
    try await client.lines.until(1)
    let late = Task {
      await code { try await client.withLock("a", wait: .milliseconds(30)) { _ in } }
    }
    try await client.lines.until(2)
    let cancelled = Task { await code { try await client.withLock("a") { _ in } } }
    try await client.lines.until(3)
    let isServed = Shared(false)
    let last = Task {
      await code { try await client.withLock("a") { _ in isServed.set(true) } }
    }
    try await client.lines.until(4)
    await time.untilPlanned(at: .milliseconds(50))
    cancelled.cancel()
    #expect(await cancelled.value == .cancelled)
    await time.untilPlanned(at: .milliseconds(30))
    try await time.advance(to: .milliseconds(30))
    #expect(await late.value == .waitEnded)
    // Only the first one has asked.
    #expect(server.requests("Lock").count == 1)
    locks.give("a", to: nil)
    try await time.advance(to: .milliseconds(50))
    #expect(await first.value == nil)
    // It asks once the first one has the lock, and polls, as these servers cannot wait.
    try await until {
      try await time.advance(to: time.elapsed + .milliseconds(10))
      return isServed.now
    }
    #expect(await last.value == nil)
    #expect(Set(server.requests("Lock").map { $0.claim!.resource.owner }).count == 2)
    await client.shutdown()
    try await server.stop()
  }

  /// One key more than there are places for: each has its request wait at the server in turn.
  @Test func placesAtTheServerGoRound() async throws {
    let scene = try await Scene()
    let keys = (0...ClientLimits.waitsMax).map { "k\($0)" }
    for key in keys { scene.locks.give(key, to: "somebody") }
    let tasks = keys.map { key in
      Task { await code { try await scene.client.withLock(key) { _ in } } }
    }
    // As these servers refuse at once, places come free as soon as another key wants one.
    try await until {
      try await scene.time.advance(to: scene.time.elapsed + .milliseconds(10))
      return Set(scene.claims.filter { $0.wait.seconds > 0 }.map(\.key)).count == keys.count
    }
    for task in tasks { task.cancel() }
    for task in tasks { #expect(await task.value == .cancelled) }
    try await scene.end()
  }

  /// Who may hold the key already renews it, past those who wait for its release.
  @Test func aRenewalDoesNotStandInLine() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let client = try client(server)
    _ = try await client.acquire("a", owner: "me", lease: .seconds(600))
    let waiting = try await queue(3, on: "a", client) { _ in }
    let renewed = try await client.acquire("a", owner: "me", lease: .seconds(600), wait: nil)
    #expect(renewed.isRenewal)
    for task in waiting { task.cancel() }
    for task in waiting { _ = await task.result }
    await client.shutdown()
    try await server.stop()
  }

  // MARK: - Support

  private func client(_ server: InProcessServer) throws -> LatchkeyClient {
    var configuration = LatchkeyClient.Configuration(
      endpoints: [try Endpoint("\(InProcessServer.host):\(server.port)")])
    configuration.requestTimeout = .seconds(60)
    configuration.pollInterval = .init(min: .seconds(600), max: .seconds(600))
    return LatchkeyClient(configuration)
  }

  /// Starts `count` tasks, each once the one before is in line.
  private func queue(
    _ count: Int, on key: String, _ client: LatchkeyClient,
    _ body: @escaping @Sendable (Int) -> Void
  ) async throws -> [Task<Void, any Error>] {
    let before = client.lines.count
    var tasks: [Task<Void, any Error>] = []
    for number in 1...count {
      tasks.append(
        Task { try await client.withLock(key, lease: .seconds(60)) { _ in body(number) } })
      try await client.lines.until(before + number)
    }
    return tasks
  }
}

extension WaitLines {
  fileprivate func until(_ count: Int) async throws {
    try await LatchkeyClientTests.until { self.count == count }
  }
}
