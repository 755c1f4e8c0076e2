import LockCore
import Storage
import StorageSQL

/// Answers what is asked of a store within a transaction of a connection.
struct SQLiteAnswers {
  private let shapes: KnownShapes
  private let meta: SQLiteStatement
  private let byKey: SQLiteStatement
  private let byID: SQLiteStatement
  private let latestGrant: SQLiteStatement
  private let lastID: SQLiteStatement
  private let afterID: SQLiteStatement
  private let freeAfterID: SQLiteStatement
  private let leasesAfterID: SQLiteStatement
  private let afterKey: SQLiteStatement
  private let ofKindAfterKey: SQLiteStatement
  /// Nil where no shape has terms.
  private let terms: (count: SQLiteStatement, found: SQLiteStatement, keys: SQLiteStatement)?

  init(_ connection: SQLiteConnection, _ shapes: KnownShapes) throws(StoreError) {
    self.shapes = shapes
    let statements = StoreStatements(shapes, .sqlite)
    meta = try connection.prepare(statements.meta)
    byKey = try connection.prepare(statements.byKey)
    byID = try connection.prepare(statements.byID)
    latestGrant = try connection.prepare(statements.latestGrant)
    lastID = try connection.prepare(statements.lastID)
    afterID = try connection.prepare(statements.afterID)
    freeAfterID = try connection.prepare(statements.freeAfterID)
    leasesAfterID = try connection.prepare(statements.leasesAfterID)
    afterKey = try connection.prepare(statements.afterKey)
    ofKindAfterKey = try connection.prepare(statements.ofKindAfterKey)
    terms =
      shapes.haveTerms
      ? (
        try connection.prepare(statements.countOfTerm),
        try connection.prepare(statements.keysByTerm),
        try connection.prepare(statements.keysWithTerms)
      ) : nil
  }

  func facts(_ wanted: Wanted) throws(StoreError) -> Facts {
    var facts = Facts(meta: try readMeta(meta, shapes))
    facts.byKey.reserveCapacity(wanted.keys.count)
    for key in wanted.keys { facts.byKey.append(try row(forKey: key)) }
    for id in wanted.ids {
      byID.bind(1, id)
      facts.byID.append(try byID.firstRow(shapes))
    }
    for key in wanted.grants { facts.grants.append(try grant(ofKey: key)) }
    for count in wanted.counts { facts.counts.append(try self.count(count)) }
    if wanted.wantsLastID {
      facts.lastID = try lastID.query { () throws(StoreError) in
        try lastID.step() && !lastID.isNull(0) ? lastID.integer(0) : 0
      }
    }
    if let page = wanted.page { try add(page, to: &facts) }
    return facts
  }

  private func row(forKey key: String) throws(StoreError) -> StoredRow? {
    byKey.bind(1, key)
    return try byKey.firstRow(shapes)
  }

  private func grant(ofKey key: String) throws(StoreError) -> LatestGrant? {
    latestGrant.bind(1, key)
    return try latestGrant.query { () throws(StoreError) in
      guard try latestGrant.step() else { return nil }
      return LatestGrant(token: latestGrant.integer(0), isOver: latestGrant.integer(1) == 1)
    }
  }

  private func count(_ count: Wanted.TermCount) throws(StoreError) -> Int {
    guard let statement = terms?.count else { return 0 }
    var parameters = statement.parameters()
    parameters.add(count.term)
    parameters.add(count.range)
    parameters.add(Int64(count.max))
    return try statement.query { () throws(StoreError) in
      try statement.step() ? Int(statement.integer(0)) : 0
    }
  }

  // MARK: - Pages

  private func add(_ page: Wanted.Page, to facts: inout Facts) throws(StoreError) {
    switch page {
    case .rows(let id, let limit):
      facts.rows = try bound(afterID, after: id, limit).allRows(shapes)
    case .freeRows(let id, let limit):
      facts.rows = try bound(freeAfterID, after: id, limit).allRows(shapes)
    case .leases(let id, let limit):
      let statement = bound(leasesAfterID, after: id, limit)
      facts.leases = try statement.all { SeenLease(statement, shapes) }
    case .held(let kind, let range, let limit):
      let statement = kind == nil ? afterKey : ofKindAfterKey
      var parameters = statement.parameters()
      parameters.add(range)
      if let kind { parameters.add(kind.rawValue) }
      parameters.add(Int64(limit))
      facts.rows = try statement.allRows(shapes)
    case .found(let term, let range, let limit):
      let keys = try keys(withTerm: term, in: range, limit: limit)
      for key in keys {
        if let row = try row(forKey: key) { facts.rows.append(row) }
      }
      facts.latestKeyFound = keys.count == limit ? keys.last : nil
    case .keysWithTerms(let key, let limit):
      guard let statement = terms?.keys else { return }
      statement.bind(1, key)
      statement.bind(2, Int64(limit))
      facts.keysWithTerms = try statement.all {
        statement.text(0).map { ($0, statement.integer(1) != 0) }
      }.compactMap { $0 }
    }
  }

  private func bound(_ statement: SQLiteStatement, after id: Int64, _ limit: Int)
    -> SQLiteStatement
  {
    statement.bind(1, id)
    statement.bind(2, Int64(limit))
    return statement
  }

  /// What is no key does not count in `limit`.
  private func keys(
    withTerm term: String, in range: KeyRange, limit: Int
  ) throws(StoreError) -> [String] {
    guard let statement = terms?.found else { return [] }
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
  fileprivate func all<R>(_ read: () -> R) throws(StoreError) -> [R] {
    try query { () throws(StoreError) in
      var all: [R] = []
      while try step() { all.append(read()) }
      return all
    }
  }

  /// Of a statement that selects the columns of `shapes`.
  fileprivate func allRows(_ shapes: KnownShapes) throws(StoreError) -> [StoredRow] {
    try all { shapes.row(self) }
  }

  /// The same, of one that finds one row or none.
  fileprivate func firstRow(_ shapes: KnownShapes) throws(StoreError) -> StoredRow? {
    try query { () throws(StoreError) in try step() ? shapes.row(self) : nil }
  }
}
