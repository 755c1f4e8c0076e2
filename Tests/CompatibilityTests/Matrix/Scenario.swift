import Glibc
import TestKit
import Testing

/// What has to work between a client and a server of whatever versions: the scenario table. Each
/// scenario has keys of its own.
enum Scenario: String, CaseIterable, Sendable {
  case claim, renew, collide, release, expire, fetch, list, hold, presence, status

  func play(
    _ client: ReleasedPrograms, _ server: ReleasedPrograms, on stage: Stage
  ) async throws {
    let key = "matrix/\(rawValue)"
    switch self {
    case .claim:
      try await stage.run(client, "claim", key, "--owner", "me", "--ttl", "1h")
      let row = try stage.row(key)
      // One grant, however often it had to be asked for.
      #expect(row?.owner == "me" && row?.token == 1)

    case .renew:
      try await stage.run(client, "claim", key, "--owner", "me", "--ttl", "1h", "--value", "a")
      try await stage.run(client, "claim", key, "--owner", "me", "--ttl", "2h", "--value", "b")
      let row = try #require(try stage.row(key))
      #expect(row.owner == "me" && row.token == 1 && row.revision >= 2)
      #expect(try await stage.json(client, "get", key).member("value").string == "b")

    case .collide:
      try await stage.run(client, "claim", key, "--owner", "me", "--ttl", "1h")
      let held = try stage.row(key)
      // Clients of all versions keep each other out.
      for other in stage.clients {
        try await stage.run(other, "claim", key, "--owner", "you", "--ttl", "1h", exit: 75)
        try await stage.run(other, "lock", key, "--wait", "0", "--", "false", exit: 75)
        // Where an answer was lost, the owner may have held it then; either way it does not now.
        let release = try await stage.start(other, "release", key, "--owner", "you").result()
        #expect(
          release.end == .exited(75) || stage.route == .lostAnswers && release.end == .exited(0))
      }
      #expect(try stage.row(key) == held)

    case .release:
      try await stage.run(client, "claim", key, "--owner", "me", "--ttl", "1h")
      try await stage.run(client, "release", key, "--owner", "me")
      #expect(try stage.row(key)?.owner == nil)
      try await stage.run(client, "get", key, exit: 1)
      try await stage.run(client, "release", key, "--owner", "me")
      try await stage.run(client, "claim", key, "--owner", "you", "--ttl", "1h")
      #expect(try stage.row(key)?.token == 2)

    case .expire:
      let start = ContinuousClock.now
      try await stage.run(client, "claim", key, "--owner", "me", "--ttl", "1s")
      try await stage.run(client, "lock", key, "--owner", "you", "--", "true")
      // never-early: the lease cannot have begun before the claim was sent.
      #expect(ContinuousClock.now - start >= .seconds(1))
      // A claim whose answer was lost is a new grant where it is repeated after its lease.
      let token = try #require(try stage.row(key)?.token)
      #expect(token == 2 || stage.route == .lostAnswers && token > 2)

    case .fetch:
      let value = "Grüße, \\\"; DROP TABLE\t{}"
      try await stage.run(
        client, "claim", key, "--owner", "me", "--ttl", "1h", "--value", value,
        "--kind", "presence")
      let found = try await stage.json(client, "get", key)
      #expect(try found.member("key").string == key)
      #expect(try found.member("owner").string == "me")
      #expect(try found.member("kind").string == "presence")
      #expect(try found.member("value").string == value)
      try await stage.run(client, "get", "matrix/nobody", exit: 1)

    case .list:
      for (name, kind) in [("b", "lock"), ("a", "lock"), ("c", "presence")] {
        try await stage.run(
          client, "claim", "\(key)/\(name)", "--owner", name, "--ttl", "1h", "--kind", kind)
      }
      for (kind, names) in [("lock", ["a", "b"]), ("presence", ["c"])] {
        let list = try await stage.json(client, "list", "--kind", kind).list ?? []
        let mine = list.filter { $0.object?["key"]?.string?.hasPrefix(key) == true }
        #expect(mine.map { $0.object?["key"]?.string } == names.map { "\(key)/\($0)" })
        #expect(mine.map { $0.object?["owner"]?.string } == names)
        #expect(mine.allSatisfy { $0.object?["kind"]?.string == kind })
      }

    case .hold:
      // Renewed twice, and then handed to who waits, of whatever version. The lease outlasts a machine
      // that stands still for seconds.
      let holder = try stage.start(
        client, "lock", key, "--ttl", "6s", "--owner", "me", "--", "sleep", "600")
      defer { holder.signal(SIGKILL) }
      try await stage.wait(key) { $0.map { $0.owner == "me" && $0.revision >= 3 } ?? false }
      let waiters = try stage.clients.map {
        try stage.start($0, "lock", key, "--ttl", "30s", "--", "echo", "mine")
      }
      defer { for waiter in waiters { waiter.signal(SIGKILL) } }
      for waiter in waiters {
        try await waiter.errors.line(containing: "waiting for \"\(key)\", held by")
      }
      #expect(try stage.row(key)?.token == 1)
      holder.signal(SIGTERM)
      #expect(try await holder.exit() == .exited(128 + SIGTERM))
      for waiter in waiters {
        let result = try await waiter.result()
        #expect(result.end == .exited(0) && result.output == ["mine"])
      }
      #expect(try stage.row(key)?.token ?? 0 > Int64(waiters.count))

    case .presence:
      let program = try stage.start(
        client, "presence", key, "--value", "10.0.0.7:80", "--", "sh", "-c",
        "echo up; exec sleep 600")
      defer { program.signal(SIGKILL) }
      try await program.output.line(containing: "up")
      #expect(try await stage.json(client, "get", key).member("value").string == "10.0.0.7:80")
      program.signal(SIGTERM)
      #expect(try await program.exit() == .exited(128 + SIGTERM))
      #expect(try stage.row(key)?.owner == nil)

    case .status:
      let connection = try await stage.json(client, "status").member("connection")
      let common = min(client.newestWire, server.newestWire)
      #expect(try connection.member("wire").integer == Int64(common))
      #expect(try connection.member("reason").string?.isEmpty == false)
    }
  }
}
