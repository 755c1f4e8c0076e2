import ArgumentParser
import LatchkeyClient

/// How something is held, by `lock` and `presence`.
struct HoldOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The lease: how long the service keeps the key for a holder that has gone silent.",
      discussion: "Whole seconds. It is renewed for as long as it is needed.", valueName: "time"))
  var ttl = TimeSpan(.seconds(15))

  @Option(
    help: ArgumentHelp(
      "How long to wait while another holds the key.",
      discussion: "0 tries once; \"forever\" has no limit.", valueName: "time"))
  var wait = WaitLimit.forever

  @Option(
    help: ArgumentHelp(
      "Who holds it.",
      discussion: """
        Two runs of the same owner are the same holder and do not keep each other out. Default: \
        host, process and a random number.
        """))
  var owner: String?

  @Option(help: "What others shall know of the holder.")
  var value = ""

  /// The owner that was given, or one that no other run has.
  var ownerOrUnique: String { owner ?? LatchkeyClient.uniqueOwner() }
}
