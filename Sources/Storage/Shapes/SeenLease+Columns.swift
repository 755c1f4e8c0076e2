import LockCore

extension SeenLease {
  private static let ownColumnNames = [
    "id", "token", "revision", "lease_seconds", "kind", "needs_shape",
  ]

  package static func columnNames(_ shapes: KnownShapes) -> [String] {
    ownColumnNames + newerColumnNames(shapes)
  }

  /// Of each whole newer shape the stamp and the lease; all of one that says whose a grant is.
  package static func newerColumnNames(_ shapes: KnownShapes) -> [String] {
    shapes.newer.flatMap { shape in
      (shape.isWhole ? shape.columns.prefix(3) : shape.columns[...]).map(\.name)
    }
  }

  /// From the cells of ``columnNames(_:)``.
  package init(_ cells: some RowCells, _ shapes: KnownShapes) {
    let (token, revision) = (cells.integer(1), cells.integer(2))
    var lease = Lease(seconds: cells.integer(3))
    var identity: String? = ""
    var index = Self.ownColumnNames.count
    for shape in shapes.newer {
      let isOfGrant = cells.integer(index) == token
      if !shape.isWhole {
        if isOfGrant, shape == S3.self {
          identity = S3.identity(cells, at: index + shape.stampCount)
        }
        index += shape.columns.count
        continue
      }
      // The newest shape that nobody older has written past; all between are as new.
      if isOfGrant, cells.integer(index + 1) == revision {
        lease = shape.lease(cells.integer(index + 2))
      }
      index += 3
    }
    self.init(
      id: cells.integer(0), sighting: Sighting(token: token, revision: revision),
      // A lease out of bounds marks a damaged row; it is watched for the longest time there is.
      lease: lease ?? .longest,
      kind: cells.integer(5) > shapes.newest ? nil : Kind(rawValue: cells.integer(4)))
    self.identity = identity
  }
}
