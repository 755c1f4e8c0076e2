import Glibc
import TestKit
import Testing

@Suite("Command line: one owner twice", .serialized)
struct CLISameOwnerTests {
  @Test("The second run is refused, and the first one holds on")
  func refused() async throws {
    try await CLIServer.run { server in
      let first = try server.start(
        "lock", "k", "--owner", "me", "--", "sh", "-c", "echo first; exec sleep 300")
      defer { first.signal(SIGKILL) }
      try await first.output.line(containing: "first")
      for command in ["lock", "presence"] {
        let second = try await server.run(
          command, "k", "--owner", "me", "--", "echo", "second")
        #expect(second.end == .exited(75))
        #expect(second.output.isEmpty)
        #expect(second.errors == ["latchkey: \"k\" is already held by this owner, \"me\""])
      }
      // It is still there, with its token: nothing was released.
      let get = try await server.run("get", "k", "--output", "json")
      #expect(get.end == .exited(0))
      #expect(get.output.joined().contains("\"me\""))
    }
  }
}
