import ArgumentParser
import LatchkeyClient

/// `latchkey release`: gives a key back.
struct ReleaseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "release",
    abstract: "Frees a key for others.",
    discussion: """
      Freeing what nobody holds is a success. A token names one grant: it frees nothing that the \
      same owner was granted later.

        latchkey release nightly --owner "$HOSTNAME-$$"
        latchkey release nightly --token 17

      JSON: an object with key, owner or token, released.

      EXIT CODES: 0 it is not held any more by that owner or under that token; 75 it is held by \
      another, or was granted anew; 69 no server can be reached; 76 the server is too old for \
      --token; 77 it is not allowed; 64 usage.
      """)

  @Argument(help: "The key.")
  var key: String

  @Option(help: "Whose it is.")
  var owner: String?

  @Option(help: "The token of the grant.")
  var token: Int64?

  @OptionGroup var output: OutputOptions
  @OptionGroup var connection: ConnectionOptions

  /// One of the two ways to say what is to be freed.
  private enum Grant {
    case of(owner: String)
    case named(token: Int64)
  }

  private var grant: Grant? {
    switch (owner, token) {
    case (let owner?, nil): .of(owner: owner)
    case (nil, let token?): .named(token: token)
    default: nil
    }
  }

  func validate() throws {
    if grant == nil { throw ValidationError("Either --owner or --token says what to free.") }
  }

  func run() async throws {
    guard let grant else { return }
    try await connection.withClient { client in
      do {
        switch grant {
        case .of(let owner): try await client.release(key, owner: owner)
        case .named(let token):
          do {
            try await client.release(key, token: token)
          } catch let error as LatchkeyError where error.code == .notTheHolder {
            // So it says of what nobody holds, too.
            if try await client.fetch(key) != nil { throw error }
          }
        }
      } catch let error as LatchkeyError
        where error.code == .heldByAnother || error.code == .notTheHolder
      {
        throw await Failure(heldByAnother: key, error, client)
      }
    }
    switch output.output {
    case .table: connection.notice("\"\(key)\" is free")
    case .json:
      let name: JSON.Member =
        switch grant {
        case .of(let owner): JSON.Member("owner", .text(owner))
        case .named(let token): JSON.Member("token", .integer(token))
        }
      let answer = [
        JSON.Member("key", .text(key)), name, JSON.Member("released", .bool(true)),
      ]
      StandardOutput.line(JSON.object(answer).text)
    }
  }
}
