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

  /// Whether there can be anybody whom it matches: every name says how it was proved.
  package var mayMatch: Bool {
    if case .name(let bytes) = self { bytes.contains(UInt8(ascii: ":")) } else { true }
  }

  /// What it begins with, where that is no kind of name that ``Identity`` lists and no usual URI: only a certificate's
  /// URI can begin with it, and most likely it is misspelt.
  package var unusualKind: String? {
    guard case .name(let bytes) = self, let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else {
      return nil
    }
    let kind = String(decoding: bytes[...colon], as: UTF8.self)
    let isUsual =
      ["dns:", "cn:", "token:", "jwt:", "user:", "uid:", "urn:"].contains(kind)
      || kind.contains("*") || bytes[(colon + 1)...].starts(with: "//".utf8)
    return isUsual ? nil : kind
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
