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
/// of s1 do not know the table: they are taken away when the key is written anew, its row deleted,
/// or by the way (``TermSweep``). None is missing for a row whose s2 columns are as they should be;
/// so a list goes by terms once all rows are, for good (``StoreMeta/filledShape``).
///
/// The bounds are a part of the shape: who looks for something relies on them. So they cannot be
/// made narrower in s2, such as by a bound on all terms of a row together, which ``countMax`` terms
/// of ``bytesMax`` pass by far: servers of 0.3.0 write only what differs from the terms that the
/// holder had by these bounds. Where this server had written ``whatever`` instead, one of them that
/// brings the content past ``contentBytesMax`` and back again takes that away, and what it took for
/// present is missing for good. It is for the next shape.
package enum Terms {
  package static let table = "latchkey_terms"
  /// What has no term is not found by one; this leads to it all the same.
  package static let whatever = ""
  /// What would take more bytes of UTF-8 has no term.
  package static let bytesMax = 512
  /// A holder that would have more has ``whatever`` in their place.
  package static let countMax = 32
  /// A holder of more content than this, in bytes, has ``whatever`` for its attributes.
  package static let contentBytesMax = 4_096
  /// A list looks for so many at most.
  private static let lookedForMax = 8

  static func migration(_ dialect: SQLDialect) -> [String] {
    [
      """
      CREATE TABLE IF NOT EXISTS \(table) (
        resource_key \(dialect.name) NOT NULL,
        term \(dialect.name) NOT NULL,
        PRIMARY KEY (resource_key, term)
      )\(dialect.keyedByPrimaryKey)\(dialect.tableOptions)
      """,
      "CREATE INDEX IF NOT EXISTS \(table)_by_term ON \(table) (term, resource_key)",
    ]
  }

  // MARK: - Of what is held

  /// What `holder` is found by; nobody is found by nothing.
  package static func of(_ holder: Holder?) -> [String] {
    guard let holder, mayHaveSome(holder) else { return [] }
    var terms = holder.labels.compactMap { term(ofLabel: $0.key, $0.value) }
    if holder.content.byteCount > contentBytesMax {
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
    return a.content != b.content || !a.labels.isSame(as: b.labels)
  }

  private static func mayHaveSome(_ holder: Holder?) -> Bool {
    holder.map { !$0.labels.isEmpty || $0.content.mayBeAttributes } ?? false
  }

  // MARK: - Of what is looked for

  /// Terms each of which leads to everything that `range` asks for; empty where none does.
  package static func of(_ range: Query.Range) -> [String] {
    let terms =
      range.labels.compactMap { term(ofLabel: $0.key, $0.value) }
      + range.attributes.values.compactMap { term(ofAttribute: $0.key, $0.value) }
    // By their bytes: Swift's own order normalises every text.
    let sorted = terms.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    return Array(sorted.prefix(lookedForMax))
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

/// A change of what a key is found by.
package struct TermChange: Equatable, Sendable {
  package var key: String
  /// Nil for whatever there may be.
  package var removed: [String]?
  package var added: [String]

  /// - Parameter before: Nil where it is not known.
  package init(key: String, before: [String]?, after: [String]) {
    self.key = key
    removed = before?.filter { term in !after.contains { $0.isSameText(as: term) } }
    added = after.filter { term in !(before?.contains { $0.isSameText(as: term) } ?? false) }
  }

  /// Makes terms anew as a row has it.
  init(_ row: StoredRow) {
    self.init(key: row.record.key, before: nil, after: Terms.of(row.record.holder))
  }
}
