import ArgumentParser
import LatchkeyClient

/// How something is held, by `lock` and `presence`.
struct HoldOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      The lease: how long the key is kept for a holder that has gone silent. Servers before 0.3 round \
      it up to whole seconds.
      """,
      valueName: "time"))
  var ttl = TimeSpan(.seconds(15))

  @Option(
    help: ArgumentHelp(
      """
      How long to wait while another holds the key; 0 tries once. Where no server can be reached \
      to begin with, this or --timeout is the end, whichever is shorter; one that takes the request and \
      does not answer is waited for as long as --timeout says.
      """, valueName: "time"))
  var wait = WaitLimit.forever

  @Option(
    help: """
      Who holds it: a name that no other run has. A second run of the same owner is refused (75), as \
      is one that was restarted, until the lease of the one that died is over. (default: host, \
      process and a random number)
      """)
  var owner: String?

  @Option(
    name: .customLong("exit-code"),
    help: ArgumentHelp(
      "The exit code when the key was not to be had, instead of 75: one that the command never has.",
      valueName: "code"))
  var exitCode: UInt8?

  @Flag(help: "Hold until all that the command started has ended, daemons included.")
  var waitDescendants = false

  @OptionGroup var content: ContentOptions

  /// The owner that was given, or one that no other run has.
  var ownerOrUnique: String { owner ?? LatchkeyClient.uniqueOwner() }
}
