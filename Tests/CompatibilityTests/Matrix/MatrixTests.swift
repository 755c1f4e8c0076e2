import Glibc
import TestKit
import Testing

/// Every client version with every server version: real programs, real sockets, a real store.
@Suite("Matrix", .serialized, .timeLimit(.minutes(10)))
struct MatrixTests {
  struct Pairing: Sendable, CustomTestStringConvertible {
    var client: ReleasedPrograms
    var server: ReleasedPrograms

    var testDescription: String { "client \(client.version), server \(server.version)" }

    /// Those that the present version is part of: the others were tried when they were the present.
    static let all = ReleasedPrograms.all.flatMap { client in
      ReleasedPrograms.all.map { Pairing(client: client, server: $0) }
    }.filter { $0.client.isHead || $0.server.isHead }
  }

  @Test("any-pair: the scenario table", arguments: Pairing.all, Route.allCases)
  func table(_ pairing: Pairing, _ route: Route) async throws {
    let (client, server) = (pairing.client, pairing.server)
    guard route.isOpen(to: client, server) else { return }
    try await Stage.run(server: server, route) { stage in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for scenario in Scenario.allCases {
          group.addTask { try await scenario.play(client, server, on: stage) }
        }
        try await group.waitForAll()
      }
    }
  }

  /// The command runs once, from the first server to the last.
  @Test(
    "any-pair, fence: a holder keeps its lock and its token while its server is replaced, to and fro",
    arguments: Pairing.all)
  func replacement(_ pairing: Pairing) async throws {
    let (client, first) = (pairing.client, pairing.server)
    let routes =
      Route.faithful
      + [.tls, .haproxyEndingTLS].filter { route in
        ([first] + first.neighbours).allSatisfy { route.isOpen(to: client, $0) }
      }
    try await Stage.run(server: first, routes) { stage in
      // A machine that stands still for seconds does not end it.
      let holder = try stage.start(
        client, "lock", "k", "--ttl", "10s", "--owner", "me", "--", "sh", "-c",
        "echo begins; exec sleep 600")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "begins")
      for second in first.neighbours {
        for (server, afterCrash) in [(second, false), (first, true)] {
          try await stage.replaceServer(by: server, afterCrash: afterCrash)
          try await stage.waitForRenewal(of: "k")
          for contender in stage.clients {
            try await stage.run(contender, "claim", "k", "--owner", "you", exit: 75)
          }
        }
      }
      let row = try #require(try stage.row("k"))
      #expect(row.owner == "me" && row.token == 1, "by route \(stage.route)")
      #expect(!holder.hasEnded, "by route \(stage.route)")
      holder.signal(SIGTERM)
      let end = try await holder.result()
      #expect(end.end == .exited(128 + SIGTERM) && end.output == ["begins"])
      #expect(try stage.row("k")?.owner == nil)
    }
  }
}
