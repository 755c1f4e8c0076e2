import ArgumentParser
import LatchkeyClient

/// `latchkey claim`: one request for a resource.
struct ClaimCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "claim",
    abstract: "Claims a key once, or renews the lease of its owner.",
    discussion: """
      For programs that hold a key by themselves: claim it again before the lease ends, and release \
      it in the end. `latchkey lock` does all that for a command.

        latchkey claim nightly --owner "$HOSTNAME-$$" --ttl 1m

      JSON: an object with key, kind, owner, value.

      EXIT CODES: 0 the owner holds the key now; 75 another does; 69 no server can be reached; \
      64 usage.
      """)

  @Argument(help: "The key.")
  var key: String

  @Option(help: "Who claims it: names one run of one program, not a host or a role.")
  var owner: String

  @Option(help: "What others shall know of the owner.")
  var value = ""

  @Option(help: ArgumentHelp("The length of the lease, in whole seconds.", valueName: "time"))
  var ttl = TimeSpan(.seconds(15))

  @Option(help: "What it is.")
  var kind = ResourceKind.lock

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  func run() async throws {
    let resource = try await connection.withClient { client in
      do {
        try await client.claim(key, owner: owner, value: value, kind: kind, lease: ttl.duration)
      } catch let error as LatchkeyError where error.code == .heldByAnother {
        throw Failure(heldByAnother: key, holder: (try? await client.fetch(key))?.owner)
      }
      return Resource(key: key, kind: kind, owner: owner, value: value)
    }
    switch output.output {
    case .table: Resource.table([resource]).print()
    case .json: StandardOutput.line(resource.json.text)
    }
  }
}
