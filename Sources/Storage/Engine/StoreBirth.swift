import Glibc

/// Which store this is and since when, so that one that stands in its place by mistake is known from it.
package struct StoreBirth: Equatable, Sendable {
  /// Sixteen hexadecimal digits, made at random.
  package var id: String
  /// When it was made, in seconds since 1970; 0 where that was before 0.6.0, whose servers are the first to note it.
  package var seconds: Int64

  package init(id: String, seconds: Int64) {
    self.id = id
    self.seconds = seconds
  }

  /// - Parameter isStoreNew: Whether the store is made just now.
  package static func random(isStoreNew: Bool) -> StoreBirth {
    let digits = String(UInt64.random(in: .min ... .max), radix: 16)
    return StoreBirth(
      id: String(repeating: "0", count: 16 - digits.count) + digits,
      seconds: isStoreNew ? Int64(time(nil)) : 0)
  }
}

extension SQLDialect {
  /// Notes it, where nothing is noted yet.
  package func insertIfMissing(_ birth: StoreBirth) -> String {
    insertIfMissing(
      S1.metaTable, "name, value, note",
      "'\(StoreMeta.Name.birth.text)', \(birth.seconds), '\(birth.id)'")
  }
}
