import Testing

@testable import LatchkeyClient

/// A lock that is wanted while another one is held.
@Suite(.timeLimit(.minutes(2)))
struct NestedLockTests {
  /// Nobody but the log could tell why nothing goes on.
  @Test(arguments: ["a", "b"]) func aBodyThatWaitsForItselfIsSaid(inner: String) async throws {
    let recorder = LogRecorder()
    let scene = try await Scene { $0.logger = recorder.logger }
    scene.locks.give("b", to: "somebody")
    let task = Task {
      await code {
        try await scene.client.withLock("a") { _ in
          try await scene.client.withLock(inner) { _ in _ = Issue.record("the body ran") }
        }
      }
    }
    // One that finds it held, and one that waits.
    try await scene.server.received(3, "Acquire")
    try await scene.advance(to: ClientLimits.waitForItselfMax)
    await scene.client.untilSaid()
    #expect(
      recorder.lines(.warning).map { "\($0.message) \($0.metadata)" }
        == (inner == "b"
          ? []
          : [
            "a body waits for the lock that it holds itself, which ends only with the body "
              + "[\"key\": \"a\"]"
          ]))
    task.cancel()
    #expect(await task.value == .cancelled)
    try await scene.end()
  }

  /// One try does not wait, and another task is not the body.
  @Test func whoDoesNotWaitForItselfIsNotWarned() async throws {
    let recorder = LogRecorder()
    let scene = try await Scene { $0.logger = recorder.logger }
    try await scene.client.withLock("a") { _ in
      #expect(
        await code { try await scene.client.withLock("a", wait: .zero) { _ in } } == .waitEnded)
      let other = Task.detached {
        await code { try await scene.client.withLock("a", wait: .seconds(3)) { _ in } }
      }
      try await scene.server.received(4, "Acquire")
      try await scene.advance(to: ClientLimits.waitForItselfMax)
      other.cancel()
      #expect(await other.value == .cancelled)
    }
    await scene.client.untilSaid()
    #expect(recorder.lines(.warning).isEmpty)
    try await scene.end()
  }
}
