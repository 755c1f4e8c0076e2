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

      JSON: an object with key, kind, owner, value, token, revision, leaseSeconds, attributes, labels, \
      grantedAt; token and revision are null where the server is of 0.1.

      EXIT CODES: 0 the owner holds the key now; 75 another does, or a limit is reached; 69 no server can be reached; \
      76 the servers are too old for labels; 77 it is not allowed; 64 usage.
      """)

  @Argument(help: "The key.")
  var key: String

  @Option(help: "Who claims it: names one run of one program, not a host or a role.")
  var owner: String

  @OptionGroup var content: ContentOptions

  @Option(
    help: ArgumentHelp(
      "The length of the lease. Servers before 0.3 round it up to whole seconds.",
      valueName: "time"))
  var ttl = TimeSpan(.seconds(15))

  @Option(help: "What it is.")
  var kind = ResourceKind.lock

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  func run() async throws {
    var resource = Resource(key: key, kind: kind, owner: owner, value: content.text)
    let (grant, found) = try await connection.withClient { client in
      do {
        let grant = try await client.claim(
          key, owner: owner, value: content.value, attributes: content.attributes,
          labels: content.labels, kind: kind, lease: ttl.duration)
        // A renewal keeps labels that it does not name. Who may hold need not see them.
        return (grant, grant.isRenewal ? try? await client.fetch(key) : nil)
      } catch let error as LatchkeyError where error.code == .heldByAnother {
        throw await Failure(heldByAnother: key, error, client)
      }
    }
    (resource.token, resource.revision) = (grant.token, grant.revision)
    (resource.lease, resource.labels) = (grant.lease, content.labels)
    if let found, found.owner == owner {
      (resource.labels, resource.grantedAt) = (found.labels, found.grantedAt)
    }
    switch output.output {
    case .table: Resource.table([resource]).print()
    case .json: StandardOutput.line(resource.json.text)
    }
  }
}
