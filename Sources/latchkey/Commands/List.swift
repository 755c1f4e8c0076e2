import ArgumentParser
import LatchkeyClient

/// `latchkey list`: shows every resource.
struct ListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Lists what is held, and by whom.",
    discussion: """
      In the order of the keys; locks first, then presences.

        latchkey list --kind lock
        latchkey list --prefix jobs/
        latchkey list --output json | jq -r '.[].owner'

      JSON: an array of objects with key, kind, owner, value, token, revision, leaseSeconds; the last \
      three are null where the server is of 0.1.

      EXIT CODES: 0; 69 no server can be reached; 64 usage.
      """)

  @Option(help: "Only what is of this kind. (default: both)")
  var kind: ResourceKind?

  @Option(help: "Only keys that start with this.")
  var prefix = ""

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  func run() async throws {
    let kinds = kind.map { [$0] } ?? ResourceKind.allCases
    let resources = try await connection.withClient { client in
      var resources: [Resource] = []
      for kind in kinds { resources += try await client.fetchAll(kind, prefix: prefix) }
      return resources
    }
    switch output.output {
    case .table: Resource.table(resources).print()
    case .json: StandardOutput.line(JSON.list(resources.map(\.json)).text)
    }
  }
}
