import Access
import ArgumentParser
import Glibc

/// `latchkeyd token`
struct TokenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token", abstract: "Makes bearer tokens.",
    discussion: """
      A token is sent as "authorization: Bearer TOKEN". The server has a file of digests (--tokens), from which nobody \
      can tell the tokens: a line each, with the token's name, its digest, and perhaps the last day on which it is valid.
      """, subcommands: [New.self])

  struct New: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints a new token, and the line that makes it known.",
      discussion: "The token goes to its owner, and nowhere else; it is never shown again.")

    @Argument(help: ArgumentHelp("What to call it: its owner is token:NAME in a policy."))
    var name: String

    @Option(help: ArgumentHelp("The last day on which it is valid (UTC).", valueName: "2027-01-31"))
    var until: String?

    func validate() throws {
      guard !name.isEmpty, Identity("token:\(name)") != nil, !name.hasPrefix("#"),
        !name.hasPrefix("token:"), !name.contains("*")
      else {
        throw ValidationError(
          "a name is visible, has no blanks and no *, and does not begin with # or token:, which a policy puts before it"
        )
      }
      guard let until else { return }
      guard let day = Day(until) else {
        throw ValidationError("--until is a day such as 2027-01-31")
      }
      guard day.endSeconds > Int64(time(nil)) else {
        throw ValidationError("--until is a day that is over")
      }
    }

    func run() {
      let token = Tokens.new()
      print("token: \(token)")
      print("line:  \(Tokens.line(for: token, name: name, until: until))")
    }
  }
}
