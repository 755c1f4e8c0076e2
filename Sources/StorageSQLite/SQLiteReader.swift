import LockCore
import Storage

/// A connection that reads from WAL snapshots, beside the writer and without waiting for it.
final class SQLiteReader: StoreReader {
  private let connection: SQLiteConnection
  private let beginDeferred: SQLiteStatement
  private let commit: SQLiteStatement
  private let metaStatement: SQLiteStatement
  private let byKey: SQLiteStatement
  private let ofKindAfterKey: SQLiteStatement
  private let afterKey: SQLiteStatement
  private let leasesAfterID: SQLiteStatement

  init(_ connection: SQLiteConnection) throws(StoreError) {
    self.connection = connection
    beginDeferred = try connection.prepare("BEGIN")
    commit = try connection.prepare("COMMIT")
    metaStatement = try connection.prepare(S1.meta)
    byKey = try connection.prepare(S1.byKey)
    ofKindAfterKey = try connection.prepare(S1.ofKindAfterKey)
    afterKey = try connection.prepare(S1.afterKey)
    leasesAfterID = try connection.prepare(S1.leasesAfterID)
  }

  /// The snapshot is taken by the first statement after this, which is always ``meta()``.
  func begin() throws(StoreError) {
    try connection.checkPlace()
    try beginDeferred.run()
  }

  func end() {
    if connection.isInTransaction { try? commit.run() }
  }

  func meta() throws(StoreError) -> StoreMeta { try readMeta(metaStatement) }

  func row(forKey key: String) throws(StoreError) -> StoredRow? {
    byKey.bind(1, key)
    return try byKey.firstRow()
  }

  func rows(
    of kind: Kind?, prefix: String, afterKey key: String, limit: Int
  ) throws(StoreError) -> [StoredRow] {
    let statement = kind == nil ? afterKey : ofKindAfterKey
    statement.bind(1, key)
    statement.bind(2, prefix)
    // U+10FFFF comes after every key that starts with the prefix, in the order of UTF-8 bytes.
    statement.bind(3, prefix + "\u{10FFFF}")
    if let kind { statement.bind(4, kind.rawValue) }
    statement.bind(kind == nil ? 4 : 5, Int64(limit))
    return try statement.allRows()
  }

  func leases(afterID id: Int64, limit: Int) throws(StoreError) -> [SeenLease] {
    let statement = leasesAfterID
    statement.bind(1, id)
    statement.bind(2, Int64(limit))
    return try statement.query { () throws(StoreError) in
      var leases: [SeenLease] = []
      while try statement.step() {
        // A lease out of bounds marks a damaged row; it is watched for the longest time there is.
        leases.append(
          SeenLease(
            id: statement.integer(0),
            sighting: Sighting(token: statement.integer(1), revision: statement.integer(2)),
            lease: Lease(seconds: statement.integer(3)) ?? .longest,
            kind: statement.integer(5) > S1.number ? nil : Kind(rawValue: statement.integer(4))))
      }
      return leases
    }
  }
}

extension SQLiteStatement {
  /// The first row, of a statement that selects `S1.columns`.
  func firstRow() throws(StoreError) -> StoredRow? {
    try query { () throws(StoreError) in try step() ? currentRow : nil }
  }

  func allRows() throws(StoreError) -> [StoredRow] {
    try query { () throws(StoreError) in
      var rows: [StoredRow] = []
      while try step() { rows.append(currentRow) }
      return rows
    }
  }

  private var currentRow: StoredRow {
    let owner = isNull(6) ? nil : text(6)
    return S1Row(
      id: integer(0), key: text(1), needsShape: integer(2), token: integer(3),
      revision: integer(4), kind: integer(5), owner: owner,
      ownerIsDamaged: owner == nil && !isNull(6), value: text(7), leaseSeconds: integer(8),
      freeEpoch: optionalInteger(9)
    ).stored
  }
}
