import ArgumentParser
import LatchkeyClient

/// `latchkey release`: gives a key back.
struct ReleaseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "release",
    abstract: "Frees a key for others.",
    discussion: """
      Freeing what nobody holds is a success.

        latchkey release nightly --owner "$HOSTNAME-$$"

      JSON: an object with key, owner, released.

      EXIT CODES: 0 the owner does not hold the key any more; 75 another owner holds it; 69 no \
      server can be reached; 64 usage.
      """)

  @Argument(help: "The key.")
  var key: String

  @Option(help: "Whose it is.")
  var owner: String

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  func run() async throws {
    try await connection.withClient { client in
      do {
        try await client.release(key, owner: owner)
      } catch let error as LatchkeyError where error.code == .heldByAnother {
        throw Failure(heldByAnother: key, holder: (try? await client.fetch(key))?.owner)
      }
    }
    switch output.output {
    case .table: connection.notice("\"\(key)\" is free")
    case .json:
      StandardOutput.line(
        JSON.members(
          ("key", .text(key)), ("owner", .text(owner)), ("released", .bool(true))
        ).text)
    }
  }
}
