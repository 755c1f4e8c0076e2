import Access
import Glibc
import LatchkeyServer
import LockCore
import Logging
import NIOCore
import Storage

/// What is wrong with an option.
struct SettingError: Error {
  var message: String
}

/// The variables of the process's environment.
struct Environment: Sendable {
  var value: @Sendable (String) -> String?

  static let current = Environment { name in getenv(name).map { String(cString: $0) } }

  /// The file that an option names, or else a variable; nil where neither does.
  func path(
    _ option: String?, _ name: String, _ variable: String
  ) throws(SettingError) -> String? {
    guard let path = option ?? value(variable) else { return nil }
    guard !path.isEmpty else {
      throw SettingError(message: "\(option == nil ? variable : name) is empty and names no file")
    }
    return path
  }
}

extension Environment {
  /// Whether an option is given, or else a variable says so.
  func flag(_ option: Bool, _ variable: String) throws(SettingError) -> Bool {
    let said = value(variable) ?? "false"
    guard let isSaid = Bool(said) else {
      throw SettingError(message: "\(variable) must be true or false, got \"\(said)\"")
    }
    return option || isSaid
  }
}

/// Options and environment, judged.
struct ServerSettings {
  let configuration: ServerConfiguration
  let logFormat: LogFormat
  let logStyle: LineLog.Style
  let store: StoreURL
  let storeMustExist: Bool
  let storePassword: String?

  /// - Parameter log: Where lines of the log go.
  /// - Throws: ``SettingError`` naming the option, or the variable in its place, and what it allows.
  init(
    _ options: ServerOptions, environment: Environment, log: LineWriter
  ) throws(SettingError) {
    func text(_ option: String?, _ variable: String, _ standard: String) -> String {
      option ?? environment.value(variable) ?? standard
    }
    // Who gave no option looks for none.
    func name(_ name: String, _ option: String?, _ variable: String) -> String {
      option == nil && environment.value(variable) != nil ? variable : name
    }
    let level = text(options.logLevel, "LATCHKEY_LOG_LEVEL", "notice")
    guard let logLevel = Logger.Level(rawValue: level.lowercased()) else {
      throw SettingError(
        message: name("--log-level", options.logLevel, "LATCHKEY_LOG_LEVEL") + " must be one of "
          + Logger.Level.allCases.map(\.rawValue).joined(separator: ", ") + ", got \"\(level)\"")
    }
    let format = text(options.logFormat, "LATCHKEY_LOG_FORMAT", LogFormat.text.rawValue)
    guard let logFormat = LogFormat(rawValue: format) else {
      throw SettingError(
        message: name("--log-format", options.logFormat, "LATCHKEY_LOG_FORMAT")
          + " must be one of " + LogFormat.allCases.map(\.rawValue).joined(separator: ", ")
          + ", got \"\(format)\"")
    }
    let id = text(options.serverID, "LATCHKEY_SERVER_ID", Self.randomServerID())
    guard (1...128).contains(id.utf8.count), id.utf8.allSatisfy(Self.isIDByte) else {
      throw SettingError(
        message: name("--server-id", options.serverID, "LATCHKEY_SERVER_ID")
          + " must be 1 to 128 letters, digits, \".\", \"-\" and \"_\", "
          + "got \"\(id)\"")
    }
    self.logFormat = logFormat
    let style = LineLog.Style(
      logFormat, server: id, isForJournal: ProcessSetup.isJournal(STDERR_FILENO))
    logStyle = style
    var logger = Logger(label: "latchkeyd") { _ in LineLog(style) { log.write($0) } }
    logger.logLevel = logLevel
    var configuration = ServerConfiguration(serverID: id, clock: monotonicClock, logger: logger)
    let listening = try ListenSettings(options, environment: environment)
    (configuration.listeners, configuration.tls) = (listening.listeners, listening.tls)
    configuration.access = try Self.access(options, environment)
    configuration.audit = try Self.audit(options, environment, id, logger)
    store = try StoreURL(
      text(options.store, "LATCHKEY_STORE", "sqlite:./latchkey-data/latchkey.db"),
      name("--store", options.store, "LATCHKEY_STORE"), isPublic: options.store != nil)
    storeMustExist = try environment.flag(options.storeMustExist, "LATCHKEY_STORE_MUST_EXIST")
    storePassword = try StorePassword.find(
      file: options.storePasswordFile, "--store-password-file", environment: environment
    ) { [logger] in logger.warning("\($0)") }

    func number(
      _ option: String?, _ variable: String, _ optionName: String, _ standard: Int,
      _ range: ClosedRange<Int>
    ) throws(SettingError) -> Int {
      let text = text(option, variable, "\(standard)")
      guard let number = Int(text), range.contains(number) else {
        throw SettingError(
          message: name(optionName, option, variable)
            + " must be \(range.lowerBound) to \(range.upperBound), got \"\(text)\"")
      }
      return number
    }
    configuration.eventLoops = try number(
      options.threads, "LATCHKEY_THREADS", "--threads", max(1, System.coreCount / 2), 1...256)
    configuration.limits.connectionsMax = try number(
      options.maxConnections, "LATCHKEY_MAX_CONNECTIONS", "--max-connections",
      configuration.limits.connectionsMax, 1...1_000_000)
    configuration.limits.bodyBytesMax = try number(
      options.maxBodyBytes, "LATCHKEY_MAX_BODY_BYTES", "--max-body-bytes",
      configuration.limits.bodyBytesMax, 1_024...16_777_216)
    configuration.store.queueMax = try number(
      options.maxQueue, "LATCHKEY_MAX_QUEUE", "--max-queue", configuration.store.queueMax,
      1...10_000_000)
    configuration.rollback = RollbackAllowance(
      releases: try number(
        options.rollbackReleases, "LATCHKEY_ROLLBACK_RELEASES", "--rollback-releases", 1, 0...100))
    let http1Idle = try number(
      options.http1IdleSeconds, "LATCHKEY_HTTP1_IDLE_SECONDS", "--http1-idle-seconds", 75,
      Self.idleSeconds)
    configuration.http1.idleTimeout = .seconds(Int64(http1Idle))
    let http2Idle = try number(
      options.http2IdleSeconds, "LATCHKEY_HTTP2_IDLE_SECONDS", "--http2-idle-seconds", 600,
      Self.idleSeconds)
    configuration.http2.idleTimeout = .seconds(Int64(http2Idle))
    let drain = try number(
      options.drainSeconds, "LATCHKEY_DRAIN_SECONDS", "--drain-seconds", 10, 0...3_600)
    configuration.limits.drainTimeout = .seconds(Int64(drain))
    let delay = try number(
      options.drainDelaySeconds, "LATCHKEY_DRAIN_DELAY_SECONDS", "--drain-delay-seconds", 0,
      0...3_600
    )
    configuration.limits.drainDelay = .seconds(Int64(delay))
    let free = try number(
      options.freeRowSeconds, "LATCHKEY_FREE_ROW_SECONDS", "--free-row-seconds", 3_600,
      1...31_536_000)
    configuration.store.epochNanoseconds = Int64(free) * 1_000_000_000
    self.configuration = configuration
  }

