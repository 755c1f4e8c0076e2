package import LockCore

/// A question to the store: all that a transaction wants to know, or whoever reads.
package struct Wanted: Equatable, Sendable {
  /// Rows by their keys, each once.
  package var keys: [String]
  /// Rows by their ids.
  package var ids: [Int64]
  /// Keys of which only the latest grants matter, each once. Takes less than to read the rows.
  package var grants: [String] = []
  /// Terms whose keys are to be counted, as far as some number.
  package var counts: [TermCount] = []
  package var page: Page?
  /// Whether the greatest id matters.
  package var wantsLastID = false

  package struct TermCount: Equatable, Sendable {
    package var term: String
    package var range: KeyRange
    package var max: Int
  }

  /// A part of all there is. What is asked of terms is asked only where ``KnownShapes/haveTerms``.
  package enum Page: Equatable, Sendable {
    /// Up to `limit` rows with ids above `id`, by id.
    case rows(afterID: Int64, limit: Int)
    /// The same of rows without an owner.
    case freeRows(afterID: Int64, limit: Int)
    /// The same of what a server has to watch of rows.
    case leases(afterID: Int64, limit: Int)
    /// Up to `limit` held rows of a kind, or of every kind, by the bytes of their keys. What a newer
    /// server holds in a kind that is not known here counts as a lock.
    case held(kind: Kind?, in: KeyRange, limit: Int)
    /// The rows of up to `limit` keys that have `term` or ``Terms/whatever``, by their bytes. What is no
    /// key is passed over.
    case found(byTerm: String, in: KeyRange, limit: Int)
    /// Up to `limit` keys greater than `key` that have terms, by their bytes, and whether each has a
    /// row. What is not a key is passed over.
    case keysWithTerms(after: String, limit: Int)
  }

  package init(keys: [String] = [], ids: [Int64] = [], page: Page? = nil) {
    self.keys = keys
    self.ids = ids
    self.page = page
  }
}

/// What the store had to say, all of the same moment.
package struct Facts: Sendable {
  package var meta: StoreMeta
  /// Whether the database lacks what this server has committed: until a transaction is done that says so
  /// (``StoreMeta/setbacks``), before which there must be no other one. Only who writes is told.
  package var isBehind = false
  /// Whether the database's history is another one than was noted last, such as after a fail-over
  /// (``MetaChange/noteHistory``).
  package var isOfOtherHistory = false
  /// As ``Wanted/keys`` has them; nil where there is no row.
  package var byKey: [StoredRow?] = []
  /// As ``Wanted/ids`` has them; nil where there is no row.
  package var byID: [StoredRow?] = []
  /// As ``Wanted/grants`` has them; nil where there is no row.
  package var grants: [LatestGrant?] = []
  /// As ``Wanted/counts`` has them.
  package var counts: [Int] = []
  /// Of a page of rows.
  package var rows: [StoredRow] = []
  package var leases: [SeenLease] = []
  /// Of the keys that a page found by a term the last one, whether it has a row or not; nil where there
  /// were fewer than the page may have.
  package var latestKeyFound: String?
  package var keysWithTerms: [(key: String, hasRow: Bool)] = []
  /// 0 where there is no row.
  package var lastID: Int64 = 0

  package init(meta: StoreMeta) { self.meta = meta }
}
