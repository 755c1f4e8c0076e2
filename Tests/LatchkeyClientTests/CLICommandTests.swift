import Glibc
import SwiftProtobuf
import TestKit
import Testing
import WireSchema

@testable import latchkey

@Suite("Command line: commands", .serialized)
struct CLICommandTests {
  @Test(
    "The exit code of lock is that of its command, as in a shell",
    arguments: [
      (["sh", "-c", "exit 7"], Int32(7), nil), (["sh", "-c", "kill -TERM $$"], 143, nil),
      (["/nonexistent/program"], 127, "No such file"), (["/etc/passwd"], 126, "Permission denied"),
      (["true"], 0, nil), (["no-such-program-in-the-path"], 127, "No such file"),
    ] as [([String], Int32, String?)])
  func exitCodes(command: [String], code: Int32, message: String?) async throws {
    try await CLIServer.run { server in
      let result = try await server.run(["lock", "k", "--"] + command)
      #expect(result.end == .exited(code))
      #expect(result.errors.count == (message == nil ? 0 : 1))
      if let message { #expect(result.errors.first?.contains(message) == true) }
    }
  }

  @Test(
    "What makes no sense is a usage error",
    arguments: [
      ["lock", "k"], ["lock", "k", "--wait", "soon", "--", "true"], ["claim", "k"],
      ["list", "--kind", "door"], ["list", "--output", "xml"], ["list", "--timeout", "0"],
      ["get", "k", "--server", "a:b:c"], ["bench", "--op", "claim", "--mix", "fetch=1"],
      ["bench", "--connections", "0"], ["bench", "--ttl", "1500ms"], ["frobnicate"],
      ["list", "--quiet", "--verbose"], ["list", "--server", ""], ["list", "--server", ","],
      ["list", "--label", "a=1", "--label", "a=2"], ["list", "--label", "a"],
      ["claim", "k", "--owner", "o", "--label", "a=1", "--label", "a=1"],
      ["lock", "k", "--attribute", "a=1", "--attribute", "a=2", "--", "true"],
    ])
  func usage(arguments: [String]) async throws {
    let result = try await Program.run("latchkey", arguments)
    #expect(result.end == .exited(64))
    #expect(!result.errors.isEmpty)
    #expect(result.output.isEmpty)
  }

  @Test(
    "Without a server, one line says so",
    arguments: [
      ["lock", "k", "--", "echo", "never"], ["claim", "k", "--owner", "o"], ["get", "k"], ["list"],
      ["release", "k", "--owner", "o"], ["status"], ["bench", "--duration", "1s", "--quiet"],
      ["presence", "k"],
    ])
  func noServer(arguments: [String]) async throws {
    // Port 1 of this host: nobody listens there.
    let result = try await Program.run(
      "latchkey",
      arguments[..<1] + ["--server", "127.0.0.1:1", "--timeout", "500ms"]
        + arguments.dropFirst())
    #expect(result.end == .exited(69))
    #expect(result.output.isEmpty)
    #expect(result.errors.count == 1)
    #expect(result.errors.first?.hasPrefix("latchkey: ") == true)
  }

  @Test("Of several servers each one's reason is told, with an end")
  func noServerOfSeveral() async throws {
    let ports = 1...5
    let result = try await Program.run(
      "latchkey",
      ["list", "--timeout", "2s"] + ports.flatMap { ["--server", "127.0.0.1:\($0)"] })
    #expect(result.end == .exited(69))
    let line = try #require(result.errors.last)
    for port in [3, 4, 5] {
      #expect(line.contains("cannot reach 127.0.0.1:\(port): "), "\(line)")
    }
    #expect(line.hasSuffix("; and 2 more"))
  }

  @Test("Claim, get, list and release")
  func roundTrip() async throws {
    try await CLIServer.run { server in
      #expect(
        try await server.run("claim", "b", "--owner", "x", "--value", "v 1").output == [
          "KEY  KIND  OWNER  TOKEN  VALUE", "b    lock  x      1      v 1",
        ])
      #expect(
        try await server.run("claim", "a", "--owner", "y", "--kind", "presence").end == .exited(0))
      let refused = try await server.run("claim", "b", "--owner", "z")
      #expect(refused.end == .exited(75))
      #expect(refused.errors == ["latchkey: \"b\" is held by \"x\""])
      let busy = try await server.run("lock", "b", "--wait", "0", "--", "echo", "never")
      #expect(busy.end == .exited(75))
      #expect(busy.errors == ["latchkey: \"b\" is held by \"x\""])
      let late = try await server.run("lock", "b", "--wait", "300ms", "-q", "--", "echo", "never")
      #expect(late.end == .exited(75))
      #expect(late.errors == ["latchkey: \"b\" is held by \"x\""])

      #expect(
        try await server.run("list").output == [
          "KEY  KIND      OWNER  TOKEN  VALUE", "b    lock      x      1      v 1",
          "a    presence  y      1",
        ])
      #expect(try await server.run("list", "--kind", "presence").output.count == 2)
      #expect(try await server.run("list", "--prefix", "b").output.count == 2)
      #expect(try await server.run("list", "--prefix", "bb").output.count == 1)
      #expect(try await server.run("release", "b", "--owner", "y").end == .exited(75))
      #expect(try await server.run("release", "b", "--owner", "x").end == .exited(0))
      let gone = try await server.run("get", "b")
      #expect(gone.end == .exited(1))
      #expect(gone.errors == ["latchkey: nobody holds \"b\""])
      #expect(try await server.run("release", "b", "--owner", "x").end == .exited(0))
    }
  }

  @Test("events tell who did what to a key")
  func events() async throws {
    try await CLIServer.run { server in
      _ = try await server.run("claim", "k", "--owner", "x y")
      _ = try await server.run("release", "k", "--owner", "x y")
      let shown = try await server.run("events", "k")
      #expect(shown.end == .exited(0))
      #expect(shown.output.count == 3 && shown.output[1].contains("granted"), "\(shown.output)")
      #expect(shown.output[2].contains("released") && shown.output[2].contains("x y"))
      let json = try await server.run("events", "--limit", "1", "-o", "json")
      #expect(json.output.contains(#"    "event": "released","#), "\(json.output)")
      #expect(try await server.run("events", "--limit", "0").end == .exited(64))
    }
  }

  @Test("health tells by its exit code, and waits where it is told to")
  func health() async throws {
    try await CLIServer.run { server in
      let ready = try await server.run("health")
      #expect(ready.end == .exited(0))
      #expect(ready.errors == ["latchkey: \(server.address): ready"])
      let file = try SQLiteFile(server.store)
      try file.run("BEGIN IMMEDIATE")
      // A write finds out.
      _ = try await server.run("claim", "k", "--owner", "o", "--timeout", "3s")
      let failing = try await server.run("health", "--output", "json")
      #expect(failing.end == .exited(69))
      #expect(
        failing.output.contains { $0.contains("\"reason\": \"not ready: ") }, "\(failing.output)")
      async let waited = server.run("health", "--wait", "100s")
      try file.run("ROLLBACK")
      #expect(try await waited.end == .exited(0))
      server.signal(SIGKILL)
      let gone = try await server.run("health", "--timeout", "1s")
      #expect(gone.end == .exited(69) && gone.errors.count == 1, "\(gone.errors)")
    }
  }

  @Test("Attributes and labels are shown, and lists filter on them, whatever the kind")
  func attributesAndLabels() async throws {
    try await CLIServer.run { server in
      for (key, more) in [
        ("p", ["--kind", "presence", "--attribute", "zone=z1", "--label", "team=a"]),
        ("q", ["--attribute", "zone=z1", "--attribute", "cores=8", "--label", "team=a"]),
        ("r", ["--attribute", "zone=\"1\"", "--label", "team=b"]), ("s", ["--value", "v"]),
      ] {
        let claim = try await server.run(["claim", key, "--owner", "o"] + more)
        #expect(claim.end == .exited(0), "\(claim.errors)")
      }
      #expect(
        try await server.run("list", "--attribute", "zone=z1").output == [
          "KEY  KIND      OWNER  TOKEN  cores  zone  LABELS",
          "q    lock      o      1      8      z1    team=a",
          "p    presence  o      1             z1    team=a",
        ])
      let labelled = try await server.run("list", "--label", "team=a", "--kind", "presence")
      #expect(labelled.output.count == 2)
      #expect(try await server.run("list", "--attribute", "zone=1").output.count == 1)
      #expect(try await server.run("list", "--attribute", "zone=\"1\"").output.count == 2)
      for command in [["list"], ["claim", "t", "--owner", "x"]] {
        for number in ["01234", "+1", "9007199254740993"] {
          let refused = try await server.run(command + ["--attribute", "zip=\(number)"])
          #expect(refused.end == .exited(64))
          #expect(
            refused.errors.first?.contains("\(number) is not a number of JSON, or not one") == true)
          #expect(refused.errors.first?.contains("'zip=\"\(number)\"'") == true)
        }
        let nameless = try await server.run(command + ["--attribute", "zip"])
        #expect(nameless.errors.first?.contains("Write name=value.") == true)
      }
    }
  }

  @Test("A token frees its own grant, and none that came after it")
  func releaseByToken() async throws {
    try await CLIServer.run { server in
      for token in ["1", "2"] {
        #expect(try await server.run("claim", "k", "--owner", "o").end == .exited(0))
        let release = try await server.run("release", "k", "--token", token, "-o", "json")
        #expect(release.end == .exited(0))
        #expect(
          try parse(release.output).structValue.fields == [
            "key": "k", "token": .init(numberValue: Double(token)!), "released": true,
          ])
      }
      for free in ["k", "never held"] {
        #expect(try await server.run("release", free, "--token", "2").end == .exited(0))
      }
      #expect(try await server.run("claim", "k", "--owner", "o").end == .exited(0))
      let old = try await server.run("release", "k", "--token", "2")
      #expect(old.end == .exited(75))
      #expect(old.errors == ["latchkey: \"k\" is held by \"o\""])
      for arguments in [[], ["--owner", "o", "--token", "3"]] {
        #expect(try await server.run(["release", "k"] + arguments).end == .exited(64))
      }
    }
  }

  @Test("JSON comes back as it went in")
  func json() async throws {
    try await CLIServer.run { server in
      let value = "a\"b\\c\n\u{1b}é"
      let claim = try await server.run(
        "claim", "k", "--owner", "o", "--value", value, "--output", "json")
      let get = try await server.run("get", "k", "-o", "json")
      let expected: [String: Google_Protobuf_Value] = [
        "key": "k", "kind": "lock", "owner": "o", "value": .init(stringValue: value),
        "token": 1, "revision": 1, "leaseSeconds": 15, "attributes": .init(nilLiteral: ()),
        "labels": .init(structValue: .init()), "grantedAt": .init(nilLiteral: ()),
      ]
      #expect(try parse(claim.output).structValue.fields == expected)
      #expect(try parse(get.output).structValue.fields == expected)
      let list = try await server.run("list", "-o", "json", "--kind", "lock")
      #expect(try parse(list.output).listValue.values.map(\.structValue.fields) == [expected])
      let release = try await server.run("release", "k", "--owner", "o", "-o", "json")
      #expect(
        try parse(release.output).structValue.fields == [
          "key": "k", "owner": "o", "released": true,
        ])
      #expect(try parse(await server.run("list", "-o", "json").output).listValue.values.isEmpty)
      let gone = try await server.run("get", "k", "-o", "json")
      #expect(gone.output == ["null"])
      #expect(gone.end == .exited(1))
    }
  }

  @Test("Status tells of client, connection, server, store and fleet")
  func status() async throws {
    try await CLIServer.run { server in
      let result = try await server.run("status", "--output", "json")
      let status = try parse(result.output).structValue.fields
      #expect(
        status["connection"]?.structValue.fields["endpoint"]?.stringValue == server.address)
      #expect(status["connection"]?.structValue.fields["wire"]?.numberValue == 3)
      #expect(status["client"]?.structValue.fields["software"]?.stringValue == Release.version)
      let id = try #require(status["server"]?.structValue.fields["id"]?.stringValue)
      let fleet = try #require(status["fleet"]?.listValue.values)
      #expect(fleet.map { $0.structValue.fields["id"]?.stringValue } == [id])
      #expect(
        status["store"]?.structValue.fields["location"]?.stringValue.hasPrefix("sqlite:") == true)
      let table = try await server.run("status")
      #expect(table.end == .exited(0))
      #expect(table.output.contains { $0.hasPrefix("server ") && $0.contains(id) })
      #expect(table.output.contains { $0.hasPrefix("SERVER") })
      #expect(table.output.contains { $0.hasPrefix(id) && $0.contains(server.address) })
    }
  }

  @Test("A reader that goes away is no crash")
  func closedOutput() async throws {
    try await CLIServer.run { server in
      let list = try server.start("list", closesOutput: true)
      defer { list.signal(SIGKILL) }
      #expect(try await list.exit() == .exited(128 + SIGPIPE))
      #expect(try await list.errors.all() == [])
    }
  }

  @Test("The second server of a list answers where the first is gone")
  func secondServer() async throws {
    try await CLIServer.run { server in
      let result = try await Program.run(
        "latchkey", ["list"], environment: ["LATCHKEY_SERVER=127.0.0.1:1, \(server.address)"])
      #expect(result.end == .exited(0))
    }
  }

  @Test(
    "Help, version and completions are there",
    arguments: [
      (["--version"], Release.version), (["--help"], "LATCHKEY_SERVER"),
      (["help", "lock"], "EXIT CODES"),
      (["lock", "--help"], "latchkey lock nightly -- ./backup.sh"),
      (["presence", "--help"], "EXIT CODES"), (["claim", "--help"], "EXIT CODES"),
      (["release", "--help"], "EXIT CODES"), (["get", "--help"], "EXIT CODES"),
      (["list", "--help"], "EXIT CODES"), (["status", "--help"], "EXIT CODES"),
      (["bench", "--help"], "EXIT CODES"), (["--generate-completion-script", "bash"], "presence"),
      (["--generate-completion-script", "zsh"], "presence"),
      (["--generate-completion-script", "fish"], "presence"),
    ])
  func help(arguments: [String], text: String) async throws {
    let result = try await Program.run("latchkey", arguments)
    #expect(result.end == .exited(0))
    #expect(result.errors.isEmpty)
    #expect(result.output.contains { $0.contains(text) })
  }

  private func parse(_ lines: [String]) throws -> Google_Protobuf_Value {
    try Google_Protobuf_Value(jsonString: lines.joined(separator: "\n"))
  }
}
