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
        latchkey list --attribute zone=z1 --attribute cores=8
        latchkey list --label team=billing
        latchkey list --output json | jq -r '.[].owner'

      The attributes that all of them have together are columns of their own, up to \(Resource.attributeColumnsMax) of them; \
      VALUE has what is no JSON object.

      JSON: an array of objects with key, kind, owner, value, token, revision, leaseSeconds, attributes, \
      labels, grantedAt (in seconds since 1970). Token, revision and leaseSeconds are null where the server is of 0.1, attributes where the \
      value is no JSON object.

      EXIT CODES: 0; 69 no server can be reached; 76 the servers are too old for a filter; 77 it is \
      not allowed; 64 usage.
      """)

  @Option(help: "Only what is of this kind. (default: both)")
  var kind: ResourceKind?

  @Option(help: "Only keys that start with this.")
  var prefix = ""

  @Option(
    help: ArgumentHelp(
      """
      Only those that have this attribute with this value, which is JSON or else a string; may be given \
      several times. Needs servers of 0.3 or newer, as does --label.
      """, valueName: "name=value"), transform: AttributeOption.init(argument:))
  var attribute: [AttributeOption] = []

  @Option(
    help: ArgumentHelp(
      "Only those that have this label; may be given several times.", valueName: "name=text"),
    transform: LabelOption.init(argument:))
  var label: [LabelOption] = []

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    try ContentOptions.checkOnce("--attribute", attribute.map(\.name))
    try ContentOptions.checkOnce("--label", label.map(\.name))
  }

  func run() async throws {
    // Servers that can filter have a list of every kind, others one of each.
    let isFiltered = !attribute.isEmpty || !label.isEmpty
    let kinds: [ResourceKind?] =
      if let kind { [kind] } else if isFiltered { [nil] } else { ResourceKind.allCases }
    let listed = try await connection.withClient { client in
      var resources: [Resource] = []
      for kind in kinds {
        resources += try await client.fetchAll(
          kind, prefix: prefix, attributes: AttributeOption.attributes(attribute),
          labels: LabelOption.labels(label))
      }
      return resources
    }
    let resources = ResourceKind.allCases.flatMap { kind in listed.filter { $0.kind == kind } }
    switch output.output {
    case .table: Resource.table(resources).print()
    case .json: StandardOutput.line(JSON.list(resources.map(\.json)).text)
    }
  }
}
