import ArgumentParser
import LatchkeyClient

/// `latchkey health`: whether servers can be used.
struct HealthCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "health",
    abstract: "Tells by its exit code whether servers are ready.",
    discussion: """
      For probes, and for scripts that start what needs a lock:

        latchkey health --wait 30s && latchkey lock nightly -- ./backup.sh

      Every server that is named has to be ready; which is not, and why, it says itself (/readyz), where it can be \
      reached at all.

      JSON: an object with ready, servers; of each endpoint, ready, reason.

      EXIT CODES: 0 all are ready; 69 one is not; 64 usage.
      """)

  @Option(
    help: ArgumentHelp(
      "How long to wait until they are. (default: not at all)", valueName: "time"))
  var wait = TimeSpan(.zero)

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  /// Between two looks.
  private static let pause: Duration = .milliseconds(250)

  func run() async throws {
    let endpoints = try connection.endpoints()
    let end = ContinuousClock.now + wait.duration
    while true {
      var found: [(endpoint: Endpoint, obstacle: String?)] = []
      for endpoint in endpoints {
        found.append((endpoint, try await obstacle(at: endpoint)))
      }
      let isReady = found.allSatisfy { $0.obstacle == nil }
      let left = end - ContinuousClock.now
      guard isReady || left <= .zero else {
        try await TaskPool.sleep(for: min(Self.pause, left))
        continue
      }
      try say(found, isReady)
      return
    }
  }

  /// Why a server should get no requests; nil where it should.
  private func obstacle(at endpoint: Endpoint) async throws -> String? {
    do {
      try await connection.withClient(at: endpoint) { try await $0.checkReadiness() }
      return nil
    } catch let error as LatchkeyError {
      return Failure(error).message
    }
  }

  private func say(_ found: [(endpoint: Endpoint, obstacle: String?)], _ isReady: Bool) throws {
    switch output.output {
    case .table:
      for (endpoint, obstacle) in found {
        connection.notice("\(endpoint): \(obstacle ?? "ready")")
      }
    case .json:
      let servers = found.map { endpoint, obstacle in
        JSON.members(
          ("endpoint", .text("\(endpoint)")), ("ready", .bool(obstacle == nil)),
          ("reason", .text(obstacle)))
      }
      StandardOutput.line(
        JSON.members(("ready", .bool(isReady)), ("servers", .list(servers))).text)
    }
    if !isReady { throw CommandEnd(status: .unavailable) }
  }
}
