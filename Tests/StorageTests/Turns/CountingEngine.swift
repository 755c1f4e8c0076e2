import LockCore
import Storage
import Synchronization

/// What a ``CountingEngine`` was asked.
final class CallCounts: Sendable {
  struct Counts: Sendable {
    /// Rows that transactions read by their keys.
    var rows = 0
    /// Pages of latest grants that were read from snapshots.
    var grantPages = 0
  }

  private let counts = Mutex(Counts())

  var now: Counts { counts.withLock { $0 } }

  fileprivate func count(_ change: (inout Counts) -> Void) { counts.withLock { change(&$0) } }
}

/// An engine that counts what it is asked.
struct CountingEngine: StoreEngine {
  private let engine: any StoreEngine
  private let counts: CallCounts

  var location: String { engine.location }
  var shapes: KnownShapes { engine.shapes }

  init(_ engine: any StoreEngine, _ counts: CallCounts) {
    self.engine = engine
    self.counts = counts
  }

  func openWriter() throws(StoreError) -> any StoreWriter {
    Writer(try engine.openWriter(), counts)
  }

  func openReader() throws(StoreError) -> any StoreReader {
    Reader(try engine.openReader(), counts)
  }

  private final class Writer: StoreWriter {
    private let writer: any StoreWriter
    private let counts: CallCounts

    init(_ writer: any StoreWriter, _ counts: CallCounts) {
      self.writer = writer
      self.counts = counts
    }

    var isUsable: Bool { writer.isUsable }

    func rows(forKeys keys: [String]) throws(StoreError) -> [StoredRow?] {
      counts.count { $0.rows += keys.count }
      return try writer.rows(forKeys: keys)
    }

    func begin() throws(StoreError) { try writer.begin() }
    func meta() throws(StoreError) -> StoreMeta { try writer.meta() }
    func rows(withIDs ids: [Int64]) throws(StoreError) -> [StoredRow?] {
      try writer.rows(withIDs: ids)
    }
    func freeRows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
      try writer.freeRows(afterID: id, limit: limit)
    }
    func rows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow] {
      try writer.rows(afterID: id, limit: limit)
    }
    func write(
      _ changes: [RowChange], maintaining oldest: Int64
    ) throws(StoreError) -> [Int64] { try writer.write(changes, maintaining: oldest) }
    func refill(_ rows: [StoredRow], maintaining oldest: Int64) throws(StoreError) {
      try writer.refill(rows, maintaining: oldest)
    }
    func delete(ids: [Int64]) throws(StoreError) { try writer.delete(ids: ids) }
    func setTerms(_ changes: [TermChange]) throws(StoreError) { try writer.setTerms(changes) }
    func set(_ name: StoreMeta.Name, to value: Int64) throws(StoreError) {
      try writer.set(name, to: value)
    }
    func giveUpShapes(before shape: Int64, neededRelease release: String) throws(StoreError) {
      try writer.giveUpShapes(before: shape, neededRelease: release)
    }
    func commit() throws(StoreError) { try writer.commit() }
    func rollback() { writer.rollback() }
    func changesByOthers() throws(StoreError) -> Int64 { try writer.changesByOthers() }
    func keysWithTerms(
      after key: String, limit: Int
    ) throws(StoreError) -> [(key: String, hasRow: Bool)] {
      try writer.keysWithTerms(after: key, limit: limit)
    }
  }

  private final class Reader: StoreReader {
    private let reader: any StoreReader
    private let counts: CallCounts

    init(_ reader: any StoreReader, _ counts: CallCounts) {
      self.reader = reader
      self.counts = counts
    }

    func latestGrants(of keys: some Collection<String>) throws(StoreError) -> [LatestGrant?] {
      counts.count { $0.grantPages += 1 }
      return try reader.latestGrants(of: keys)
    }

    func begin() throws(StoreError) { try reader.begin() }
    func meta() throws(StoreError) -> StoreMeta { try reader.meta() }
    func row(forKey key: String) throws(StoreError) -> StoredRow? { try reader.row(forKey: key) }
    func rows(
      of kind: Kind?, in range: KeyRange, limit: Int
    ) throws(StoreError) -> [StoredRow] { try reader.rows(of: kind, in: range, limit: limit) }
    func keys(
      withTerm term: String, in range: KeyRange, limit: Int
    ) throws(StoreError) -> [String] { try reader.keys(withTerm: term, in: range, limit: limit) }
    func count(ofTerm term: String, in range: KeyRange, max: Int) throws(StoreError) -> Int {
      try reader.count(ofTerm: term, in: range, max: max)
    }
    func leases(afterID id: Int64, limit: Int) throws(StoreError) -> [SeenLease] {
      try reader.leases(afterID: id, limit: limit)
    }
    func lastID() throws(StoreError) -> Int64 { try reader.lastID() }
    func end() { reader.end() }
  }
}
