package import LockCore

/// A database that can hold Latchkey's rows. A new engine is one type that conforms to this, and
/// one line in the conformance suite of TestKit.
///
/// The connections are synchronous: the store calls each from one thread of its own.
package protocol StoreEngine: Sendable {
  /// Where the database is, as people give it: "sqlite:/var/lib/latchkey/latchkey.db".
  var location: String { get }
  /// The shapes that this server knows.
  var shapes: KnownShapes { get }

  /// Opens the connection that writes, and brings a new or older database to this server's shape:
  /// additive, repeatable, safe beside other servers doing the same.
  ///
  /// - Throws: ``StoreError`` with code `tooOldServer` where the database has left this server's
  ///   shape behind, `unusable` where it is no database of Latchkey's, else `unavailable`.
  func openWriter() throws(StoreError) -> any StoreWriter

  /// Opens a connection that reads. The database exists: a writer was opened before.
  func openReader() throws(StoreError) -> any StoreReader

  /// What whoever runs the server should know of where the database is, once it is open.
  func remarks() -> [String]
}

extension StoreEngine {
  package func remarks() -> [String] { [] }
}

/// The connection that changes rows. Everything happens between ``begin()`` and ``commit()`` or
/// ``rollback()``, serialised against every other writer of the database.
///
/// The calls take many rows at once, so that an engine across a network needs few round trips.
package protocol StoreWriter: AnyObject {
  func begin() throws(StoreError)
  func meta() throws(StoreError) -> StoreMeta
  /// The rows under `keys`, each where its key stands; nil where there is none.
  func rows(forKeys keys: [String]) throws(StoreError) -> [StoredRow?]
  /// The rows with `ids`, each where its id stands; nil where there is none.
  func rows(withIDs ids: [Int64]) throws(StoreError) -> [StoredRow?]
  /// Up to `limit` rows without an owner and with ids above `id`, by id.
  func freeRows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow]
  /// Up to `limit` rows with ids above `id`, by id.
  func rows(afterID id: Int64, limit: Int) throws(StoreError) -> [StoredRow]
  /// Writes `changes` and returns the row ids, in the same order: every shape from `oldest` on that this
  /// server knows. Columns that are not of these shapes are left alone.
  func write(_ changes: [RowChange], maintaining oldest: Int64) throws(StoreError) -> [Int64]
  /// Writes every shape anew from what was read. Nothing that a client can see changes, so the revision
  /// stays.
  func refill(_ rows: [StoredRow], maintaining oldest: Int64) throws(StoreError)
  func delete(ids: [Int64]) throws(StoreError)
  /// Changes what keys are found by. Where no shape of this server has terms, it does nothing.
  func setTerms(_ changes: [TermChange]) throws(StoreError)
  func set(_ name: StoreMeta.Name, to value: Int64) throws(StoreError)
  /// Fences every server off that does not know `shape`.
  ///
  /// - Parameter release: The release that a server must have at least, in words.
  func giveUpShapes(before shape: Int64, neededRelease release: String) throws(StoreError)
  /// Makes everything since ``begin()`` durable. When it throws, nothing of it is known to be done.
  func commit() throws(StoreError)
  /// Forgets everything since ``begin()``. Harmless outside of a transaction.
  func rollback()
  /// Something that changes whenever another connection has changed the database; asking is cheap.
  func changesByOthers() throws(StoreError) -> Int64
  /// Whether the connection is fit for further use after an error.
  var isUsable: Bool { get }
  /// The log beside the database, as this connection last saw it.
  var log: StoreLog { get }
  /// Outside of a transaction: has the log begin anew, for which it waits a short time until nobody
  /// reads from it.
  ///
  /// - Returns: False where somebody reads from it for longer.
  func restartLog() -> Bool
  /// Up to `limit` keys greater than `key` that have terms, by their bytes, and whether each has a
  /// row. What is not a key is passed over. Asked only where ``KnownShapes/haveTerms``.
  func keysWithTerms(
    after key: String, limit: Int
  ) throws(StoreError) -> [(key: String, hasRow: Bool)]
}

/// What an engine writes beside its database, to be copied into it later; nothing where it has no
/// such log.
package struct StoreLog: Equatable, Sendable {
  /// What it takes on the disk.
  package var fileBytes: Int64 = 0
  /// What was written to it since it last began anew.
  package var usedBytes: Int64 = 0

  package init(fileBytes: Int64 = 0, usedBytes: Int64 = 0) {
    self.fileBytes = fileBytes
    self.usedBytes = usedBytes
  }
}

extension StoreWriter {
  package var log: StoreLog { StoreLog() }
  package func restartLog() -> Bool { true }
}

/// A connection that reads from snapshots: what was committed when ``begin()`` was called.
package protocol StoreReader: AnyObject {
  func begin() throws(StoreError)
  func meta() throws(StoreError) -> StoreMeta
  func row(forKey key: String) throws(StoreError) -> StoredRow?
  /// The latest grants of `keys`, each where its key stands; nil where there is no row. Takes less than
  /// to read the rows.
  func latestGrants(of keys: some Collection<String>) throws(StoreError) -> [LatestGrant?]
  /// Up to `limit` held rows of `kind`, or of every kind, by the bytes of their keys. What a newer server
  /// holds in a kind that is not known here counts as a lock.
  func rows(of kind: Kind?, in range: KeyRange, limit: Int) throws(StoreError) -> [StoredRow]
  /// Up to `limit` keys that have `term` or ``Terms/whatever``, by their bytes. What is no key is passed
  /// over. Asked only where ``KnownShapes/haveTerms``, as is ``count(ofTerm:in:max:)``.
  func keys(
    withTerm term: String, in range: KeyRange, limit: Int
  ) throws(StoreError) -> [String]
  /// How many keys have `term`, as far as `max`.
  func count(ofTerm term: String, in range: KeyRange, max: Int) throws(StoreError) -> Int
  /// Up to `limit` rows with ids above `id` that a server has to watch, by id.
  func leases(afterID id: Int64, limit: Int) throws(StoreError) -> [SeenLease]
  /// The greatest id there is; 0 where there is no row.
  func lastID() throws(StoreError) -> Int64
  func end()
}

