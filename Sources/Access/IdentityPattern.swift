/// Whom a rule is about.
package enum IdentityPattern: Hashable, Sendable, CustomStringConvertible {
  /// Also whoever has proved nothing.
  case anybody
  /// Whoever has proved to be somebody.
  case somebody
  /// Whoever has proved nothing.
  case nobody
  /// A name in which "*" stands for one part or for some of one: what is between two of "/" and ":".
  case name(String)

  package init(_ text: String) {
    self =
      switch text {
      case "anybody": .anybody
      case "somebody": .somebody
      case "nobody": .nobody
      default: .name(text)
      }
  }

  package var description: String {
    switch self {
    case .anybody: "anybody"
    case .somebody: "somebody"
    case .nobody: "nobody"
    case .name(let text): text
    }
  }

  /// Whether there can be anybody whom it matches: every name says how it was proved.
  package var mayMatch: Bool {
    if case .name(let text) = self { text.utf8.contains(UInt8(ascii: ":")) } else { true }
  }

  package func matches(_ identity: Identity?) -> Bool {
    switch (self, identity) {
    case (.anybody, _), (.somebody, _?), (.nobody, nil): true
    case (.name(let pattern), let identity?):
      Self.matches(Array(pattern.utf8), Array(identity.name.utf8))
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
