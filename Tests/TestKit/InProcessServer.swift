import Glibc
package import LatchkeyServer
import LockCore
import Logging
import NIOCore
package import Storage
import StorageSQLite

/// A server of this process: real sockets, a real store, a free port of 127.0.0.1.
///
/// ```swift
/// let folder = try StoreFolder()
/// let server = try await InProcessServer.start(store: folder.file)
/// …
/// try await server.stop()
/// ```
package final class InProcessServer: Sendable {
  package static let host = "127.0.0.1"

  package let port: Int
  private let server: LatchkeyServer
  private let registry: PrometheusRegistry
  private let running: Task<Void, any Error>

  private init(port: Int, server: LatchkeyServer, registry: PrometheusRegistry) {
    self.port = port
    self.server = server
    self.registry = registry
    running = Task { try await server.run() }
  }

  /// Starts a server on the store in the file `store`, which is created where it is missing.
  ///
  /// - Parameter configure: Changes what the server is started with: its grease, its bounds.
  package static func start(
    store: String, id: String = "test",
    _ configure: (inout ServerConfiguration) -> Void = { _ in }
  ) async throws -> InProcessServer {
    try await start(engine: SQLiteEngine(path: store), id: id, configure)
  }

  /// Starts a server on any store.
  package static func start(
    engine: any StoreEngine, id: String = "test",
    _ configure: (inout ServerConfiguration) -> Void = { _ in }
  ) async throws -> InProcessServer {
    var configuration = ServerConfiguration(
      serverID: id, clock: uptime, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    configuration.listeners = [Listener(.tcp(host: host, port: 0))]
    configuration.limits.drainTimeout = .seconds(1)
    configure(&configuration)
    let registry = PrometheusRegistry(help: [:])
    let server = try LatchkeyServer(
      configuration, engine: engine, metrics: registry, metricsText: nil)
    let address = try await server.start()[0]
    // A socket of this machine has none.
    let port = address.split(separator: ":").last.flatMap { Int($0) } ?? 0
    return InProcessServer(port: port, server: server, registry: registry)
  }

  /// Reads again at once what the server reads again.
  package func reload() -> Bool { server.reload() }

  /// Returns when so many calls wait for keys.
  package func waitUntil(waiting count: Int) async throws {
    while !registry.text().contains("latchkey_waiters \(count)\n") {
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Lets the server finish what it has in hand, and waits for its end.
  package func stop() async throws {
    running.cancel()
    try await running.value
  }
}

@Sendable private func uptime() -> MonotonicTime {
  MonotonicTime(nanoseconds: Int64(NIODeadline.now().uptimeNanoseconds))
}
