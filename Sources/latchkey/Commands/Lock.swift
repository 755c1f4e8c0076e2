import ArgumentParser
import LatchkeyClient

/// `latchkey lock`: runs a command while holding a lock.
struct LockCommand: SignalAware {
  static let configuration = CommandConfiguration(
    commandName: "lock",
    abstract: "Runs a command while holding a lock.",
    discussion: """
      Waits for the lock, runs the command, renews the lease meanwhile, and frees the lock when the \
      command has ended. The command finds LATCHKEY_KEY, LATCHKEY_OWNER and LATCHKEY_TOKEN in its \
      environment. The token, greater than that of every earlier holder, is for whatever the lock \
      protects; servers of 0.1 give none.

        latchkey lock nightly -- ./backup.sh --full
        latchkey lock deploy --wait 0 --ttl 30s -- make deploy

      If the lease cannot be renewed, the command and all processes that it started get SIGTERM, and \
      SIGKILL up to 5 seconds later: before anyone else may get the lock. If latchkey itself is \
      killed (SIGKILL), the kernel kills the command, though not processes that the command \
      started: let scripts exec what takes long. While latchkey alone is stopped (SIGSTOP), nobody \
      watches over the command. A command that runs as another user (sudo) cannot be killed: run \
      latchkey itself as that user.

      SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the command.

      EXIT CODES: the command's own, 128+n if a signal n ended it, 126 if it cannot be executed, \
      127 if there is none; 75 the lock was not to be had within --wait, or was lost; 69 no server \
      can be reached; 76 the servers are too old for labels; 64 usage.
      """)

  @Argument(help: "The lock's key.")
  var key: String

  @Argument(parsing: .postTerminator, help: "The command and its arguments, after \"--\".")
  var command: [String] = []

  @OptionGroup var hold: HoldOptions
  @OptionGroup var connection: ConnectionOptions

  var awaitedSignals: [Int32] { Holding.forwardedSignals }

  func validate() throws {
    if command.isEmpty { throw ValidationError("Missing the command to run, after \"--\".") }
  }

  mutating func run(_ signals: Signals) async throws {
    let holding = Holding(
      kind: .lock, key: key, options: hold, connection: connection, commandCount: command.count)
    throw CommandEnd(status: try await holding.run(signals))
  }
}
