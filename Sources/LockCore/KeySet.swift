/// Which keys: some by their names, and all that begin with one of some texts. Compared by their bytes.
package struct KeySet: Hashable, Sendable {
  /// Sorted, and none begins with another.
  private var prefixes: [[UInt8]] = []
  /// Sorted, and none begins with one of ``prefixes``.
  private var names: [[UInt8]] = []

  package static let all = KeySet(prefixes: [""])
  package static let none = KeySet()

  package init(prefixes: [String] = [], names: [String] = []) {
    for bytes in Self.sorted(prefixes) {
      if let last = self.prefixes.last, bytes.starts(with: last) { continue }
      self.prefixes.append(bytes)
    }
    for bytes in Self.sorted(names.filter { !containsAll(beginningWith: $0) }) {
      if bytes != self.names.last { self.names.append(bytes) }
    }
  }

  private static func sorted(_ texts: [String]) -> [[UInt8]] {
    texts.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) }
  }

  package var isEmpty: Bool { prefixes.isEmpty && names.isEmpty }
  package var isAll: Bool { prefixes.first?.isEmpty ?? false }

  package func contains(_ key: String) -> Bool {
    var key = key
    return key.withUTF8 { prefix(of: $0) != nil || isName($0) }
  }

  /// Whether all keys that begin with `prefix` are in it.
  package func containsAll(beginningWith prefix: String) -> Bool {
    var prefix = prefix
    return prefix.withUTF8 { self.prefix(of: $0) != nil }
  }

  /// The one that `key` begins with: it can only be the greatest that is not greater than it.
  private func prefix(of key: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    Self.latest(of: prefixes, upTo: key).flatMap { key.starts(with: $0) ? $0 : nil }
  }

  private func isName(_ key: UnsafeBufferPointer<UInt8>) -> Bool {
    Self.latest(of: names, upTo: key).map { key.elementsEqual($0) } ?? false
  }

  /// Keys of the set that follow each other, with no other key in between.
  package struct Stretch: Equatable, Sendable {
    /// What all of them begin with, or the only one.
    package let text: String
    package let isOneKey: Bool

    fileprivate init(text: String, isOneKey: Bool) {
      (self.text, self.isOneKey) = (text, isOneKey)
    }

    fileprivate init(_ bytes: [UInt8], isOneKey: Bool) {
      self.init(text: String(decoding: bytes, as: UTF8.self), isOneKey: isOneKey)
    }
  }

  /// The first stretch in which there may be a key that is not less than `key`; nil where there is none.
  package func stretch(from key: String) -> Stretch? {
    var bytes = key
    let (own, isAlone) = bytes.withUTF8 { (prefix(of: $0), isName($0)) }
    if let own { return Stretch(own, isOneKey: false) }
    return isAlone ? Stretch(text: key, isOneKey: true) : stretch(after: key)
  }

  /// The first stretch that begins after `text`; nil where there is none.
  package func stretch(after text: String) -> Stretch? {
    var text = text
    let (prefix, name) = text.withUTF8 { text in
      (Self.next(of: prefixes, after: text), Self.next(of: names, after: text))
    }
    guard let prefix, name.map({ prefix.lexicographicallyPrecedes($0) }) ?? true else {
      return name.map { Stretch($0, isOneKey: true) }
    }
    return Stretch(prefix, isOneKey: false)
  }

  private static func latest(
    of texts: [[UInt8]], upTo key: UnsafeBufferPointer<UInt8>
  ) -> [UInt8]? {
    let count = count(of: texts, upTo: key)
    return count > 0 ? texts[count - 1] : nil
  }

  private static func next(
    of texts: [[UInt8]], after key: UnsafeBufferPointer<UInt8>
  ) -> [UInt8]? {
    let count = count(of: texts, upTo: key)
    return count < texts.count ? texts[count] : nil
  }

  /// How many of the sorted `texts` are not greater than `key`.
  private static func count(of texts: [[UInt8]], upTo key: UnsafeBufferPointer<UInt8>) -> Int {
    var (low, high) = (0, texts.count)
    while low < high {
      let middle = (low + high) / 2
      if key.lexicographicallyPrecedes(texts[middle]) {
        high = middle
      } else {
        low = middle + 1
      }
    }
    return low
  }
}
