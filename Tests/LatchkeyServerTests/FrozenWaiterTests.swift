import Glibc
import LatchkeyServer
import Storage
import TestKit
import Testing

/// Processes that are suspended while they wait: their sockets stay open, and their kernel acknowledges
/// what it is sent.
@Suite struct FrozenWaiterTests {
  /// Longer than any test takes: what a suspended process is granted nobody else gets.
  private static let lease = "3600s"

  @Test func whoIsSuspendedIsPassedOverAndHasItsPlaceWhenItGoesOn() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file) { configuration in
      // Whoever is to be granted something is asked first, however long ago it was heard.
      configuration.store.lifeQuestionNanoseconds = 1
      configuration.store.lifeCountsNanoseconds = 1
    }
    #expect(try await Self.call(server, "Acquire", lock("holder")).status == 200)
    var frozen: [Program] = []
    defer { for program in frozen { program.signal(SIGKILL) } }
    for _ in 0..<6 {
      let program = try Self.waiter(server, "echo", "thawed")
      frozen.append(program)
      try await program.errors.line(containing: "waiting for \"k\"")
    }
    let living = try Self.waiter(server, "echo", "living")
    defer { living.signal(SIGKILL) }
    try await living.errors.line(containing: "waiting for \"k\"")
    for program in frozen { program.signal(SIGSTOP) }

    #expect(try await Self.call(server, "Release", release("holder")).status == 200)
    try await living.output.line(containing: "living")
    #expect(try await living.exit() == .exited(0))
    #expect(frozen.allSatisfy { !$0.hasEnded })
    for program in frozen { program.signal(SIGCONT) }
    for program in frozen {
      try await program.output.line(containing: "thawed")
      #expect(try await program.exit() == .exited(0))
    }
    try await server.stop()
  }

  /// Nobody can ask over HTTP/1.1: who waits there is granted its turn as ever.
  @Test(arguments: HTTPVersion.allCases)
  func whoAnswersIsGrantedItsTurn(_ http: HTTPVersion) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file) { configuration in
      configuration.store.lifeQuestionNanoseconds = 1
      configuration.store.lifeCountsNanoseconds = 1
    }
    #expect(try await Self.call(server, "Acquire", lock("a")).status == 200)
    let waiting = Task {
      try await http.send(.json("Acquire", lock("b", wait: "100s"), wire: 3), port: server.port)
    }
    #expect(try await Self.call(server, "Release", release("a")).status == 200)
    #expect(try await waiting.value.status == 200)
    try await server.stop()
  }

  private func lock(_ owner: String, wait: String = "0s") -> String {
    "{\"key\":\"k\",\"owner\":\"\(owner)\",\"lease\":\"\(Self.lease)\",\"wait\":\"\(wait)\"}"
  }

  private func release(_ owner: String) -> String { "{\"key\":\"k\",\"owner\":\"\(owner)\"}" }

  private static func call(
    _ server: InProcessServer, _ method: String, _ body: String
  ) async throws -> Answer {
    try await HTTPVersion.http1.send(.json(method, body, wire: 3), port: server.port)
  }

  private static func waiter(_ server: InProcessServer, _ command: String...) throws -> Program {
    try Program(
      "latchkey", ["lock", "k", "--timeout", "100s", "--ttl", lease, "--"] + command,
      environment: ["LATCHKEY_SERVER=\(InProcessServer.host):\(server.port)"])
  }
}
