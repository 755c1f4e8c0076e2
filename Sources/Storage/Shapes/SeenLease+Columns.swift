import LockCore

extension SeenLease {
  private static let ownColumnNames = [
    "id", "token", "revision", "lease_seconds", "kind", "needs_shape",
  ]

  /// Of each newer shape the stamp and the lease.
  package static func columnNames(_ shapes: KnownShapes) -> [String] {
    ownColumnNames + shapes.newer.flatMap { $0.columns.prefix(3).map(\.name) }
  }

  /// From the cells of ``columnNames(_:)``.
  package init(_ cells: some RowCells, _ shapes: KnownShapes) {
    let (token, revision) = (cells.integer(1), cells.integer(2))
    var lease = Lease(seconds: cells.integer(3))
    var index = Self.ownColumnNames.count
    for shape in shapes.newer {
      // The newest shape that nobody older has written past; all between are as new.
      if cells.integer(index) == token, cells.integer(index + 1) == revision {
        lease = shape.lease(cells.integer(index + 2))
      }
      index += 3
    }
    self.init(
      id: cells.integer(0), sighting: Sighting(token: token, revision: revision),
      // A lease out of bounds marks a damaged row; it is watched for the longest time there is.
      lease: lease ?? .longest,
      kind: cells.integer(5) > shapes.newest ? nil : Kind(rawValue: cells.integer(4)))
  }
}
