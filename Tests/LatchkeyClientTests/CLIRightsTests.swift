import Access
import Glibc
import TestKit
import Testing

/// What the command line says to somebody whom a policy does not allow everything.
@Suite(.timeLimit(.minutes(2)))
struct CLIRightsTests {
  private let folder: StoreFolder

  init() throws {
    folder = try StoreFolder()
    let token = Tokens.new()
    try folder.write(Tokens.line(for: token, name: "one"), to: "tokens")
    try folder.write(token, to: "token")
  }

  private func run(policy: String, _ body: (ServerProgram) async throws -> Void) async throws {
    try folder.write(policy, to: "policy")
    let server = try await ServerProgram.start(
      store: folder.file,
      arguments: ["--policy", folder.path("policy"), "--tokens", folder.path("tokens")])
    do {
      try await body(server)
    } catch {
      try? await server.kill()
      throw error
    }
    try await server.kill()
  }

  private func lock(_ server: ServerProgram, _ arguments: String...) throws -> Program {
    try Program(
      "latchkey",
      ["lock", "--server", server.address, "--token-file", folder.path("token")] + arguments)
  }

  @Test("A holder that loses its right hears of it with the end of its lease")
  func revoked() async throws {
    try await run(policy: "token:one hold *") { server in
      let holder = try lock(server, "k", "--ttl", "2s", "--", "sh", "-c", "echo on; exec sleep 300")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "on")
      try folder.write("token:one read *", to: "policy")
      server.program.signal(SIGHUP)
      #expect(try await holder.exit() == .exited(75))
      #expect(
        try await holder.errors.all().last
          == "latchkey: the lease of lock \"k\" could not be renewed in time, so the command was "
          + "stopped: token:one may not hold \"k\"")
    }
  }

  @Test("What may not be given back any more is said")
  func unreleased() async throws {
    try await run(policy: "token:one hold *") { server in
      let holder = try lock(
        server, "k", "--", "sh", "-c",
        "echo on; while [ ! -e \(folder.path("go")) ]; do sleep 0.05; done")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "on")
      try folder.write("token:one read *", to: "policy")
      server.program.signal(SIGHUP)
      while try await Program.run(
        "latchkey",
        [
          "claim", "x", "--owner", "o", "--server", server.address, "--token-file",
          folder.path("token"),
        ]
      ).end != .exited(77) {}
      try folder.write("", to: "go")
      _ = try await holder.exit()
      #expect(
        try await holder.errors.all() == [
          "latchkey: \"k\" could not be given back and is held until its lease ends: "
            + "token:one may not hold \"k\""
        ])
    }
  }

  @Test("Who may hold and not see claims, and is told who holds")
  func holdsUnseen() async throws {
    try await run(policy: "token:one hold *\nlimit token:one requests=1000") { server in
      func claim(_ owner: String) async throws -> Program.Result {
        try await Program.run(
          "latchkey",
          [
            "claim", "k", "--owner", owner, "--label", "team=a", "--output", "json", "--server",
            server.address, "--token-file", folder.path("token"),
          ])
      }
      for _ in 1...2 {
        let done = try await claim("first")
        #expect(done.end == .exited(0) && done.errors == [])
        #expect(done.output.contains(#"    "team": "a""#), "\(done.output)")
      }
      #expect(try await claim("second").errors == ["latchkey: \"k\" is held by \"first\""])
      for wait in ["0s", "1s"] {
        let waited = try await lock(server, "k", "--wait", wait, "--", "true").result()
        #expect(waited.end == .exited(75))
        #expect(waited.errors.last == "latchkey: \"k\" is held by \"first\"")
      }
    }
  }

  @Test("bench shows its token")
  func bench() async throws {
    try await run(policy: "token:one hold,read *") { server in
      for (arguments, status) in [(["--token-file", folder.path("token")], 0), ([], 77)] {
        let result = try await Program.run(
          "latchkey",
          [
            "bench", "--requests", "20", "--warmup", "0s", "--streams", "2", "--server",
            server.address,
          ]
            + arguments)
        #expect(result.end == .exited(Int32(status)))
      }
    }
  }

  @Test("Who waits waits for room under a limit, too")
  func atALimit() async throws {
    try await run(policy: "token:one hold *\nlimit token:one held=1") { server in
      let first = try lock(server, "a", "--", "sh", "-c", "echo on; exec sleep 300")
      defer { first.signal(SIGKILL) }
      try await first.output.line(containing: "on")
      let impatient = try await lock(server, "b", "--wait", "0s", "--", "true").result()
      #expect(impatient.end == .exited(75))
      let second = try lock(server, "b", "--", "echo", "second")
      defer { second.signal(SIGKILL) }
      try await second.errors.line(containing: "waiting for \"b\": ")
      first.signal(SIGTERM)
      #expect(try await second.output.all() == ["second"])
      #expect(try await second.exit() == .exited(0))
    }
  }
}