  private static func audit(
    _ options: ServerOptions, _ environment: Environment, _ serverID: String, _ logger: Logger
  ) throws(SettingError) -> AuditLog? {
    let isRequired = try environment.flag(options.auditRequired, "LATCHKEY_AUDIT_REQUIRED")
    guard
      let path = try environment.path(options.auditLog, "--audit-log", "LATCHKEY_AUDIT_LOG")
    else {
      guard !isRequired else {
        throw SettingError(message: "--audit-required needs --audit-log, which says where to")
      }
      return nil
    }
    do {
      return try AuditLog(path, of: serverID, isRequired: isRequired, logger: logger)
    } catch {
      throw SettingError(message: error.description)
    }
  }

  private static func access(
    _ options: ServerOptions, _ environment: Environment
  ) throws(SettingError) -> AccessControl? {
    var sources = AccessControl.Sources(
      policy: try environment.path(options.policy, "--policy", "LATCHKEY_POLICY"),
      tokens: try environment.path(options.tokens, "--tokens", "LATCHKEY_TOKENS"),
      jwtKeys: try environment.path(options.jwtKeys, "--jwt-keys", "LATCHKEY_JWT_KEYS"))
    let issuer = options.jwtIssuer ?? environment.value("LATCHKEY_JWT_ISSUER")
    let audience = options.jwtAudience ?? environment.value("LATCHKEY_JWT_AUDIENCE")
    switch (sources.jwtKeys, issuer, audience) {
    case (nil, nil, nil): break
    case (_?, let issuer?, let audience?):
      guard !issuer.isEmpty, !audience.isEmpty else {
        throw SettingError(message: "--jwt-issuer and --jwt-audience cannot be empty")
      }
      sources.jwtTerms = JWTs.Terms(issuer: issuer, audience: audience)
    default:
      throw SettingError(
        message: "--jwt-keys, --jwt-issuer and --jwt-audience go together: one of them is missing")
    }
    guard sources != AccessControl.Sources() else { return nil }
    do {
      return try AccessControl(sources)
    } catch {
      throw SettingError(message: error.description)
    }
  }

  /// Less than the connection's timer can tell apart is of no use to anybody.
  private static let idleSeconds = 5...86_400

  private static func isIDByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
      UInt8(ascii: "_"):
      true
    default: false
    }
  }

  private static func randomServerID() -> String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    let host = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    let safe = host.utf8.prefix(64).map { isIDByte($0) ? $0 : UInt8(ascii: "-") }
    let random = String(UInt32.random(in: .min ... .max), radix: 16)
    return (safe.isEmpty ? "server" : String(decoding: safe, as: UTF8.self)) + "-" + random
  }
}

/// CLOCK_MONOTONIC stands still while the machine is suspended: a lease never ends because of that.
@Sendable func monotonicClock() -> MonotonicTime {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return MonotonicTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
}
