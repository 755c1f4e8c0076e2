import LatchkeyClient

/// How resources are printed. The names in JSON are an interface: they are only ever added to.
extension Resource {
  var json: JSON {
    .members(
      ("key", .text(key)), ("kind", .text(kind.rawValue)), ("owner", .text(owner)),
      ("value", .text(value)), ("token", .integer(token)), ("revision", .integer(revision)),
      ("leaseSeconds", .number(lease.map { $0 / .seconds(1) })))
  }

  static func table(_ resources: [Resource]) -> Table {
    var table = Table("KEY", "KIND", "OWNER", "TOKEN", "VALUE")
    for resource in resources {
      table.append([
        resource.key, resource.kind.rawValue, resource.owner,
        resource.token.map { "\($0)" } ?? "-", resource.value,
      ])
    }
    return table
  }
}

extension Table {
  /// Prints the table, cut off where a terminal's width ends.
  func print() {
    StandardOutput.line(lines(width: terminalColumns()).joined(separator: "\n"))
  }
}

extension Failure {
  /// What an error of the client means for the caller of a program.
  init(_ error: LatchkeyError) {
    let status: ExitStatus =
      switch error.code {
      case .heldByAnother, .notTheHolder, .waitEnded, .leaseLost, .overloaded: .notToBeHad
      case .unavailable, .deadlineExceeded, .closed: .unavailable
      case .invalidRequest: .usage
      case .noCommonVersion, .requiresNewerServer, .requiresNewerPeer: .noCommonVersion
      default: .failed
      }
    // What a server said, or what became of the connection, tells more than that time ran out.
    let reason = (error.cause as? LatchkeyError).map { ": \($0.message)" } ?? ""
    self.init(status, error.message + reason)
  }

  /// The most common one, with the holder as `error` names it, or else as the server does when asked.
  init(heldByAnother key: String, _ error: LatchkeyError, _ client: LatchkeyClient) async {
    var holder = error.holder
    if holder == nil { holder = try? await client.fetch(key)?.owner }
    self.init(heldByAnother: key, holder: holder)
  }

  /// The same, in the words of the command line.
  ///
  /// - Parameter holder: Nil where it is not known.
  init(heldByAnother key: String, holder: String?) {
    let holder = holder.map { "\"\($0)\"" } ?? "another"
    self.init(.notToBeHad, "\"\(key)\" is held by \(holder)")
  }
}
