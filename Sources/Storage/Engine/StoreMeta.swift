/// What the store says of itself, besides its rows.
package struct StoreMeta: Equatable, Sendable {
  package enum Name: Hashable, Sendable {
    case newestShape, oldestShape, tokenFloor, epoch
    /// From s2 on.
    case filledShape
    /// From 0.6.0 on.
    case birth
    /// Where servers do not wait for each other (``Setback``).
    case setbacks, opened, setbackFloor, collectedToken, history
    /// Of each shape from s2 on.
    case backfillRow(shape: Int64), backfillSince(shape: Int64)

    package var text: String {
      switch self {
      case .newestShape: "newest_shape"
      case .oldestShape: "oldest_shape"
      case .tokenFloor: "token_floor"
      case .epoch: "epoch"
      case .filledShape: "filled_shape"
      case .birth: "birth"
      case .setbacks: "setbacks"
      case .opened: "opened"
      case .setbackFloor: "setback_floor"
      case .collectedToken: "collected_token"
      case .history: "history"
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
  /// Nil before a server of 0.6.0 or newer was here.
  package var birth: StoreBirth?
  /// Changes to a number that was never there before whenever a server says that the past is not what it was.
  package var setbacks: Int64 = 0
  /// That of which all have put back what they know: where it is not the same, nothing is to be granted.
  package var opened: Int64 = 0
  /// The token floor as of when that was said last: no grant with a higher token is from before.
  package var setbackFloor: Int64 = 0
  /// The highest token of a row that was deleted: a row that is not there, and had none above it, was free before.
  /// Nil where nobody has to know.
  package var collectedToken: Int64?
  /// The database's own number for its history, as of when that was said last; nil where it has none.
  package var history: Int64?
  /// How far the backfill of this server's newest shape is.
  package var backfill = BackfillState()

  /// What is known before anything was read: no store says this of itself.
  package static let unread = StoreMeta(
    newestShape: 0, oldestShape: 0, tokenFloor: -1, epoch: -1)

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
