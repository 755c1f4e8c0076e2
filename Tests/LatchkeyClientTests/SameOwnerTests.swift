import TestKit
import Testing
import WireSchema

@testable import LatchkeyClient

/// Two calls in the name of one owner, which are one holder to the servers.
@Suite(.timeLimit(.minutes(2)))
struct SameOwnerTests {
  @Test(arguments: [false, true])
  func theSecondIsRefusedAndTheFirstGoesOn(waits: Bool) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let (first, second) = (try client(server), try client(server))
    let error = try await first.withLock("a", owner: "me") { grant in
      let error = await #expect(throws: LatchkeyError.self) {
        try await second.withLock("a", owner: "me", wait: waits ? nil : .zero) { _ in
          _ = Issue.record("the second body ran")
        }
      }
      #expect(
        await code {
          try await second.withPresence("a", owner: "me", wait: waits ? nil : .zero) { _ in }
        } == .alreadyHeld)
      // It is the first one's: nothing was released.
      #expect(try await second.fetch("a")?.token == grant.token)
      // Asking for a grant goes on renewing.
      let renewed = try await second.acquire("a", owner: "me", lease: .seconds(60))
      #expect(renewed.isRenewal && renewed.token == grant.token)
      #expect(try await second.claim("a", owner: "me", lease: .seconds(60)).isRenewal)
      return error
    }
    #expect(error?.code == .alreadyHeld)
    #expect(error?.holder == "me")
    #expect(error?.message == "\"a\" is already held by this owner, \"me\"")
    #expect(try await second.fetch("a") == nil)
    for client in [first, second] { await client.shutdown() }
    try await server.stop()
  }

  /// A claim that got no answer may be what the next one finds.
  @Test(arguments: [FakeAnswer.hangUp, .silence])
  func aRetryOfOnesOwnIsNotAnother(answer: FakeAnswer) async throws {
    let scene = try await Scene { $0.requestTimeout = .seconds(1) }
    let locks = scene.locks
    scene.server.change { request in
      let granted = locks.answer(request)
      return scene.server.requests("Acquire").count == 1 ? answer : granted
    }
    let task = Task { try await scene.client.withLock("a") { $0.token } }
    try await scene.server.received(1, "Acquire")
    try await until {
      try await scene.time.advance(to: scene.time.elapsed + .milliseconds(20))
      return scene.server.requests("Release").count == 1
    }
    #expect(try await task.value == 1)
    #expect(locks.owner(of: "a") == nil)
    try await scene.end()
  }

  /// Servers of wire v1 do not say whether they granted or renewed, but who holds it.
  @Test(arguments: [0, 2])
  func whatIsRefusedIsNotRenewed(wire: Int) async throws {
    let scene = try await Scene(wire: WireVersions.all[wire])
    scene.locks.give("a", to: "me")
    for wait in [Duration.zero, nil] {
      #expect(
        await code { try await scene.client.withLock("a", owner: "me", wait: wait) { _ in } }
          == .alreadyHeld)
    }
    // The one who holds it may have died: its lease has to come to its end.
    #expect(scene.claims.isEmpty)
    scene.locks.give("a", to: nil)
    try await scene.client.withLock("a", owner: "me") { _ in }
    try await scene.end()
  }

  /// Both find that the owner holds nothing, and then both ask.
  @Test func aRaceIsNoticed() async throws {
    let scene = try await Scene()
    let locks = scene.locks
    scene.server.change { request in
      let answer = locks.answer(request)
      if request.method == "Get" { locks.give("a", to: "me") }
      return answer
    }
    #expect(
      await code { try await scene.client.withLock("a", owner: "me") { _ in } } == .alreadyHeld)
    #expect(scene.server.requests.map(\.method) == ["Get", "Acquire"])
    #expect(locks.owner(of: "a") == "me")
    try await scene.end()
  }

  private func client(_ server: InProcessServer) throws -> LatchkeyClient {
    var configuration = LatchkeyClient.Configuration(
      endpoints: [try Endpoint("\(InProcessServer.host):\(server.port)")])
    configuration.requestTimeout = .seconds(60)
    return LatchkeyClient(configuration)
  }
}
