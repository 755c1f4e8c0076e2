import LockCore
import Storage

/// A connection that reads from WAL snapshots, beside the writer and without waiting for it.
final class SQLiteReader: StoreReader {
  private let connection: SQLiteConnection
  private let shapes: KnownShapes
  private let beginDeferred: SQLiteStatement
  private let commit: SQLiteStatement
  private let metaStatement: SQLiteStatement
  private let byKey: SQLiteStatement
  private let ofKindAfterKey: SQLiteStatement
  private let afterKey: SQLiteStatement
  /// Nil where no shape has terms.
  private let termStatements: (keys: SQLiteStatement, count: SQLiteStatement)?
  private let leasesAfterID: SQLiteStatement
  private let latestGrant: SQLiteStatement
  private let lastIDStatement: SQLiteStatement

  init(_ connection: SQLiteConnection, _ shapes: KnownShapes) throws(StoreError) {
    self.connection = connection
    self.shapes = shapes
    let statements = StoreStatements(shapes)
    beginDeferred = try connection.prepare("BEGIN")
    commit = try connection.prepare("COMMIT")
    metaStatement = try connection.prepare(statements.meta)
    byKey = try connection.prepare(statements.byKey)
    ofKindAfterKey = try connection.prepare(statements.ofKindAfterKey)
    afterKey = try connection.prepare(statements.afterKey)
    termStatements =
      shapes.haveTerms
      ? (
        try connection.prepare(statements.keysByTerm),
        try connection.prepare(statements.countOfTerm)
      ) : nil
    leasesAfterID = try connection.prepare(statements.leasesAfterID)
    latestGrant = try connection.prepare(statements.latestGrant)
    lastIDStatement = try connection.prepare(statements.lastID)
  }

  /// The snapshot is taken by the first statement after this, which is always ``meta()``.
  func begin() throws(StoreError) {
    try connection.checkPlace()
    try beginDeferred.run()
  }

  func end() {
    if connection.isInTransaction { try? commit.run() }
  }

  func meta() throws(StoreError) -> StoreMeta { try readMeta(metaStatement, shapes) }

  func row(forKey key: String) throws(StoreError) -> StoredRow? {
    byKey.bind(1, key)
    return try byKey.firstRow(shapes)
  }

  func latestGrants(of keys: some Collection<String>) throws(StoreError) -> [LatestGrant?] {
    let statement = latestGrant
    var grants: [LatestGrant?] = []
    grants.reserveCapacity(keys.count)
    for key in keys {
      statement.bind(1, key)
      grants.append(
        try statement.query { () throws(StoreError) in
          guard try statement.step() else { return nil }
          return LatestGrant(token: statement.integer(0), isOver: statement.integer(1) == 1)
        })
    }
    return grants
  }

  func rows(
    of kind: Kind?, in range: KeyRange, limit: Int
  ) throws(StoreError) -> [StoredRow] {
    let statement = kind == nil ? afterKey : ofKindAfterKey
    var parameters = statement.parameters()
    parameters.add(range)
    if let kind { parameters.add(kind.rawValue) }
    parameters.add(Int64(limit))
    return try statement.allRows(shapes)
  }

  func keys(
    withTerm term: String, in range: KeyRange, limit: Int
  ) throws(StoreError) -> [String] {
    guard let statement = termStatements?.keys else { return [] }
    var parameters = statement.parameters()
    parameters.add(term)
    parameters.add(range)
    parameters.add(range)
    return try statement.query { () throws(StoreError) in
      var keys: [String] = []
      while keys.count < limit, try statement.step() {
        if let key = statement.text(0) { keys.append(key) }
      }
      return keys
    }
  }

  func count(ofTerm term: String, in range: KeyRange, max: Int) throws(StoreError) -> Int {
    guard let statement = termStatements?.count else { return 0 }
    var parameters = statement.parameters()
    parameters.add(term)
    parameters.add(range)
    parameters.add(Int64(max))
    return try statement.query { () throws(StoreError) in
      try statement.step() ? Int(statement.integer(0)) : 0
    }
  }

  func lastID() throws(StoreError) -> Int64 {
    let statement = lastIDStatement
    return try statement.query { () throws(StoreError) in
      try statement.step() && !statement.isNull(0) ? statement.integer(0) : 0
    }
  }

  func leases(afterID id: Int64, limit: Int) throws(StoreError) -> [SeenLease] {
    let statement = leasesAfterID
    statement.bind(1, id)
    statement.bind(2, Int64(limit))
    return try statement.query { () throws(StoreError) in
      var leases: [SeenLease] = []
      while try statement.step() { leases.append(SeenLease(statement, shapes)) }
      return leases
    }
  }
}

extension SQLiteParameters {
  /// What ``StoreStatements`` has for a range of keys.
  fileprivate mutating func add(_ range: KeyRange) {
    add(range.lowerBound)
    add(range.upperBound)
    add(range.after)
  }
}

extension SQLiteStatement {
  /// The first row, of a statement that selects the columns of `shapes`.
  func firstRow(_ shapes: KnownShapes) throws(StoreError) -> StoredRow? {
    try query { () throws(StoreError) in try step() ? shapes.row(self) : nil }
  }

  func allRows(_ shapes: KnownShapes) throws(StoreError) -> [StoredRow] {
    try query { () throws(StoreError) in
      var rows: [StoredRow] = []
      while try step() { rows.append(shapes.row(self)) }
      return rows
    }
  }
}
