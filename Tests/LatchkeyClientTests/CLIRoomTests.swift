import Glibc
import TestKit
import Testing

/// Programs where the system starts no more processes and threads.
@Suite("Command line: no room for threads", .serialized)
struct CLIRoomTests {
  /// More than `latchkey lock` needs: loops, what is said, names, link, supervisor, witness, command.
  private static let enough = 12
  private static let said = "no more processes and threads are allowed"

  /// Runs the rest of a command line where so many processes and threads may run, its own included.
  /// Root is not bound by such a limit, and an ordinary user has others that count.
  private static func prefix(_ count: Int) async -> [String]? {
    let limit = ["/usr/bin/prlimit", "--nproc=\(count)"]
    // Ids that nobody has.
    let user = "\(64_000 + count)"
    let asUser = ["/usr/bin/setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
    let prefix = getuid() == 0 ? asUser : ["/usr/bin/unshare", "-U"]
    let result = try? await Program.run(prefix[0], Array(prefix[1...]) + ["true"])
    return result?.end == .exited(0) ? prefix + limit : nil
  }

  @Test(
    "Whatever the limit is, a command runs or a line says why not, and a signal ends it at any time",
    .enabled("needs a user of its own") { await prefix(1) != nil },
    arguments: 1...enough)
  func limits(count: Int) async throws {
    let prefix = try #require(await Self.prefix(count))
    try await CLIServer.run { server in
      let result = try await server.runUnder(prefix, "lock", "free", "--", "echo", "done")
      if result.output == ["done"] {
        #expect(result.end == .exited(0))
      } else {
        expectNoRoom(result)
        #expect(count < Self.enough)
      }
      #expect(try await server.run("get", "free").end == .exited(1))
      let got = try await server.runUnder(prefix, "get", "free")
      if got.end != .exited(1) { expectNoRoom(got) }

      #expect(
        try await server.run("claim", "held", "--owner", "x", "--ttl", "1h").end == .exited(0))
      let waiting = try server.startUnder(prefix, "lock", "held", "--", "echo", "never")
      // What it waits for, or why it does not.
      try await waiting.errors.line(containing: "latchkey: ")
      waiting.signal(SIGTERM)
      // It may be on its way out.
      let ends: [ProgramEnd] = [.exited(71), .exited(143), .killed(SIGTERM)]
      let end = try await waiting.exit()
      #expect(ends.contains(end))
      #expect(try await waiting.output.all() == [])
    }
  }

  @Test(
    "Whatever the limit on open files is, programs serve or a line says why not",
    arguments: Array(stride(from: 6, through: 64, by: 2)))
  func files(count: Int) async throws {
    let prefix = ["/bin/sh", "-c", #"ulimit -n \#(count); exec "$@""#, "sh"]
    let tooFew = "no more open files are allowed"
    let folder = try StoreFolder()
    let server = try Program(
      prefix[0],
      prefix.dropFirst() + [
        "\(Program.folder)/latchkeyd", "--listen", "127.0.0.1:0", "--store",
        "sqlite:\(folder.file)",
      ])
    let line = try? await server.output.line(containing: "listening")
    if line == nil {
      #expect(try await server.errors.all().contains { $0.contains(tooFew) })
      #expect(try await server.exit() == .exited(75))
    } else {
      server.signal(SIGTERM)
      #expect(try await server.exit() == .exited(0))
    }
    try await CLIServer.run { server in
      let result = try await server.runUnder(prefix, "lock", "free", "--", "echo", "done")
      if result.end == .exited(0) {
        #expect(result.output == ["done"])
      } else {
        #expect(result.end == .exited(71))
        #expect(result.errors.count == 1 && result.errors[0].contains(tooFew))
      }
    }
  }

  private func expectNoRoom(_ result: Program.Result) {
    #expect(result.end == .exited(71))
    #expect(result.output == [])
    #expect(result.errors.count == 1)
    #expect(result.errors.first?.contains(Self.said) == true)
  }

  @Test(
    "A server for which there is no room says so in a line",
    .enabled("needs a user of its own") { await prefix(1) != nil }, arguments: [1, 2, 3, 5, 8])
  func server(count: Int) async throws {
    let prefix = try #require(await Self.prefix(count))
    let folder = try StoreFolder()
    let result = try await Program.run(
      prefix[0],
      prefix.dropFirst() + [
        "\(Program.folder)/latchkeyd", "--listen", "127.0.0.1:0", "--store",
        "sqlite:\(folder.file)",
      ])
    #expect(result.end == .exited(75))
    #expect(result.errors.count == 1)
    #expect(result.errors.first?.contains(Self.said) == true)
  }

  @Test(
    "A server that just fits lives on when its first large request comes",
    .enabled("needs a user of its own") { await prefix(1) != nil })
  func largeRequest() async throws {
    // Each event loop, core and part of the server takes some threads.
    let countMax = 32 + 4 * sysconf(Int32(_SC_NPROCESSORS_ONLN))
    for count in 9...countMax {
      let prefix = try #require(await Self.prefix(count))
      let folder = try StoreFolder()
      // The server's user is another one.
      #expect(chmod(folder.path(""), 0o777) == 0)
      let server = try Program(
        prefix[0],
        prefix.dropFirst() + [
          "\(Program.folder)/latchkeyd", "--listen", "127.0.0.1:0", "--threads", "1", "--store",
          "sqlite:\(folder.file)",
        ],
        // Whatever the machine has: more than may be started.
        environment: ["NIO_SINGLETON_BLOCKING_POOL_THREAD_COUNT=\(countMax)"])
      defer { server.signal(SIGKILL) }
      guard let line = try? await server.output.line(containing: "listening on ") else {
        #expect(try await server.exit() == .exited(75))
        #expect(try await server.errors.all().first?.contains(Self.said) == true)
        continue
      }
      let words = line.split { $0 == " " || $0 == "," }
      let address = try #require(words.first { $0.hasPrefix("127.0.0.1:") })
      let large = try await Program.run(
        "latchkey",
        [
          "claim", "k", "--owner", "x", "--ttl", "1h", "--timeout", "20s", "--value",
          String(repeating: "v", count: 20 << 10),
        ], environment: ["LATCHKEY_SERVER=\(address)"])
      #expect(large.end == .exited(0))
      #expect(!server.hasEnded)
      return
    }
    Issue.record("no server has room with \(countMax) threads")
  }
}
