import LockContent
import LockCore

/// Keys that start with a prefix and come after a key, by their bytes.
package struct KeyRange: Equatable, Sendable {
  package var prefix: String
  /// Empty for all.
  package var after: String
  /// Whether the prefix itself is the only key that is looked for.
  package var isOneKey: Bool

  package init(prefix: String = "", after: String = "", isOneKey: Bool = false) {
    self.prefix = prefix
    self.after = after
    self.isOneKey = isOneKey
  }

  /// The keys that begin with `prefix`, come after `after` and are in `stretch`, of whose text one begins with the other.
  init(prefix: String, after: String, in stretch: KeySet.Stretch) {
    let isWithin = stretch.text.utf8.starts(with: prefix.utf8)
    self.init(
      prefix: isWithin ? stretch.text : prefix, after: after,
      isOneKey: isWithin && stretch.isOneKey)
  }

  /// No key in the range comes before this: one bound, so that an engine begins there.
  package var lowerBound: String {
    after.utf8.lexicographicallyPrecedes(prefix.utf8) ? prefix : after
  }

  /// All keys in the range come before this: no character comes after U+10FFFF, and no key is so long; none comes before
  /// U+0001.
  package var upperBound: String { prefix + (isOneKey ? "\u{1}" : Self.last) }

  private static let last = String(
    repeating: "\u{10FFFF}", count: NameLimits.keyBytesMax / "\u{10FFFF}".utf8.count + 1)

  package func contains(_ key: String) -> Bool {
    (isOneKey ? key.isSameName(as: prefix) : key.utf8.starts(with: prefix.utf8))
      && after.utf8.lexicographicallyPrecedes(key.utf8)
  }
}
