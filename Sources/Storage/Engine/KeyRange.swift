import LockContent
import LockCore

/// Keys that start with a prefix and come after a key, by their bytes.
package struct KeyRange: Equatable, Sendable {
  package var prefix: String
  /// Empty for all.
  package var after: String
  /// No key of the range that is looked for comes before this.
  package var start: String

  package init(prefix: String = "", after: String = "", start: String = "") {
    self.prefix = prefix
    self.after = after
    self.start = start
  }

  /// No key in the range comes before this: one bound, so that an engine begins there.
  package var lowerBound: String { Self.later(Self.later(prefix, after), start) }

  private static func later(_ a: String, _ b: String) -> String {
    a.utf8.lexicographicallyPrecedes(b.utf8) ? b : a
  }

  /// All keys in the range come before this: no character comes after U+10FFFF, and no key is so long.
  package var upperBound: String { prefix + Self.last }

  private static let last = String(
    repeating: "\u{10FFFF}", count: NameLimits.keyBytesMax / "\u{10FFFF}".utf8.count + 1)

  package func contains(_ key: String) -> Bool {
    key.utf8.starts(with: prefix.utf8) && after.utf8.lexicographicallyPrecedes(key.utf8)
      && !key.utf8.lexicographicallyPrecedes(start.utf8)
  }
}
