import ArgumentParser
import LatchkeyClient

/// `latchkey presence`: announces that a program lives.
struct PresenceCommand: HoldingCommand {
  static let configuration = CommandConfiguration(
    commandName: "presence",
    abstract: "Holds a presence while a command runs, or until a signal.",
    discussion: """
      Others see the presence with `latchkey list --kind presence` until it ends, or until its lease \
      does if this program dies.

        latchkey presence cells/a1 --value 10.0.0.7:8080 -- ./serve
        latchkey presence cells/a1 --value maintenance

      Without a command, the presence is held until a signal that `latchkey lock` would pass on, such \
      as SIGINT or SIGTERM, which is a success. With one, everything is as for `latchkey lock`.

      EXIT CODES: those of `latchkey lock`.
      """)

  @Argument(help: "The presence's key.")
  var key: String

  @Argument(parsing: .postTerminator, help: "A command and its arguments, after \"--\".")
  var command: [String] = []

  @OptionGroup var hold: HoldOptions
  @OptionGroup var connection: ConnectionOptions

  mutating func run(_ signals: Signals, _ supervisor: SupervisorLink?) async throws {
    let holding = try Holding(
      kind: .presence, key: key, options: hold, connection: connection, supervisor)
    throw CommandEnd(status: try await holding.run(signals))
  }
}
