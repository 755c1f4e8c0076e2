import ArgumentParser
import CLinux
import Dispatch
import Glibc
import LatchkeyServer
import Logging
import Metrics
import NIOCore
import NIOPosix
import ServiceLifecycle
import Storage
import Synchronization
import WireSchema

/// The program: makes sure that there can be threads and what they wait by, then leaves the main one to the
/// runtime.
@main
enum Main {
  static func main() {
    linux_open_standard_streams()
    // What it creates is for its owner alone.
    umask(0o077)
    ProcessSignals.ignore()
    Latchkeyd.checkRoom(threads: Latchkeyd.taskThreads)
    Latchkeyd.checkRoom(files: Latchkeyd.runtimeFiles)
    Task {
      await Latchkeyd.main(nil)
      exit(0)
    }
    dispatchMain()
  }
}

/// The lock server as a program.
struct Latchkeyd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "latchkeyd",
    abstract: "A durable lock service: named locks and presences under leases.",
    discussion: """
      Started without options it listens on 127.0.0.1:7420 and keeps its store in \
      ./latchkey-data/latchkey.db. Every option can be given in the environment as well.

      Several servers may share one store; each needs an address of its own. Upgrading and rolling \
      back mean replacing the binary, in any order, at any time.

      GET /healthz, /readyz, /metrics, /status and /events tell how it is.

      SIGTERM and SIGINT have it finish what is in hand, after --drain-delay-seconds; a second one ends it at once. SIGHUP has it read \
      certificates, policy, tokens and keys again at once, which it also does by itself where they change, and go on in a \
      new audit log where the one before was moved away.

      Exit codes: 0 after SIGTERM or SIGINT, 143 or 130 after a second one; where it cannot start, 75 for what may \
      pass by itself (an address in use, a full disk, a store that another process has locked), 64 for a bad option, \
      66 for a store that is missing (--store-must-exist), 69 for one that needs a newer release, 78 for everything else \
      that somebody has to put right.
      """,
    version: Release.version,
    subcommands: [StoreSchema.self, CopyStore.self, PolicyCommand.self, TokenCommand.self])

  @OptionGroup var options: ServerOptions

  @Flag(
    help: ArgumentHelp(
      """
      Read options, variables and all files that they name, say what is wrong with them (exit code 64), and start \
      nothing. The store is not looked at.
      """))
  var checkConfig = false

  mutating func run() async throws {
    Self.checkRoom(threads: 1)
    let log = LineWriter(STDERR_FILENO)
    let settings: ServerSettings
    do throws(SettingError) {
      settings = try ServerSettings(options, environment: Environment.current, log: log)
    } catch {
      Self.fail(error.message, code: .validationFailure)
    }
    let given = GivenSettings(help: Self.helpMessage(columns: .max))
    if checkConfig { return Self.show(given, log) }
    for name in given.unknown {
      settings.configuration.logger.warning(
        "there is no such variable: it does nothing", metadata: ["name": "\(name)"])
    }
    ProcessSetup.prepare()
    var configuration = settings.configuration
    configuration.settings = given.all
    Self.startPool(eventLoops: configuration.eventLoops)
    configuration.trimMemory = ProcessSetup.trimMemory
    let server: LatchkeyServer
    let location: String
    do throws(StoreError) {
      let engine = try settings.store.engine(
        password: settings.storePassword, mustExist: settings.storeMustExist)
      location = engine.location
      let registry = PrometheusRegistry(
        help: ServerMetrics.help, timerBounds: ServerMetrics.timerBounds)
      let dropped = Counter(label: "latchkey_log_lines_dropped_total", factory: registry)
      log.reportDrops { dropped.increment(by: $0) }
      server = try LatchkeyServer(
        configuration, engine: engine,
        metrics: registry, metricsText: { registry.text() })
    } catch {
      Self.fail(error)
    }
    let addresses: [String]
    do {
      addresses = try await server.start()
    } catch let error as ListenError {
      let isInUse = (error.cause as? IOError)?.errnoCode == EADDRINUSE
      Self.fail(
        "cannot listen on \(error.address): \(reason(of: error.cause))",
        code: isInUse ? .mayPass : .configuration)
    }
    let announcement = Self.announcement(
      settings,
      [
        ("addresses", addresses.joined(separator: ", ")), ("store", location),
        ("wire", "\(WireVersions.spoken)"), ("shape", "\(KnownShapes.all)"),
        ("server", settings.configuration.serverID),
        ("store id", server.storeID.isEmpty ? "not known yet" : server.storeID),
      ])
    let service = AnnouncedServer(server: server, announcement: announcement)
    let services = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [
          .init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)
        ],
        logger: settings.configuration.logger))
    Self.receiveSignals(services, server, settings.configuration.logger, log)
    try await services.run()
    log.flush(nanoseconds: flushNanosecondsMax)
  }

  /// The line that says where the server is.
  private static func announcement(
    _ settings: ServerSettings, _ facts: [(name: String, text: String)]
  ) -> [UInt8] {
    guard settings.logFormat == .text else {
      return settings.logStyle.line(
        .notice, "latchkeyd \(Release.version) listening",
        facts.filter { $0.name != "server" }.map { ($0.name.replacing(" ", with: "_"), $0.text) })
    }
    let rest = facts.dropFirst().map { "\($0.name) \($0.text)" }.joined(separator: ", ")
    return Array("latchkeyd \(Release.version) listening on \(facts[0].text), \(rest)".utf8)
  }

  /// What was given, and that nothing is wrong with it.
  private static func show(_ given: GivenSettings, _ log: LineWriter) {
    for setting in given.all {
      print(
        "\(setting.name) \(setting.value)"
          + (setting.source == "option" ? "" : " (\(setting.source))"))
    }
    for name in given.unknown {
      log.write("latchkeyd: \(name): there is no such variable, it does nothing")
    }
    print("nothing is wrong with the configuration")
    log.flush(nanoseconds: flushNanosecondsMax)
  }

  /// Has SIGTERM and SIGINT end the server: the first one in good order, the second one at once.
  private static func receiveSignals(
    _ services: ServiceGroup, _ server: LatchkeyServer, _ logger: Logger, _ log: LineWriter
  ) {
    let isEnding = Atomic<Bool>(false)
    ProcessSignals.receive { number in
      if number == SIGHUP {
        if !server.reload() {
          logger.notice("SIGHUP is ignored: there is nothing that could be read again")
        }
      } else if isEnding.exchange(true, ordering: .relaxed) {
        logger.warning("told to stop once more: this ends at once, whatever is in hand")
        server.flushAudit()
        log.flush(nanoseconds: flushNanosecondsMax)
        _exit(128 + number)
      } else {
        Task { await services.triggerGracefulShutdown() }
      }
    }
  }

  /// Threads beside event loops, pool and tasks: the store's, those of signals and of the output, and
  /// one to spare.
  private static let otherThreads = 12

  /// Those that tasks share, as many as there are cores, and what is made of them where they block.
  fileprivate static var taskThreads: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) + 2 }

  /// Starts the threads that read heavy requests and do what blocks, where there is room for all
  /// that the server will ever start: otherwise the first such request would start them, and end
  /// the program where they do not fit any more.
  private static func startPool(eventLoops: Int) {
    checkRoom(files: eventLoops * loopFiles + otherFiles)
    // Each event loop has one heavy request read at a time; and one for the end and for the memory.
    let poolThreads = eventLoops + 1
    checkRoom(threads: eventLoops + poolThreads + taskThreads + otherThreads)
    NIOSingletons.blockingPoolThreadCountSuggestion = poolThreads
    _ = NIOThreadPool.singleton
  }

  /// Ends the program where the system has no room for so many threads: libdispatch would try for ever
  /// to start one, without a word, and NIO would crash.
  fileprivate static func checkRoom(threads count: Int) {
    check("start a thread", linux_try_threads(Int32(count)))
  }

  /// Ends the program where so many files cannot be opened: libdispatch and NIO would crash.
  fileprivate static func checkRoom(files count: Int) {
    check("open a file", linux_try_files(Int32(count)))
  }

  /// Files that tasks, timers and signals are waited for by: more than there are of them.
  fileprivate static let runtimeFiles = 8
  /// Files beside those of the event loops: the store's, the listener, and some to spare for clients.
  private static let otherFiles = 24
  /// Those of an event loop: what it waits by, is woken by, and its clock.
  private static let loopFiles = 3

  /// - Parameter code: An error number, or 0.
  private static func check(_ what: String, _ code: Int32) {
    guard code != 0 else { return }
    let limit = String(cString: linux_limit_behind(code))
    fail("cannot \(what): \(String(cString: strerror(code)))\(limit)", code: .mayPass)
  }

  /// Options of the server before a command of another name would be read and forgotten.
  static func checkStandsFirst(_ command: String) throws {
    guard CommandLine.arguments.dropFirst().first == command else {
      throw ValidationError("the server's options have no effect here: begin with \(command)")
    }
  }

  static func fail(_ error: StoreError) -> Never {
    let code: ExitCode =
      switch error.code {
      case .tooOldServer: .unavailable
      case .missing: .noInput
      default: error.mayPass ? .mayPass : .configuration
      }
    fail(error.message, code: code)
  }

  /// One clear line, and out.
  static func fail(_ message: String, code: ExitCode) -> Never {
    let line = Array("latchkeyd: \(message)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    Glibc.exit(code.rawValue)
  }
}

/// How long the end waits for who reads the log.
private let flushNanosecondsMax: Int64 = 1_000_000_000

/// As sysexits.h has them: a supervisor need not try again after any but the last.
extension ExitCode {
  fileprivate static let noInput = ExitCode(66)
  fileprivate static let unavailable = ExitCode(69)
  fileprivate static let configuration = ExitCode(78)
  /// EX_TEMPFAIL.
  fileprivate static let mayPass = ExitCode(75)
}

/// Says where the server is once the signals are handled: whoever waits for the line may send one.
private struct AnnouncedServer: Service {
  let server: LatchkeyServer
  let announcement: [UInt8]

  func run() async throws {
    // As little as the log does this wait for who reads it.
    LineWriter(STDOUT_FILENO).write(announcement)
    ProcessSetup.releaseStartUpPages()
    try await server.run()
  }
}
