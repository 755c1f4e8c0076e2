import LockCore

/// Rows as this server's own transactions left them, where engines do not keep others from writing: who changes
/// such a row, as every renewal does, need not ask for it first. Where somebody else has written it since, that is
/// a conflict, and it is decided on what there is.
///
/// Nothing is answered from here that does not lead to a change of its row.
struct RowMemory {
  private let bytesMax: Int
  private var rows: [NameBytes: StoredRow] = [:]
  private var bytes = 0
  private var meta: StoreMeta?

  init(limits: StoreLimits) { bytesMax = limits.rowMemoryBytesMax }

  /// - Returns: Nil where not all of it is known.
  func facts(_ wanted: Wanted) -> Facts? {
    guard let meta, wanted.ids.isEmpty, !wanted.keys.isEmpty else { return nil }
    var facts = Facts(meta: meta)
    facts.byKey.reserveCapacity(wanted.keys.count)
    for key in wanted.keys {
      guard let row = rows[NameBytes(key)] else { return nil }
      facts.byKey.append(row)
    }
    return facts
  }

  /// - Parameter row: As it was written.
  mutating func note(_ row: StoredRow) {
    forget(row.record.key)
    rows[NameBytes(row.record.key)] = row
    bytes += Self.byteCount(row)
    if bytes > bytesMax { forgetRows() }
  }

  /// What others write of it makes it a conflict to go by what is known here.
  mutating func note(_ meta: StoreMeta) { self.meta = meta }

  mutating func forget(_ key: String) {
    if let row = rows.removeValue(forKey: NameBytes(key)) { bytes -= Self.byteCount(row) }
  }

  private mutating func forgetRows() {
    rows = [:]
    bytes = 0
  }

  mutating func forgetAll() {
    forgetRows()
    meta = nil
  }

  private static func byteCount(_ row: StoredRow) -> Int {
    2 * MemoryLayout<StoredRow>.stride + row.byteCount
  }
}
