import ArgumentParser
import LatchkeyClient

/// `latchkey lock`: runs a command while holding a lock.
struct LockCommand: HoldingCommand {
  static let configuration = CommandConfiguration(
    commandName: "lock",
    abstract: "Runs a command while holding a lock.",
    discussion: """
      Waits for the lock, runs the command, renews the lease meanwhile, and frees the lock when the \
      command has ended. The command finds LATCHKEY_KEY, LATCHKEY_OWNER, LATCHKEY_TOKEN and \
      LATCHKEY_SERVER in its environment. The token, greater than that of every earlier holder, is for \
      whatever the lock protects; servers of 0.1 give none.

        latchkey lock nightly -- ./backup.sh --full
        latchkey lock deploy --wait 0 --ttl 30s -- make deploy

      If the lease cannot be renewed, or latchkey is killed or suspended, the command and all processes \
      that it started get SIGTERM, at the latest when an eighth of the lease is left (of a long one, 5 \
      seconds), and SIGKILL up to 5 seconds later: before anyone else may get the lock. So do those \
      that it leaves behind when a signal ended it or was to end it, or when it \
      ended with another code than 0; the lock is freed when they are gone. What a command leaves \
      behind that ends with 0 by itself goes on without the lock, as a daemon does, unless there is \
      --wait-descendants. Processes of another user (sudo) cannot be ended, which a line says: run \
      latchkey itself as that user.

      SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to the command, 0.1 s later, \
      unless they were sent to its process group or cgroup and so reached it already.

      EXIT CODES: the command's own, 128+n if a signal n ended it, 126 if it cannot be executed, \
      127 if there is none; 75 the lock was not to be had within --wait (or what --exit-code says), or \
      was lost; 69 no server can be reached within --timeout and --wait; 71 the system does not allow what the lock needs; 76 the \
      servers are too old for labels; 77 it is not allowed; 64 usage. A command may have any of these for its own: where \
      that matters, choose --exit-code, and look for a line of latchkey's on the standard error output.
      """)

  @Argument(help: "The lock's key.")
  var key: String

  @Argument(parsing: .postTerminator, help: "The command and its arguments, after \"--\".")
  var command: [String] = []

  @OptionGroup var hold: HoldOptions
  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    if command.isEmpty { throw ValidationError("Missing the command to run, after \"--\".") }
  }

  mutating func run(_ signals: Signals, _ supervisor: SupervisorLink?) async throws {
    let holding = try Holding(
      kind: .lock, key: key, options: hold, connection: connection, supervisor)
    throw CommandEnd(status: try await holding.run(signals))
  }
}
