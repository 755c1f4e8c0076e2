import LockContent
import LockCore

/// Keys that start with a prefix and come after a key, by their bytes.
package struct KeyRange: Equatable, Sendable {
  package var prefix: String
  /// Empty for all.
  package var after: String

  package init(prefix: String = "", after: String = "") {
    self.prefix = prefix
    self.after = after
  }

  /// The keys that begin with `prefix`, come after `after` and begin with `text`, where one of both begins with the other.
  init(prefix: String, after: String, within text: String) {
    self.init(prefix: text.utf8.starts(with: prefix.utf8) ? text : prefix, after: after)
  }

  /// No key in the range comes before this: one bound, so that an engine begins there.
  package var lowerBound: String {
    after.utf8.lexicographicallyPrecedes(prefix.utf8) ? prefix : after
  }

  /// All keys in the range come before this: no character comes after U+10FFFF, and no key is so long.
  package var upperBound: String { prefix + Self.last }

  private static let last = String(
    repeating: "\u{10FFFF}", count: NameLimits.keyBytesMax / "\u{10FFFF}".utf8.count + 1)

  package func contains(_ key: String) -> Bool {
    key.utf8.starts(with: prefix.utf8) && after.utf8.lexicographicallyPrecedes(key.utf8)
  }
}
