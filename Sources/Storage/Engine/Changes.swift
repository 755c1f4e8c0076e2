package import LockCore

/// What a transaction changes: all of it, or nothing.
package struct Changes: Equatable, Sendable {
  /// The oldest shape that is still maintained: every one from there on is written that the server
  /// knows. Columns of others are left alone.
  package var oldestShape: Int64
  /// Of each key no more than one.
  package var rows: [RowChange] = []
  /// Rows of which every shape is to be written anew from what was read. Nothing that a client can see changes,
  /// so the revision stays. Where somebody has changed one since, it is a conflict: what it is found by
  /// (``terms``) goes with what was read.
  package var refills: [StoredRow] = []
  package var deletions: [Deletion] = []
  /// What keys are found by. Where no shape of this server has terms, nothing is done.
  package var terms: [TermChange] = []
  /// Keys without a row of which all terms go, if they still have none.
  package var orphans: [String] = []
  package var meta: [MetaChange] = []
  /// The run of this server is settled with so many ``StoreMeta/setbacks``; nil where it stays as it is.
  package var settled: Int64?

  package init(maintaining oldestShape: Int64) { self.oldestShape = oldestShape }

  package var isEmpty: Bool { self == Changes(maintaining: oldestShape) }

  package struct Deletion: Equatable, Sendable {
    package var id: Int64
    package var expected: Sighting
  }
}

/// A row to be written.
package struct RowChange: Equatable, Sendable {
  /// Nil for a key that has no row yet.
  package var id: Int64?
  /// What it was decided on; nil for a key that has no row yet.
  package var expected: Sighting?
  package var record: LockRecord
  /// What was granted or renewed on the way to a record that is free. It is written first: the token was
  /// given out, and never may be again.
  package var interim: LockRecord?
  /// The current epoch: noted where the record is free.
  package var epoch: Int64
  /// Whether nothing but the revision is another one than in the row, where every shape is as it should be.
  package var isRenewal = false

  package init(
    id: Int64?, expected: Sighting?, record: LockRecord, interim: LockRecord? = nil, epoch: Int64
  ) {
    self.id = id
    self.expected = expected
    self.record = record
    self.interim = interim
    self.epoch = epoch
  }
}

/// Something that the store says of itself, to be said anew.
package enum MetaChange: Equatable, Sendable {
  /// - Parameter from: What it was decided on.
  case set(StoreMeta.Name, from: Int64, to: Int64)
  /// Fences every server off that does not know `shape`.
  ///
  /// - Parameter release: The release that a server must have at least, in words.
  case giveUpShapes(before: Int64, neededRelease: String)

  /// Whether nothing may be done beside it that was decided before, by whoever is just coming in neither: a row that
  /// comes into being is not compared with the floor, and nobody else looks at what is said of the past. Where
  /// servers do not wait for each other, it changes the rows of all their runs.
  package var isForAll: Bool {
    switch self {
    case .set(let name, let from, let to): [.epoch, .setbacks].contains(name) && from != to
    case .giveUpShapes: true
    }
  }
}

/// What became of ``Changes``.
package enum Applied: Equatable, Sendable {
  /// All of it is done, and durable. The ids of ``Changes/rows``, in their order.
  case done(ids: [Int64])
  /// Nothing is done: others have changed what it was decided on. It is to be decided anew.
  case conflict
}
