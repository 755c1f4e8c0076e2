import ArgumentParser
import LatchkeyClient
import WireSchema

/// `latchkey status`: shows the service and how this client gets on with it.
struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Shows the server, its store, its fleet, and the version spoken with it.",
    discussion: """
        latchkey status --server 10.0.0.5:7420
        latchkey status --output json | jq '.fleet[].software'

      JSON: an object with client, connection, server, certificate, policy, store, fleet. certificate is null where \
      the server speaks no TLS; policy.remarks says what keeps the policy from being held, and refusals what newer \
      files cannot be used. In store, failure is null unless the \
      store cannot be used (then nothing else is known of it), and backfillRow unless rows are being brought into a \
      new shape.

      EXIT CODES: 0; 69 no server can be reached, or its store cannot be used; 77 it is not \
      allowed; 64 usage.
      """)

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  func run() async throws {
    let (info, status) = try await connection.withClient { client in
      (try await client.connectionInfo(), try await client.status())
    }
    let report = StatusReport(connection: info, status: status)
    switch output.output {
    case .table: report.print()
    case .json: StandardOutput.line(report.json.text)
    }
    if !status.store.failure.isEmpty { throw CommandEnd(status: .unavailable) }
  }
}
