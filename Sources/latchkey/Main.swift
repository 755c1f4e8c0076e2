import ArgumentParser
import LatchkeyClient
import WireSchema

/// The command line's root; what it does is in its subcommands.
struct Latchkey: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "latchkey",
    abstract: "Takes, shows and measures the locks of a Latchkey service.",
    discussion: """
      A lock has one holder at a time, for as long as its lease is renewed. A presence says that a \
      program lives.

        latchkey lock nightly -- ./backup.sh     run it on one machine at a time
        latchkey list                            who holds what

      Servers are named by --server or the variable LATCHKEY_SERVER. Durations are written as \
      500ms, 15s, 2m, 1h, or a plain number of seconds.

      EXIT CODES: 0 success, 1 nobody holds the key (get), 64 usage, 69 no server can be reached, \
      or none can serve, 70 an error of the service, 71 one of the operating system, 74 output cannot be \
      written, 75 the lock is held by another or was lost, 76 client and server have no version in common, \
      77 it is not allowed. A command that was run adds its \
      own, and 128+n for a signal n.
      """,
    version: Release.version,
    subcommands: [
      LockCommand.self, PresenceCommand.self, ClaimCommand.self, ReleaseCommand.self,
      GetCommand.self, ListCommand.self, StatusCommand.self, EventsCommand.self,
      HealthCommand.self, BenchCommand.self,
    ])
}

/// The program: reads the command line, then runs the command beside the main thread, which only
/// takes signals.
@main
enum Main {
  static func main() { start() }

  /// Apart from `main`, which is isolated to the main actor: its thread is busy with the signals.
  private static func start() -> Never {
    OriginalProcess.remember()
    let command: any ParsableCommand
    do {
      command = try Latchkey.parseAsRoot(OriginalProcess.argumentTexts)
    } catch {
      Latchkey.exit(withError: error)
    }
    let program = (command as? any HoldingCommand)?.command.count ?? 0
    let signals: Signals
    var supervisor: SupervisorLink?
    do {
      try OriginalProcess.checkTexts(dropLast: program)
      try TaskPool.checkRoom(for: threadCount(of: command))
      if program > 0 { supervisor = try Supervisor.fork(argumentCount: program) }
      // Before there is any other thread: they all inherit the mask.
      signals = Signals(awaited: awaitedSignals(of: command))
      try supervisor?.listen()
    } catch {
      exit(by: error)
    }
    // Before any task.
    TaskPool.useEventLoops()
    Task { [supervisor] in await finish(command, signals, supervisor) }
    signals.serve()
  }

  /// How many threads and processes only some commands have.
  private static func threadCount(of command: any ParsableCommand) -> Int {
    switch command {
    // The supervisor, and the thread that hears what it says.
    case let command as any HoldingCommand: command.command.isEmpty ? 0 : 2
    case let command as BenchCommand: command.threadCount
    default: 0
    }
  }

  private static func awaitedSignals(of command: any ParsableCommand) -> [Int32] {
    switch command {
    case is any HoldingCommand: Signals.forwarded
    case let command as any SignalAware: command.awaitedSignals
    default: []
    }
  }

  private static func finish(
    _ command: any ParsableCommand, _ signals: Signals, _ supervisor: SupervisorLink?
  ) async -> Never {
    do {
      switch command {
      case var command as any HoldingCommand: try await command.run(signals, supervisor)
      case var command as any SignalAware: try await command.run(signals)
      case var command as any AsyncParsableCommand: try await command.run()
      default:
        var command = command
        try command.run()
      }
      exitProcess(ExitStatus.success)
    } catch let end as CommandEnd {
      exitProcess(end.status)
    } catch let failure as Failure {
      exit(by: failure)
    } catch let error as LatchkeyError {
      exit(by: Failure(error))
    } catch {
      // The argument parser's own: help that was asked for, or usage.
      Latchkey.exit(withError: error)
    }
  }

  private static func exit(by failure: Failure) -> Never {
    StandardError.line("latchkey: \(failure.message)")
    exitProcess(failure.status)
  }
}
