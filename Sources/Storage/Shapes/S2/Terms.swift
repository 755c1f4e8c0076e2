import LockContent
package import LockCore

/// What resources are found by: the table `latchkey_terms`, which came with s2 and which every server that
/// knows s2 keeps.
///
/// | column | meaning |
/// |---|---|
/// | `resource_key` | the key of a row |
/// | `term` | an attribute as an object of its own in canonical JSON, such as `{"zone":"z1"}`; a label, such as `team=payments`; or the empty text, which stands for whatever the row may be found by |
///
/// A term is a hint: what it leads to is looked at. There may be some that lead to nothing, since servers
/// of s1 do not know the table. None is missing for a row whose s2 columns are as they should be; so a list
/// goes by terms once all rows are, for good (``StoreMeta/filledShape``).
package enum Terms {
  static let table = "latchkey_terms"
  /// What has no term is not found by one; this leads to it all the same.
  package static let whatever = ""

  private static let bytesMax = 512
  private static let countMax = 128

  static func migration(_ dialect: SQLDialect) -> [String] {
    [
      """
      CREATE TABLE IF NOT EXISTS \(table) (
        resource_key \(dialect.name) NOT NULL,
        term \(dialect.name) NOT NULL,
        PRIMARY KEY (resource_key, term)
      )\(dialect.keyedByPrimaryKey)
      """,
      "CREATE INDEX IF NOT EXISTS \(table)_by_term ON \(table) (term, resource_key)",
    ]
  }

  // MARK: - Of what is held

  /// What `holder` is found by; nobody is found by nothing.
  package static func of(_ holder: Holder?) -> [String] {
    guard let holder, mayHaveSome(holder) else { return [] }
    var terms = holder.labels.compactMap { term(ofLabel: $0.key, $0.value) }
    if holder.content.byteCount > S2Format.textBytesMax {
      terms.append(whatever)
    } else if let attributes = holder.content.attributes {
      terms += attributes.values.compactMap { term(ofAttribute: $0.key, $0.value) }
    }
    return terms.count > countMax ? [whatever] : terms
  }

  /// Whether two holders of a key may be found by different terms.
  static func mayDiffer(_ a: Holder?, _ b: Holder?) -> Bool {
    guard mayHaveSome(a) || mayHaveSome(b) else { return false }
    guard let a, let b else { return true }
    return a.content != b.content || a.labels.count != b.labels.count
      || a.labels.contains { !(b.labels[$0.key]?.isSameText(as: $0.value) ?? false) }
  }

  private static func mayHaveSome(_ holder: Holder?) -> Bool {
    holder.map { !$0.labels.isEmpty || $0.content.mayBeAttributes } ?? false
  }

  // MARK: - Of what is looked for

  /// Terms that lead to everything that `range` asks for, each by itself; empty where none does.
  package static func of(_ range: Query.Range) -> [String] {
    range.labels.compactMap { term(ofLabel: $0.key, $0.value) }
      + range.attributes.values.compactMap { term(ofAttribute: $0.key, $0.value) }
  }

  // MARK: - One term

  private static func term(ofLabel name: String, _ text: String) -> String? {
    bounded("\(name)=\(text)")
  }

  /// Nil for what is made of other values.
  private static func term(ofAttribute name: String, _ value: AttributeValue) -> String? {
    switch value {
    case .list, .nested: nil
    case .null, .boolean, .number, .string: bounded(Attributes([name: value]).json)
    }
  }

  private static func bounded(_ term: String) -> String? {
    term.utf8.count <= bytesMax ? term : nil
  }
}

/// What a key is found by from now on.
package struct TermChange: Equatable, Sendable {
  package var key: String
  package var terms: [String]

  package init(key: String, terms: [String]) {
    self.key = key
    self.terms = terms
  }

  init(_ row: StoredRow) {
    self.init(key: row.record.key, terms: Terms.of(row.record.holder))
  }
}
