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
  /// Whether the rows of ``keys`` are to be kept from others until the transaction ends, where the engine can do
  /// that: for who has found them changed before.
  package var isExclusive = false
  /// Whether all servers' runs matter. Asked only where the engine keeps an account of changes.
  package var wantsRuns = false

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
  /// The database's own number for its history, which is another one after a fail-over to a standby; nil where
  /// it has none.
  package var history: Int64?
  /// Whether the database lacks what this server has committed (``StoreWriter/acceptPast()``). Only who writes is
  /// told.
  package var isBehind = false
  /// Whether commits wait for standbys, of which one is promoted where the database fails over: then nothing is lost.
  /// Only who writes is told.
  package var isReplicated = false
  /// With which ``StoreMeta/setbacks`` this server's run is settled. Only who writes is told.
  package var settled = RunState.never
  /// As ``Wanted/wantsRuns`` has it.
  package var runs: [RunState] = []
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

  /// Whether the database has another history than when that was noted last.
  package var isOfOtherHistory: Bool {
    guard let history, let noted = meta.history else { return false }
    return history != noted
  }

  /// Whether the past is what it was, or all that was lost of it is put back.
  package var isOpen: Bool { !isOfOtherHistory && meta.opened == meta.setbacks }
}

/// What a server's run says of itself, where servers do not wait for each other.
package struct RunState: Equatable, Sendable {
  /// It has not looked yet what it has to put back.
  package static let never: Int64 = 0
  /// It never has anything to put back.
  package static let exempt: Int64 = -1

  package var id: Int64
  /// How many transactions of its own were done.
  package var commits: Int64
  /// The ``StoreMeta/setbacks`` since which it has put back all that it knew.
  package var settled: Int64

  package init(id: Int64, commits: Int64, settled: Int64) {
    self.id = id
    self.commits = commits
    self.settled = settled
  }
}
