import Glibc
import LatchkeyServer

/// What whoever started the server has said, by options and variables, as far as it is no secret.
struct GivenSettings {
  /// In the order of their names.
  let all: [ServerConfiguration.Setting]
  /// Variables that look like the server's and are none: most likely they are mistyped, and do nothing.
  let unknown: [String]

  /// What nobody else is to read, and what is told elsewhere without its password.
  private static let secret: Set<String> = ["LATCHKEY_STORE_PASSWORD", "LATCHKEY_STORE"]

  /// Those of the command line, which may stand in the environment of a server as well.
  private static let ofClients: Set<String> = [
    "LATCHKEY_SERVER", "LATCHKEY_KEY", "LATCHKEY_OWNER", "LATCHKEY_TOKEN", "LATCHKEY_TOKEN_FILE",
    "LATCHKEY_BEARER_TOKEN", "LATCHKEY_TLS_CA",
  ]

  /// - Parameters:
  ///   - help: What is said of all options: each names its variable.
  ///   - arguments: Those of the command line, which were understood.
  ///   - environment: Each with its value behind "=".
  init(help: String, arguments: [String], environment: [String]) {
    let known = Set(Self.variables(in: help))
    var said: [String: (value: String, source: String)] = [:]
    var unknown: [String] = []
    for entry in environment {
      let sides = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(sides[0])
      guard name.hasPrefix(Self.beginning) else { continue }
      if known.contains(name) {
        said[name] = (sides.count > 1 ? String(sides[1]) : "", name)
      } else if !Self.isOfOthers(name) {
        unknown.append(name)
      }
    }
    for (name, values) in Self.options(in: arguments, known: known) {
      said[name] = (values.joined(separator: ","), "option")
    }
    all = said.filter { !Self.secret.contains($0.key) }.sorted { $0.key < $1.key }.map {
      ServerConfiguration.Setting(
        name: Self.option(of: $0.key), value: $0.value.value, source: $0.value.source)
    }
    self.unknown = unknown.sorted()
  }

  private static let beginning = "LATCHKEY_"

  private static func isOfOthers(_ name: String) -> Bool {
    // What Kubernetes tells every container of a service that is called latchkey.
    ofClients.contains(name) || name.hasPrefix("LATCHKEY_SERVICE_")
      || name.hasPrefix("LATCHKEY_PORT")
  }

  private static func variables(in help: String) -> [String] {
    help.split { !($0.isASCII && ($0.isLetter || $0.isNumber) || $0 == "_") }
      .filter { $0.hasPrefix(beginning) }.map(String.init)
  }

  /// `LATCHKEY_TLS_KEY` is the twin of `--tls-key`.
  private static func option(of variable: String) -> String {
    "--" + variable.dropFirst(beginning.count).lowercased().replacing("_", with: "-")
  }

  private static func options(
    in arguments: [String], known: Set<String>
  ) -> [String: [String]] {
    let names = Dictionary(uniqueKeysWithValues: known.map { (option(of: $0), $0) })
    var given: [String: [String]] = [:]
    for (index, argument) in arguments.enumerated() {
      let sides = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let variable = names[String(sides[0])] else { continue }
      let next = index + 1 < arguments.count ? arguments[index + 1] : ""
      let value =
        sides.count > 1 ? String(sides[1]) : next.isEmpty || next.hasPrefix("--") ? "true" : next
      given[variable, default: []].append(value)
    }
    return given
  }
}

extension GivenSettings {
  /// Of this process.
  init(help: String) {
    var entries: [String] = []
    var next = environ
    while let entry = next.pointee {
      entries.append(String(cString: entry))
      next += 1
    }
    self.init(help: help, arguments: CommandLine.arguments, environment: entries)
  }
}
