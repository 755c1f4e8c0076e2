import Glibc
import TestKit

/// A server with a store of its own, and the command line that talks to it.
struct CLIServer: Sendable {
  let server: ServerProgram
  private let folder: StoreFolder

  /// Runs `body` with a fresh server, which is gone afterwards.
  static func run(_ body: (CLIServer) async throws -> Void) async throws {
    let folder = try StoreFolder()
    let server = CLIServer(
      server: try await ServerProgram.start(store: folder.file), folder: folder)
    do {
      try await body(server)
    } catch {
      try? await server.server.kill()
      throw error
    }
    try await server.server.kill()
  }

  /// Another server on the same store, at another address.
  func another() async throws -> CLIServer {
    CLIServer(server: try await ServerProgram.start(store: folder.file), folder: folder)
  }

  var address: String { server.address }
  /// The path of its store.
  var store: String { folder.file }

  func signal(_ number: Int32) { server.program.signal(number) }

  /// Where a file called `name` would be, which is gone with the server.
  func path(_ name: String) -> String { folder.path(name) }

  /// A pipe with a name, for a command whose end shall be seen, and not that of `latchkey`.
  func makeFIFO(_ name: String = "fifo") throws -> String {
    let path = folder.path(name)
    guard mkfifo(path, 0o600) == 0 else {
      throw ProgramError("no FIFO: \(String(cString: strerror(errno)))")
    }
    return path
  }

  /// Starts `latchkey`, for this server.
  func start(_ arguments: String..., closesOutput: Bool = false) throws -> Program {
    try start(arguments, closesOutput: closesOutput)
  }

  /// - Parameter environment: Variables besides that of the server, such as `NAME=value`.
  func start(
    _ arguments: [String], environment: [String] = [], closesOutput: Bool = false
  ) throws -> Program {
    // First, so that a test may say otherwise.
    let patience = ["--timeout", "100s"]
    return try Program(
      "latchkey", arguments.prefix(1) + patience + arguments.dropFirst(),
      environment: ["LATCHKEY_SERVER=\(address)"] + environment, closesOutput: closesOutput)
  }

  /// Starts `latchkey` as the rest of another command line.
  func startUnder(_ prefix: [String], _ arguments: String...) throws -> Program {
    try startUnder(prefix, arguments)
  }

  private func startUnder(_ prefix: [String], _ arguments: [String]) throws -> Program {
    try Program(
      prefix[0], prefix.dropFirst() + ["\(Program.folder)/latchkey"] + arguments,
      environment: ["LATCHKEY_SERVER=\(address)"])
  }

  func runUnder(_ prefix: [String], _ arguments: String...) async throws -> Program.Result {
    try await startUnder(prefix, arguments).result()
  }

  /// Runs `latchkey` to its end, for this server.
  func run(_ arguments: String...) async throws -> Program.Result { try await run(arguments) }

  func run(_ arguments: [String], environment: [String] = []) async throws -> Program.Result {
    try await start(arguments, environment: environment).result()
  }
}
