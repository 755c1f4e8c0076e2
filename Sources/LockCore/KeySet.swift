/// Which keys: some by their names, and all that begin with one of some texts. Compared by their bytes.
package struct KeySet: Hashable, Sendable {
  /// Sorted, and none begins with another.
  private var prefixes: [[UInt8]] = []
  private var names: Set<NameBytes> = []

  package static let all = KeySet(prefixes: [""])
  package static let none = KeySet()

  package init(prefixes: [String] = [], names: [String] = []) {
    for bytes in prefixes.map({ Array($0.utf8) }).sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      if let last = self.prefixes.last, bytes.starts(with: last) { continue }
      self.prefixes.append(bytes)
    }
    self.names = Set(
      names.lazy.filter { [prefixes = self.prefixes] in !Self.begins($0, prefixes) }.map(
        NameBytes.init))
  }

  package var isEmpty: Bool { prefixes.isEmpty && names.isEmpty }
  package var isAll: Bool { prefixes.first?.isEmpty ?? false }

  package func contains(_ key: String) -> Bool {
    Self.begins(key, prefixes) || (!names.isEmpty && names.contains(NameBytes(key)))
  }

  /// Whether all keys that begin with `prefix` are in it.
  package func containsAll(beginningWith prefix: String) -> Bool { Self.begins(prefix, prefixes) }

  /// The only one that `key` can begin with is the greatest that is not greater than it.
  private static func begins(_ key: String, _ prefixes: [[UInt8]]) -> Bool {
    guard !prefixes.isEmpty else { return false }
    var key = key
    return key.withUTF8 { key in
      var (low, high) = (0, prefixes.count)
      while low < high {
        let middle = (low + high) / 2
        if key.lexicographicallyPrecedes(prefixes[middle]) {
          high = middle
        } else {
          low = middle + 1
        }
      }
      return low > 0 && key.starts(with: prefixes[low - 1])
    }
  }
}