/// What the store says of itself, besides its rows.
package struct StoreMeta: Equatable, Sendable {
  package enum Name: Hashable, Sendable {
    case newestShape, oldestShape, tokenFloor, epoch
    /// From s2 on.
    case filledShape
    /// Of each shape from s2 on.
    case backfillRow(shape: Int64), backfillSince(shape: Int64)

    package var text: String {
      switch self {
      case .newestShape: "newest_shape"
      case .oldestShape: "oldest_shape"
      case .tokenFloor: "token_floor"
      case .epoch: "epoch"
      case .filledShape: "filled_shape"
      case .backfillRow(let shape): "s\(shape)_backfill_row"
      case .backfillSince(let shape): "s\(shape)_backfill_since"
      }
    }
  }

  /// The newest shape present.
  package var newestShape: Int64
  /// The oldest shape that is still maintained: a server that does not know it must not act.
  package var oldestShape: Int64
  /// The release that a server must have at least, in words; empty where nobody said.
  package var neededRelease: String
  /// Every token of a new row is greater than this.
  package var tokenFloor: Int64
  /// Counts periods of time that some server has lived through; tells how long a row has been free.
  package var epoch: Int64
  /// Every row on which servers of this shape may act has its columns, and no server that does not know it
  /// can write any more: the columns of older shapes need not be looked at.
  package var filledShape: Int64 = S1.number
  /// How far the backfill of this server's newest shape is.
  package var backfill = BackfillState()

  package init(
    newestShape: Int64, oldestShape: Int64, neededRelease: String = "", tokenFloor: Int64,
    epoch: Int64
  ) {
    self.newestShape = newestShape
    self.oldestShape = oldestShape
    self.neededRelease = neededRelease
    self.tokenFloor = tokenFloor
    self.epoch = epoch
  }
}

/// Where a pass through all rows is that brings them into a shape.
package struct BackfillState: Equatable, Sendable {
  /// The row that it has come to; ``done`` when it has seen all.
  package var row: Int64 = 0
  /// The oldest shape that was maintained when the pass began; 0 before the first one.
  package var since: Int64 = 0

  package static let done: Int64 = -1

  package init(row: Int64 = 0, since: Int64 = 0) {
    self.row = row
    self.since = since
  }
}

/// A row as it was read.
package struct StoredRow: Equatable, Sendable {
  package var id: Int64
  package var record: LockRecord
  /// The oldest shape whose servers may act on this row.
  package var needsShape: Int64
  /// Whether only servers of a newer shape than this one knows may grant, renew, change or release what
  /// is in it.
  package var isOfNewerServer: Bool
  /// Whether each shape that this server knows is as it should be: no older server wrote the row since.
  package var isFilled = true
  /// The epoch in which the row became free; nil while it is held.
  package var freeEpoch: Int64?
  /// The length of the lease, of the latest holder while free; nil where it is out of bounds.
  package var lease: Lease?
  /// What is wrong with the row where it is not as any shape says; its record means nothing then.
  package var damage: String?

  package init(
    id: Int64, record: LockRecord, needsShape: Int64, isOfNewerServer: Bool = false,
    freeEpoch: Int64? = nil, lease: Lease? = nil, damage: String? = nil
  ) {
    self.id = id
    self.record = record
    self.needsShape = needsShape
    self.isOfNewerServer = isOfNewerServer
    self.freeEpoch = freeEpoch
    self.lease = lease
    self.damage = damage
  }
}

extension StoredRow {
  /// Its record; of a damaged row one that says no more than that it is there.
  var shown: LockRecord {
    guard damage != nil else { return record }
    var shown = record
    shown.holder = Holder(kind: .presence, owner: "?", content: .empty, lease: .longest)
    return shown
  }
}

/// What is left to know of a row when only its latest grant matters.
package struct LatestGrant: Equatable, Sendable {
  package var token: Int64
  /// Whether nobody holds the row, and servers of this shape may grant it.
  package var isOver: Bool

  package init(token: Int64, isOver: Bool) {
    self.token = token
    self.isOver = isOver
  }
}

/// A row to be written.
package struct RowChange: Equatable, Sendable {
  /// Nil for a key that has no row yet.
  package var id: Int64?
  package var record: LockRecord
  /// The current epoch: noted where the record is free.
  package var epoch: Int64

  package init(id: Int64?, record: LockRecord, epoch: Int64) {
    self.id = id
    self.record = record
    self.epoch = epoch
  }
}

/// A lease as the scan finds it.
package struct SeenLease: Equatable, Sendable {
  package var id: Int64
  package var sighting: Sighting
  package var lease: Lease
  /// Nil where the row needs a newer server to be understood.
  package var kind: Kind?

  package init(id: Int64, sighting: Sighting, lease: Lease, kind: Kind?) {
    self.id = id
    self.sighting = sighting
    self.lease = lease
    self.kind = kind
  }
}
