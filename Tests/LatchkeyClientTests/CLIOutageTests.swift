import TestKit
import Testing

/// What the command line says while there is no server.
@Suite(.timeLimit(.minutes(1)))
struct CLIOutageTests {
  private static let nobody = ["LATCHKEY_SERVER=http://127.0.0.1:1/"]
  private static let notice = "latchkey: cannot reach 127.0.0.1:1: Connection refused; trying on"

  @Test("A server that cannot be reached is said after two seconds, with the reason")
  func notice() async throws {
    let result = try await Program.run(
      "latchkey", ["get", "key", "--timeout", "4s"], environment: Self.nobody)
    #expect(result.end == .exited(69))
    #expect(result.errors.count == 2)
    #expect(result.errors.first == Self.notice)
  }

  /// Its tries follow each other, and one may end in the moment in which the outage is looked at.
  @Test("Who wants a lock hears of it each time")
  func noticeOfALock() async throws {
    let runCount = 8
    let lines = try await withThrowingTaskGroup(of: [String].self) { runs in
      for _ in 1...runCount {
        runs.addTask {
          let result = try await Program.run(
            "latchkey", ["lock", "key", "--timeout", "4s", "--", "true"],
            environment: Self.nobody)
          #expect(result.end == .exited(69))
          return result.errors
        }
      }
      return try await runs.reduce(into: []) { $0.append($1) }
    }
    #expect(lines.count == runCount)
    for errors in lines {
      #expect(errors.count == 2)
      #expect(errors.first == Self.notice)
    }
  }

  @Test("Who wants quiet hears of the error only")
  func quiet() async throws {
    let result = try await Program.run(
      "latchkey", ["get", "key", "--timeout", "4s", "--quiet"], environment: Self.nobody)
    #expect(result.end == .exited(69))
    #expect(result.errors.count == 1)
  }

  @Test(
    "A file of TLS that cannot be used is named",
    arguments: [["--tls-ca", "/nowhere.pem"], []])
  func noFile(arguments: [String]) async throws {
    let result = try await Program.run(
      "latchkey", ["list", "--timeout", "100s"] + arguments,
      environment: ["LATCHKEY_SERVER=https://127.0.0.1:1", "LATCHKEY_TLS_CA=/nowhere.pem"])
    #expect(result.end == .exited(64))
    #expect(result.errors.contains { $0.contains("cannot read /nowhere.pem: No such file") })
  }
}
