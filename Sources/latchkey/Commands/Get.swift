import ArgumentParser
import LatchkeyClient

/// `latchkey get`: shows one resource.
struct GetCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get",
    abstract: "Shows who holds a key.",
    discussion: """
        latchkey get nightly
        latchkey get nightly --output json | jq -r .owner

      JSON: an object with key, kind, owner, value, token, revision, leaseSeconds (the last three are \
      null where the server is of 0.1), attributes (null where the value is no JSON object), labels, \
      grantedAt (in seconds since 1970, null where the holder does not say); null if nobody holds the key.

      EXIT CODES: 0 somebody holds it; 1 nobody does; 69 no server can be reached; 77 it is \
      not allowed; 64 usage.
      """)

  @Argument(help: "The key.")
  var key: String

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  func run() async throws {
    let resource = try await connection.withClient { try await $0.fetch(key) }
    switch (output.output, resource) {
    case (.table, let resource?): Resource.table([resource]).print()
    case (.table, nil): connection.notice("nobody holds \"\(key)\"")
    case (.json, let resource): StandardOutput.line(resource?.json.text ?? JSON.null.text)
    }
    if resource == nil { throw CommandEnd(status: .notHeld) }
  }
}
