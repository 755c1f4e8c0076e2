import ArgumentParser
import Glibc
import LatchkeyServer
import Logging
import ServiceLifecycle
import Storage
import StorageSQLite
import WireSchema

/// The lock server as a program.
@main
struct Latchkeyd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "latchkeyd",
    abstract: "A durable lock service: named locks and presences under leases.",
    discussion: """
      Started without options it listens on 127.0.0.1:7420 and keeps its store in \
      ./latchkey-data/latchkey.db. Every option can be given in the environment as well.

      Several servers may share one store; each needs an address of its own. Upgrading and rolling \
      back mean replacing the binary, in any order, at any time.

      GET /healthz, /readyz, /metrics and /status tell how it is.

      Exit codes: 0 after SIGTERM or SIGINT, 1 when it cannot start, 64 for a bad option, 69 when \
      the store needs a newer release.
      """,
    version: Release.version)

  @OptionGroup var options: ServerOptions

  mutating func run() async throws {
    let settings: ServerSettings
    do throws(SettingError) {
      settings = try ServerSettings(options, environment: Environment.current)
    } catch {
      Self.fail(error.message, code: .validationFailure)
    }
    ProcessSetup.prepare()
    var configuration = settings.configuration
    configuration.trimMemory = ProcessSetup.trimMemory
    let server: LatchkeyServer
    do throws(StoreError) {
      try settings.createStoreFolder()
      let registry = PrometheusRegistry(help: ServerMetrics.help)
      server = try LatchkeyServer(
        configuration, engine: SQLiteEngine(path: settings.storePath),
        metrics: registry, metricsText: { registry.text() })
    } catch {
      Self.fail(error.message, code: error.code == .tooOldServer ? .unavailable : .failure)
    }
    let address: String
    do {
      address = try await server.start()
    } catch {
      Self.fail(
        "cannot listen on \(settings.configuration.address(port: settings.configuration.port)): "
          + "\(reason(of: error))", code: .failure)
    }
    let announcement =
      "latchkeyd \(Release.version) listening on \(address), store sqlite:\(settings.storePath), "
      + "wire \(WireVersions.spoken), shape \(KnownShapes.all), "
      + "server \(settings.configuration.serverID)"
    let service = AnnouncedServer(server: server, announcement: announcement)
    let services = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [
          .init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)
        ],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: settings.configuration.logger))
    try await services.run()
  }

  /// One clear line, and out.
  private static func fail(_ message: String, code: ExitCode) -> Never {
    let line = Array("latchkeyd: \(message)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    Glibc.exit(code.rawValue)
  }
}

extension ExitCode {
  /// EX_UNAVAILABLE of sysexits.h.
  fileprivate static let unavailable = ExitCode(69)
}

/// Says where the server is once the signals are handled: whoever waits for the line may send one.
private struct AnnouncedServer: Service {
  let server: LatchkeyServer
  let announcement: String

  func run() async throws {
    print(announcement)
    fflush(nil)
    ProcessSetup.releaseStartUpPages()
    try await server.run()
  }
}
