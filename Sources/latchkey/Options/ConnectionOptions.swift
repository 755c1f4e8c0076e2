import ArgumentParser
import Glibc
import LatchkeyClient
import Logging

/// What every command needs to reach the service.
struct ConnectionOptions: ParsableArguments {
  static let defaultServer = "127.0.0.1:7420"
  static let variable = "LATCHKEY_SERVER"
  /// Servers that one command line may name.
  static let serversMax = 64

  @Option(
    name: [.customLong("server"), .customShort("s")],
    help: ArgumentHelp(
      """
      A server, also written as http://host:port, https://host:port for TLS or unix:PATH; several, separated by commas or in options of \
      their own, are tried in turn, and so are the addresses of a name. \
      (default: $\(variable), or \(defaultServer))
      """, valueName: "host:port"))
  var servers: [String] = []

  @Option(
    help: ArgumentHelp(
      "The authorities in PEM that may vouch for servers. (default: $LATCHKEY_TLS_CA, or the system's)",
      valueName: "path"))
  var tlsCa: String?

  @Option(
    help: ArgumentHelp(
      "The certificate in PEM to show to servers. (default: $LATCHKEY_TLS_CERTIFICATE, or none)",
      valueName: "path"))
  var tlsCertificate: String?

  @Option(
    help: ArgumentHelp("Its key in PEM. (default: $LATCHKEY_TLS_KEY)", valueName: "path"))
  var tlsKey: String?

  @Option(
    help: ArgumentHelp(
      """
      A file whose first line is a bearer token to show to servers; LATCHKEY_BEARER_TOKEN is one itself. \
      (default: $LATCHKEY_TOKEN_FILE, or none)
      """, valueName: "path"))
  var tokenFile: String?

  @Option(
    help: ArgumentHelp(
      "The name in a server's certificate. (default: its host)", valueName: "name"))
  var tlsServerName: String?

  @Option(
    help: ArgumentHelp(
      """
      How long a request may take, all tries included. Giving back what may have been granted takes up to \
      2 s more.
      """, valueName: "time"))
  var timeout = TimeSpan(.seconds(5))

  @Flag(name: [.short, .long], help: "Say nothing but errors.")
  var quiet = false

  @Flag(name: [.short, .long], help: "Say what happens on the connection.")
  var verbose = false

  func validate() throws {
    if quiet && verbose { throw ValidationError("--quiet and --verbose exclude each other.") }
    if timeout.duration <= .zero { throw ValidationError("--timeout must be more than 0.") }
  }

  /// Where the servers are.
  func endpoints() throws -> [Endpoint] {
    let named = servers.isEmpty ? [try variableText()] : servers
    var texts = named.flatMap { $0.split(separator: ",") }.map { text in
      String(text.filter { $0 != " " })
    }
    // An empty variable is as good as none.
    if texts.isEmpty {
      guard named == [""], servers.isEmpty else {
        throw Failure(.usage, "\(source)names no server")
      }
      texts = [Self.defaultServer]
    }
    guard texts.count <= Self.serversMax else {
      throw Failure(.usage, "\(source)more than \(Self.serversMax) servers")
    }
    do {
      return try texts.map { try Endpoint($0) }
    } catch let error as LatchkeyError {
      throw Failure(.usage, source + error.message)
    }
  }

  /// What to look at where a server's address is wrong.
  private var source: String { servers.isEmpty ? "\(Self.variable): " : "--server: " }

  private func variableText() throws -> String {
    guard let bytes = getenv(Self.variable) else { return "" }
    guard let text = String(validatingCString: bytes) else {
      throw Failure(.usage, "\(Self.variable) is not UTF-8")
    }
    return text
  }

  /// How to speak TLS with them.
  var tls: LatchkeyClient.TLS {
    LatchkeyClient.TLS(
      authorities: value(tlsCa, "LATCHKEY_TLS_CA"),
      certificate: value(tlsCertificate, "LATCHKEY_TLS_CERTIFICATE"),
      key: value(tlsKey, "LATCHKEY_TLS_KEY"), serverName: tlsServerName)
  }

  /// What to show them.
  var token: BearerToken? {
    value(tokenFile, "LATCHKEY_TOKEN_FILE").map { .file($0) }
      ?? value(nil, "LATCHKEY_BEARER_TOKEN").map { .text($0) }
  }

  /// A path that is wrong is wrong at once: the library would wait for a file to come.
  private func checkFiles() throws {
    let paths = [
      tls.authorities, tls.certificate, tls.key, value(tokenFile, "LATCHKEY_TOKEN_FILE"),
    ]
    for path in paths.compactMap({ $0 }) where access(path, R_OK) != 0 {
      throw Failure(
        .usage,
        path.isEmpty
          ? "an option is empty that has to name a file"
          : "cannot read \(path): \(errorText(errno))")
    }
  }

  /// An empty variable is as good as none.
  private func value(_ option: String?, _ variable: String) -> String? {
    option ?? getenv(variable).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// The newest wire version that the server at `endpoint` speaks too.
  func wireVersion(with endpoint: Endpoint) async throws -> UInt32 {
    try await withClient(at: endpoint) { client in
      let info = try await client.connectionInfo()
      guard let version = info.wireVersion else { throw Failure(.noCommonVersion, info.reason) }
      return version
    }
  }

  /// The same with one server alone.
  func withClient<R>(
    at endpoint: Endpoint, _ body: (LatchkeyClient) async throws -> R
  ) async throws -> R {
    try await withClient(try client(endpoints: [endpoint]), body)
  }

  private func client(endpoints: [Endpoint]) throws -> LatchkeyClient {
    try checkFiles()
    var configuration = LatchkeyClient.Configuration(endpoints: endpoints)
    configuration.requestTimeout = timeout.duration
    configuration.connectTimeout = min(configuration.connectTimeout, timeout.duration)
    configuration.tls = tls
    configuration.token = token
    configuration.logger = logger
    configuration.onOutage = { [quiet] reason in
      if !quiet { StandardError.line("latchkey: \(reason); trying on") }
    }
    configuration.onUnreleased = { [quiet] key, error in
      guard !quiet else { return }
      StandardError.line(
        "latchkey: \"\(key)\" could not be given back and is held until its lease ends: "
          + Failure.plain(error.message))
    }
    return LatchkeyClient(configuration)
  }

  /// Runs `body` with a client, and closes it.
  func withClient<R>(_ body: (LatchkeyClient) async throws -> R) async throws -> R {
    try await withClient(try client(endpoints: try endpoints()), body)
  }

  private func withClient<R>(
    _ client: LatchkeyClient, _ body: (LatchkeyClient) async throws -> R
  ) async throws -> R {
    do {
      let result = try await body(client)
      await client.shutdown()
      return result
    } catch {
      await client.shutdown()
      throw error
    }
  }

  /// Says something on the way that is not an error.
  func notice(_ text: String) {
    if !quiet { StandardError.line("latchkey: \(text)") }
  }

  private var logger: Logger {
    var logger = Logger(label: "latchkey") { _ in StandardErrorLog() }
    // What goes wrong in the end, the command says itself.
    logger.logLevel = verbose ? .debug : .critical
    return logger
  }
}

/// How a command prints its answer.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
  case table
  case json
}

/// What the commands need that answer something.
struct OutputOptions: ParsableArguments {
  @Option(name: [.short, .long], help: "How to print the answer.")
  var output = OutputFormat.table
}
