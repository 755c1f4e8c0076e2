import LatchkeyClient

/// How resources are printed. The names in JSON are an interface: they are only ever added to.
extension Resource {
  var json: JSON {
    .members(
      ("key", .text(key)), ("kind", .text(kind.rawValue)), ("owner", .text(owner)),
      ("value", .text(value)), ("token", .integer(token)), ("revision", .integer(revision)),
      ("leaseSeconds", .seconds(lease)),
      ("attributes", attributes.map { JSON($0) } ?? .null),
      ("labels", JSON(Attributes(labels.mapValues { .string($0) }))),
      ("grantedAt", .seconds(grantedAt)))
  }

  /// More names of attributes than these are left in VALUE.
  static let attributeColumnsMax = 8

  /// Attributes are columns of their own where there are not too many of them.
  static func table(_ resources: [Resource]) -> Table {
    let attributes = resources.map(\.attributes)
    let allNames = Set(attributes.lazy.compactMap(\.self).flatMap(\.values.keys))
    let names = allNames.count <= attributeColumnsMax ? allNames.sorted() : []
    let labels = resources.contains { !$0.labels.isEmpty }
    let isTextShown = names.isEmpty || attributes.contains { $0 == nil }
    var table = Table(
      (["KEY", "KIND", "OWNER", "TOKEN"] + (isTextShown ? ["VALUE"] : [])
        + names + (labels ? ["LABELS"] : []))
        .map { ($0, .left) })
    for (resource, attributes) in zip(resources, attributes) {
      let isText = names.isEmpty || attributes == nil
      table.append(
        [
          resource.key, resource.kind.rawValue, resource.owner,
          resource.token.map { "\($0)" } ?? "-",
        ] + (isTextShown ? [isText ? resource.value : ""] : [])
          + names.map { attributes?[$0]?.text ?? "" } + (labels ? [resource.labelText] : []))
    }
    return table
  }

  private var labelText: String {
    labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
  }
}

extension AttributeValue {
  /// For a column: strings as they are, all else as JSON.
  fileprivate var text: String {
    switch self {
    case .string(let text): text
    case .null, .boolean, .number, .list, .nested:
      // Without the braces and the name around it.
      String((["": self] as Attributes).json.dropFirst(4).dropLast())
    }
  }
}

extension JSON {
  init(_ attributes: Attributes) {
    self = .object(
      attributes.values.sorted { $0.key < $1.key }.map { JSON.Member($0.key, JSON($0.value)) })
  }

  private init(_ value: AttributeValue) {
    switch value {
    case .null: self = .null
    case .boolean(let isTrue): self = .bool(isTrue)
    case .number(let number):
      self = Int64(exactly: number).map { .integer($0) } ?? .number(number)
    case .string(let text): self = .text(text)
    case .list(let items): self = .list(items.map(JSON.init))
    case .nested(let attributes): self = JSON(attributes)
    }
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
      case .heldByAnother, .alreadyHeld, .notTheHolder, .waitEnded, .leaseLost, .overloaded:
        .notToBeHad
      case .unavailable, .deadlineExceeded, .closed: .unavailable
      case .invalidRequest: .usage
      case .noCommonVersion, .requiresNewerServer, .requiresNewerPeer: .noCommonVersion
      case .permissionDenied, .unauthenticated: .denied
      default: .failed
      }
    if let missing = error.requirement {
      self.init(
        status,
        "the servers are too old for \(missing.feature): they speak wire v\(missing.has), it takes "
          + "v\(missing.needs)")
      return
    }
    // What a server said, or what became of the connection, tells more than that time ran out.
    let reason = (error.cause as? LatchkeyError).map { ": \(Self.plain($0.message))" } ?? ""
    self.init(status, Self.plain(error.message) + reason)
  }

  /// What servers say begins with a word for programs, such as "invalid-key: ", or is no more than that.
  static func plain(_ message: String) -> String {
    let word = message.prefix { $0 == "-" || ("a"..."z").contains($0) }
    guard word.contains("-") else { return message }
    let rest = message.dropFirst(word.count)
    if rest.hasPrefix(": ") { return String(rest.dropFirst(2)) }
    guard rest.isEmpty else { return message }
    if word == "invalid-owner" { return "an owner has 1 to 512 bytes of UTF-8, no NUL" }
    return word.split(separator: "-").joined(separator: " ")
  }

  /// A lock or presence that was held and is not any more, as the library says it.
  init(loss error: LatchkeyError) {
    let cause = (error.cause as? LatchkeyError).map { ": \(Self.plain($0.message))" } ?? ""
    self.init(.notToBeHad, error.message + cause)
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
