/// Whom a rule is about.
package enum IdentityPattern: Hashable, Sendable, CustomStringConvertible {
  /// Also whoever has proved nothing.
  case anybody
  /// Whoever has proved to be somebody.
  case somebody
  /// Whoever has proved nothing.
  case nobody
  /// A name in which "*" stands for one part or for some of one: what is between two of "/" and ":". In bytes.
  case name([UInt8])

  package init(_ text: String) {
    self =
      switch text {
      case "anybody": .anybody
      case "somebody": .somebody
      case "nobody": .nobody
      default: .name(Array(text.utf8))
      }
  }

  package var description: String {
    switch self {
    case .anybody: "anybody"
    case .somebody: "somebody"
    case .nobody: "nobody"
    case .name(let bytes): String(decoding: bytes, as: UTF8.self)
    }
  }

  /// What names of people and programs begin with, beside URIs.
  private static let kinds = ["token:", "jwt:", "user:", "uid:", "dns:", "cn:", "uri:"]

  /// Why it matches nobody, as every name says how it was proved; nil where it may match somebody.
  package var fault: String? {
    guard case .name(let bytes) = self else { return nil }
    guard Identity(description) != nil else {
      return
        "\"\(self)\" names nobody: a name has 1 to \(Identity.bytesMax) bytes, all visible, and no blank; who has one in "
        + "its certificate is not known by it"
    }
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else {
      return
        "\"\(self)\" names nobody; names are like token:\(self), jwt:\(self), user:\(self), dns:\(self), "
        + "cn:\(self) or a URI, and anybody, somebody and nobody are words"
    }
    let kind = String(decoding: bytes[...colon], as: UTF8.self)
    let rest = bytes[(colon + 1)...]
    if rest.isEmpty { return "\"\(self)\" names nobody: there is nothing behind \(kind)" }
    let isNumber = rest.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: "*") }
    if kind == "uid:", !isNumber {
      return "\"\(self)\" names nobody: behind uid: stands a number, and names behind user:"
    }
    let isURI = rest.starts(with: "//".utf8) || kind.contains("*")
    guard Self.kinds.contains(kind) || isURI else {
      return
        "\"\(kind)\" is no kind of name; names begin with \(Self.kinds.joined(separator: ", ")) or are URIs "
        + "such as spiffe://example.org/a"
    }
    return nil
  }

  /// How whom it means would have to be proved.
  package enum Means: Sendable { case certificate, token, jwt, unixSocket }

  /// Nil where nothing has to be proved, or that depends on the name.
  package var means: Means? {
    guard case .name(let bytes) = self else { return nil }
    let kind = String(decoding: bytes.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self)
    return switch kind {
    case "token": .token
    case "jwt": .jwt
    case "user", "uid": .unixSocket
    case _ where kind.contains("*"): nil
    default: .certificate
    }
  }

  package func matches(_ identity: Identity?) -> Bool {
    matches(identity.map { Array($0.name.utf8) })
  }

  /// - Parameter name: That of an identity, in bytes; nil for nobody.
  func matches(_ name: [UInt8]?) -> Bool {
    switch (self, name) {
    case (.anybody, _), (.somebody, _?), (.nobody, nil): true
    case (.name(let pattern), let name?): Self.matches(pattern, name)
    default: false
    }
  }

  /// The latest "*" takes one more byte whenever what follows does not fit: no pattern takes longer than the product
  /// of both lengths.
  private static func matches(_ pattern: [UInt8], _ name: [UInt8]) -> Bool {
    var (at, place) = (0, 0)
    var star: (at: Int, place: Int)?
    while place < name.count {
      if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
        star = (at, place)
        at += 1
      } else if at < pattern.count, pattern[at] == name[place] {
        (at, place) = (at + 1, place + 1)
      } else if let latest = star, !isEnd(name[latest.place]) {
        star = (latest.at, latest.place + 1)
        (at, place) = (latest.at + 1, latest.place + 1)
      } else {
        return false
      }
    }
    while at < pattern.count, pattern[at] == UInt8(ascii: "*") { at += 1 }
    return at == pattern.count
  }

  private static func isEnd(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "/") || byte == UInt8(ascii: ":")
  }
}
