import Glibc

/// A `latchkeyd` that runs.
package struct ServerProgram: Sendable {
  package let program: Program
  /// Host and port.
  package let address: String
  package let port: Int

  /// Returns when the server listens.
  ///
  /// - Parameters:
  ///   - name: A program of this package, or another release's by its path.
  ///   - store: The path of its SQLite file.
  ///   - port: 0 for a free one.
  ///   - before: What `name` is given in front of the server's own arguments, where it is a program
  ///     that starts the server.
  package static func start(
    _ name: String = "latchkeyd", store: String, port: Int = 0, before: [String] = [],
    arguments: [String] = []
  ) async throws -> ServerProgram {
    try await start(
      name, url: "sqlite:\(store)", port: port, before: before, arguments: arguments)
  }

  /// The same with a store of any kind.
  package static func start(
    _ name: String = "latchkeyd", url: String, port: Int = 0, before: [String] = [],
    arguments: [String] = []
  ) async throws -> ServerProgram {
    let program = try Program(
      name, before + ["--listen", "127.0.0.1:\(port)", "--store", url] + arguments)
    do {
      let line = try await program.output.line(containing: "listening on ")
      let host = "127.0.0.1:"
      guard let start = line.firstRange(of: host)?.upperBound,
        let port = Int(line[start...].prefix { $0.isNumber })
      else {
        throw ProgramError("no port in \(line)")
      }
      return ServerProgram(program: program, address: "127.0.0.1:\(port)", port: port)
    } catch {
      program.signal(SIGKILL)
      throw error
    }
  }

  /// Shuts the server down in good order.
  package func end() async throws {
    program.signal(SIGTERM)
    _ = try await program.exit()
  }

  /// Ends the server at once. Harmless when it has ended.
  package func kill() async throws {
    program.signal(SIGKILL)
    _ = try await program.exit()
  }
}
