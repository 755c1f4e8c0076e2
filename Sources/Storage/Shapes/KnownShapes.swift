package import LockCore

/// The shapes that a server knows, and how they are one row.
///
/// A row carries every maintained shape side by side. Whoever reads goes from the oldest to the newest:
/// what an older server wrote is merged into what the newer shape has, at every step.
package struct KnownShapes: Sendable, CustomStringConvertible {
  /// What this release knows.
  package static let all = KnownShapes(after: [S2.self, S3.self])

  /// Those after s1, without gaps, the oldest first.
  package let newer: [any NewerShape.Type]

  package init(after newer: [any NewerShape.Type]) {
    self.newer = newer
    newestWhole = newer.last { $0.isWhole }?.number ?? S1.number
    metaNames = Self.metaNames(newestWhole: newestWhole)
    precondition(zip(newer, S1.number + 1...newest + 1).allSatisfy { $0.number == $1 })
  }

  package var newest: Int64 { S1.number + Int64(newer.count) }

  /// The one that rows are brought into.
  package let newestWhole: Int64

  /// The oldest one that is written where `oldest` and all after it are maintained: what is not whole adds
  /// to the one before.
  private func oldestWritten(maintaining oldest: Int64) -> Int64 {
    newer.last { $0.isWhole && $0.number <= oldest }?.number ?? S1.number
  }

  /// The names in the meta table that this server reads.
  private let metaNames: [String: StoreMeta.Name]

  private static func metaNames(newestWhole: Int64) -> [String: StoreMeta.Name] {
    let names: [StoreMeta.Name] = [
      .newestShape, .oldestShape, .tokenFloor, .epoch, .filledShape, .birth, .setbacks, .opened,
      .setbackFloor, .collectedToken, .history, .backfillRow(shape: newestWhole),
      .backfillSince(shape: newestWhole),
    ]
    return Dictionary(uniqueKeysWithValues: names.map { ($0.text, $0) })
  }

  /// Where values go. A name that is not known is one of a newer shape.
  package func read(_ name: String, _ value: Int64, note: String?, into meta: inout StoreMeta) {
    switch metaNames[name] {
    case .newestShape: meta.newestShape = value
    case .oldestShape:
      meta.oldestShape = value
      meta.neededRelease = note ?? ""
    case .tokenFloor: meta.tokenFloor = value
    case .epoch: meta.epoch = value
    case .filledShape: meta.filledShape = value
    case .birth: meta.birth = StoreBirth(id: note ?? "", seconds: value)
    case .setbacks: meta.setbacks = value
    case .opened: meta.opened = value
    case .setbackFloor: meta.setbackFloor = value
    case .collectedToken: meta.collectedToken = value
    case .history: meta.history = value
    case .backfillRow: meta.backfill.row = value
    case .backfillSince: meta.backfill.since = value
    case nil: break
    }
  }

  /// What the rows of the meta table say: name, value and note.
  package func meta(_ rows: some Sequence<some RowCells>) -> StoreMeta {
    var meta = StoreMeta.unread
    for row in rows { read(row.text(0) ?? "", row.integer(1), note: row.text(2), into: &meta) }
    return meta
  }

  /// What s1 says of a lease.
  package func leaseSeconds(of holder: Holder, maintaining oldest: Int64) -> Int64 {
    oldestWritten(maintaining: oldest) == S1.number ? holder.lease.seconds : S1.nothingSaid
  }

  /// Whether what is held can be found by ``Terms``.
  package var haveTerms: Bool { newest >= S2.number }

  package var columnNames: [String] { S1.columnNames + newerColumnNames }

  /// Where each whole newer shape says with which revision it was written.
  package var revisionColumnNames: [String] {
    newer.filter { $0.isWhole }.map { $0.columns[1].name }
  }

  package var newerColumnNames: [String] { newer.flatMap { $0.columns.map(\.name) } }

  /// Such as "s1" or "s1 to s2".
  package var description: String {
    newer.isEmpty ? "s\(S1.number)" : "s\(S1.number) to s\(newest)"
  }

  // MARK: - Migration

  /// Adds what is missing: nothing that is there is changed. It may be done again, by several servers at
  /// once, and after it was broken off at any statement; only the last one says that it is complete.
  ///
  /// - Parameter existingColumns: Those that the table of resources has.
  package func migration(_ dialect: SQLDialect, existingColumns: Set<String>) -> [String] {
    var statements = S1.migration(dialect)
    for shape in newer {
      for column in shape.columns where !existingColumns.contains(column.name) {
        statements.append(
          "ALTER TABLE \(S1.resourceTable) \(dialect.addColumn) \(column.name) \(dialect.type(of: column))"
        )
      }
      statements += shape.tables(dialect)
      guard shape.isWhole else { continue }
      statements += [
        dialect.insertIfMissing(.backfillRow(shape: shape.number), 0),
        dialect.insertIfMissing(.backfillSince(shape: shape.number), 0),
      ]
    }
    if !newer.isEmpty {
      statements += [
        dialect.insertIfMissing(.filledShape, S1.number),
        """
        UPDATE \(S1.metaTable) SET value = \(newest)
        WHERE name = '\(StoreMeta.Name.newestShape.text)' AND value < \(newest)
        """,
      ]
    }
    return statements
  }

  // MARK: - Reading

  /// The row in the terms of the core.
  package func row(_ cells: some RowCells) -> StoredRow {
    let base = S1Row(cells)
    var row = StoredRow(
      id: base.id,
      record: LockRecord(
        key: base.key ?? "", holder: nil, token: base.token, revision: base.revision),
      needsShape: base.needsShape, isOfNewerServer: base.needsShape > newest,
      freeEpoch: base.freeEpoch, lease: Lease(seconds: base.leaseSeconds),
      damage: base.damageToAll)
    guard row.damage == nil else { return row }
    if !row.isOfNewerServer, !base.isSilent, let damage = base.damage {
      row.damage = damage
      return row
    }
    let view = row.isOfNewerServer && !base.isSilent ? base.shownHolder : base.holder
    do throws(Fault) {
      (row.record.holder, row.isFilled) = try newestHolder(cells, view: view, of: base)
      if base.isSilent, row.record.holder == nil { throw Fault(what: "no shape says who holds it") }
    } catch {
      // Whatever it is, somebody holds it: with a newer server's row no more has to be known.
      row.record.holder = row.isOfNewerServer ? base.shownHolder : nil
      row.damage = row.isOfNewerServer ? nil : base.fault(error.what)
    }
    row.lease = row.record.holder?.lease ?? row.lease
    return row
  }

  private struct Fault: Error { let what: String }

  /// The reading rule.
  ///
  /// - Parameter view: The holder as s1 says it; nil where nobody holds it, or s1 says nothing.
  private func newestHolder(
    _ cells: some RowCells, view: Holder?, of base: S1Row
  ) throws(Fault) -> (holder: Holder?, isFilled: Bool) {
    var view = view
    var older: any StoreShape.Type = S1.self
    // Where s1 is all that is known, it is always as it should be.
    var isFilled = true
    var index = S1.columnNames.count
    for shape in newer {
      defer { index += shape.columns.count }
      guard let owner = base.owner else {
        // Nobody holds it, so there is nothing to say.
        isFilled = isFilled && cells.isNull(index)
        continue
      }
      guard cells.integer(index) == base.token else {
        // What is there is of an earlier grant, if of any.
        if shape.isWhole { isFilled = false }
        continue
      }
      let before = older
      let shared = (kind: Kind(rawValue: base.kind) ?? .lock, owner: owner)
      guard
        let own = shape.holder(cells, at: index + shape.stampCount, shared: shared, older: view)
      else {
        throw Fault(what: "the columns of s\(shape.number) do not hold what they should")
      }
      older = shape
      guard shape.isWhole else {
        view = own
        continue
      }
      let isRewritten = cells.integer(index + 1) != base.revision
      if let current = view {
        view = Self.merge(current, into: own, through: before, isRewritten: isRewritten)
      } else if !isRewritten {
        view = own
      } else {
        throw Fault(what: "no shape says what its holder wrote last")
      }
      // Who writes a shape writes every maintained one before it as well.
      isFilled = !isRewritten
    }
    return (view, isFilled)
  }

  /// Brings what an older server may have changed into what the newer shape has, and keeps everything
  /// that the older one cannot say.
  ///
  /// - Parameters:
  ///   - view: The holder as the older shape has it.
  ///   - newer: As the newer one has it, of the same grant.
  ///   - older: The older shape.
  ///   - isRewritten: Whether an older server wrote the row since the newer shape was written. Then the
  ///     lease is the one that it has accepted, even if it is the newer one's in its own unit: that one
  ///     may be shorter by less than this unit.
  package static func merge(
    _ view: Holder, into newer: Holder, through older: any StoreShape.Type, isRewritten: Bool
  ) -> Holder {
    let shown = older.express(newer)
    // What the older shape does not say at all stays.
    var merged = newer
    for part in older.parts {
      let isAsShown =
        switch part {
        // Nothing of it is the newer one's alone. It is only written in another way, which is still right
        // where nobody older wrote and the text is the same one.
        case .content: !isRewritten && newer.content.hasText(of: view.content)
        case .lease: !isRewritten && part.isSame(view, shown)
        case .labels, .grantedAt, .identity: part.isSame(view, shown)
        }
      if !isAsShown { part.copy(from: view, to: &merged) }
    }
    return merged
  }

  // MARK: - Writing

  /// Adds the values of the columns that say what `holder` is, in every shape from `oldest` on. Those of
  /// shapes that are not maintained any more say nothing.
  package func add(
    _ record: LockRecord, _ holder: Holder, maintaining oldest: Int64,
    to parameters: inout some RowParameters
  ) {
    let oldest = oldestWritten(maintaining: oldest)
    parameters.add(oldest == S1.number ? holder.content.text : "")
    parameters.add(leaseSeconds(of: holder, maintaining: oldest))
    for shape in newer {
      guard shape.number >= oldest else {
        for _ in shape.columns { parameters.addNull() }
        continue
      }
      parameters.add(record.token)
      if shape.isWhole { parameters.add(record.revision) }
      shape.add(holder, to: &parameters)
    }
  }
}
