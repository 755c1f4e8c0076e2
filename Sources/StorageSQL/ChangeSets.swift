import LockCore
package import Storage

/// A transaction's changes as sets of rows: however many rows it changes, it has a handful of statements.
///
/// `expected_token` and `expected_revision` are what a row was decided on. A statement that does not find
/// all the rows of its set so is a conflict.
package struct ChangeSets: Sendable {
  /// Rows of which only the revision is the next one.
  package private(set) var renewed: RowSet
  /// Rows that somebody holds now.
  package private(set) var held: RowSet
  /// Rows that nobody holds any more. Kind and lease are those of whoever held them on the way to that; NULL
  /// where they stay as they are.
  package private(set) var freed: RowSet
  /// Rows that there were not. The `free_epoch` of one that is held is NULL.
  package private(set) var new: RowSet
  /// Rows to be written anew in every shape.
  package private(set) var refilled: RowSet
  /// Rows of which what a holder says is to be taken away.
  package private(set) var cleared: RowSet
  package private(set) var deleted: RowSet
  /// The ids of all rows that are changed, where they are in more than one set.
  package private(set) var idsOfSeveral: [Int64] = []
  /// Keys of which all terms go, before any are added.
  package private(set) var keysWithoutTerms: [String] = []
  package private(set) var removedTerms: RowSet
  package private(set) var addedTerms: RowSet

  private static let expected = [
    RowSet.Column("id", .integer), RowSet.Column("expected_token", .integer),
    RowSet.Column("expected_revision", .integer),
  ]
  private static let freedColumns = [
    RowSet.Column("token", .integer), RowSet.Column("revision", .integer),
    RowSet.Column("free_epoch", .integer), RowSet.Column("kind", .integer),
    RowSet.Column("lease_seconds", .integer),
  ]
  private static let termColumns = [
    RowSet.Column("resource_key", .text), RowSet.Column("term", .text),
  ]

  /// What says who holds a row, in the order in which ``KnownShapes`` gives it.
  package static func holderColumns(_ shapes: KnownShapes) -> [RowSet.Column] {
    [RowSet.Column("value", .text), RowSet.Column("lease_seconds", .integer)]
      + shapes.newer.flatMap { $0.columns }.map { column in
        RowSet.Column(column.name, column.type == .integer ? .integer : .bytes)
      }
  }

  package static func heldColumns(_ shapes: KnownShapes) -> [RowSet.Column] {
    [
      RowSet.Column("token", .integer), RowSet.Column("revision", .integer),
      RowSet.Column("kind", .integer), RowSet.Column("owner", .text),
    ] + holderColumns(shapes)
  }

  /// - Parameter setsAreInOrder: Whether the rows of several sets have to be in one order (``idsOfSeveral``). Then
  ///   renewals are a set of their own only where no other row is changed.
  package init(_ changes: Changes, _ shapes: KnownShapes, setsAreInOrder: Bool) {
    let heldColumns = Self.heldColumns(shapes)
    let keepsRenewalsApart =
      !setsAreInOrder
      || changes.rows.allSatisfy { $0.id == nil || $0.isNextRenewal } && changes.refills.isEmpty
        && changes.deletions.isEmpty
    renewed = RowSet(Self.expected)
    held = RowSet(Self.expected + heldColumns)
    freed = RowSet(Self.expected + Self.freedColumns)
    new = RowSet(
      [RowSet.Column("resource_key", .text), RowSet.Column("free_epoch", .integer)] + heldColumns)
    refilled = RowSet(Self.expected + Self.holderColumns(shapes))
    cleared = RowSet(Self.expected)
    deleted = RowSet(Self.expected)
    removedTerms = RowSet(Self.termColumns)
    addedTerms = RowSet(Self.termColumns)
    let oldest = changes.oldestShape
    // In the order of their ids, and of the keys of new ones: servers that change the same rows wait for each
    // other, and not in a circle.
    for change in changes.rows.sorted(by: Self.isInOrder) {
      if let id = change.id, let expected = change.expected {
        if keepsRenewalsApart, change.isNextRenewal {
          renewed.add(id, expected)
          continue
        }
        change.record.holder == nil
          ? addFreed(change, id, expected, shapes, oldest)
          : addHeld(change.record, id, expected, shapes, oldest)
      } else {
        addNew(change, shapes, oldest)
      }
    }
    for row in changes.refills.sorted(by: { $0.id < $1.id }) {
      if let holder = row.record.holder {
        refilled.add(row.id, row.record.sighting)
        shapes.add(row.record, holder, maintaining: oldest, to: &refilled)
      } else {
        cleared.add(row.id, row.record.sighting)
      }
    }
    for deletion in changes.deletions.sorted(by: { $0.id < $1.id }) {
      deleted.add(deletion.id, deletion.expected)
    }
    if setsAreInOrder, [held, freed, refilled, cleared, deleted].filter({ !$0.isEmpty }).count > 1 {
      idsOfSeveral =
        changes.rows.compactMap(\.id) + changes.refills.map(\.id) + changes.deletions.map(\.id)
    }
    guard shapes.haveTerms else { return }
    for change in changes.terms {
      if let removed = change.removed {
        for term in removed { removedTerms.add(change.key, term) }
      } else {
        keysWithoutTerms.append(change.key)
      }
      for term in change.added { addedTerms.add(change.key, term) }
    }
  }

  private static func isInOrder(_ a: RowChange, _ b: RowChange) -> Bool {
    switch (a.id, b.id) {
    case (let a?, let b?): a < b
    case (nil, nil): a.record.key.utf8.lexicographicallyPrecedes(b.record.key.utf8)
    case (let a, _): a != nil
    }
  }

  private mutating func addHeld(
    _ record: LockRecord, _ id: Int64, _ expected: Sighting, _ shapes: KnownShapes, _ oldest: Int64
  ) {
    held.add(id, expected)
    Self.add(record, record.holder!, shapes, oldest, to: &held)
  }

  private mutating func addFreed(
    _ change: RowChange, _ id: Int64, _ expected: Sighting, _ shapes: KnownShapes, _ oldest: Int64
  ) {
    freed.add(id, expected)
    freed.add(change.record.token)
    freed.add(change.record.revision)
    freed.add(change.epoch)
    if let holder = change.interim?.holder {
      freed.add(holder.kind.rawValue)
      freed.add(shapes.leaseSeconds(of: holder, maintaining: oldest))
    } else {
      freed.addNull()
      freed.addNull()
    }
  }

  private mutating func addNew(_ change: RowChange, _ shapes: KnownShapes, _ oldest: Int64) {
    new.add(change.record.key)
    if let holder = change.record.holder {
      new.addNull()
      Self.add(change.record, holder, shapes, oldest, to: &new)
      return
    }
    guard let latest = change.interim?.holder else {
      preconditionFailure("a free record is written only where a row exists")
    }
    new.add(change.epoch)
    new.add(change.record.token)
    new.add(change.record.revision)
    new.add(latest.kind.rawValue)
    new.addNull()
    new.add("")
    new.add(shapes.leaseSeconds(of: latest, maintaining: oldest))
    for _ in shapes.newerColumnNames { new.addNull() }
  }

  private static func add(
    _ record: LockRecord, _ holder: Holder, _ shapes: KnownShapes, _ oldest: Int64,
    to set: inout RowSet
  ) {
    set.add(record.token)
    set.add(record.revision)
    set.add(holder.kind.rawValue)
    set.add(holder.owner)
    shapes.add(record, holder, maintaining: oldest, to: &set)
  }
}

extension RowChange {
  fileprivate var isNextRenewal: Bool {
    isRenewal && expected.map { record.revision == $0.revision + 1 } ?? false
  }
}

extension RowSet {
  fileprivate mutating func add(_ id: Int64, _ expected: Sighting) {
    add(id)
    add(expected.token)
    add(expected.revision)
  }

  fileprivate mutating func add(_ key: String, _ term: String) {
    add(key)
    add(term)
  }
}
