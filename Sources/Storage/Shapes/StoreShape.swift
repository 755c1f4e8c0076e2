package import LockCore

/// A shape of the store: what it can say of a holder.
///
/// | lens between two neighbours | here |
/// |---|---|
/// | create(old) | an older shape's holder as it stands: what only the newer one knows is empty |
/// | project(new) | ``express(_:)`` of the older shape |
/// | merge(old, into: new) | ``KnownShapes/merge(_:into:through:isRewritten:)`` |
package protocol StoreShape: Sendable {
  static var number: Int64 { get }
  /// All that it says of a holder: what comes with a later shape is not here, so nothing of this one changes.
  static var parts: [HolderPart] { get }
  /// Makes of its parts the nearest that this shape can say. Applied twice it changes nothing more, and no
  /// lease becomes shorter by it.
  static func round(_ holder: inout Holder)
}

extension StoreShape {
  /// The nearest to `holder` that this shape can say.
  package static func express(_ holder: Holder) -> Holder {
    var said = Holder(
      kind: holder.kind, owner: holder.owner, content: .empty, lease: holder.lease)
    for part in parts { part.copy(from: holder, to: &said) }
    round(&said)
    return said
  }
}

/// A shape that adds columns to the rows of the ones before.
///
/// Its first columns are its stamp: token and revision of the row when its columns were last
/// written. A server that does not know the shape leaves them as they are, so they tell whether
/// somebody older has written the row since, and whether it is still the same grant.
///
/// A shape need not be whole: it may say only what stays as it is as long as a grant, beside all that
/// the shapes before say. Then its stamp is the token alone, nothing that older servers write to the grant
/// makes it stale, rows that lack it need not be brought into it, and the whole shape before it is written
/// as long as it is.
package protocol NewerShape: StoreShape {
  /// Whether it says all of a holder by itself.
  static var isWhole: Bool { get }
  /// Names and types of its columns, all of which may be NULL: the stamp's, then the lease where the shape is
  /// whole, then the others.
  static var columns: [ShapeColumn] { get }
  /// Creates tables that it has beside the rows, where they are missing.
  static func tables(_ dialect: SQLDialect) -> [String]

  /// Of a whole shape.
  static func lease(_ number: Int64) -> Lease?
  /// The holder as its columns have it, where they are as this shape says.
  ///
  /// - Parameters:
  ///   - index: That of the first column after the stamp.
  ///   - shared: What all shapes keep in the same columns.
  ///   - older: The holder as the shapes before have it, if they say anything: what is the same there need
  ///     not be made again, and where this shape is not whole, it is what it adds to.
  static func holder(
    _ cells: some RowCells, at index: Int, shared: (kind: Kind, owner: String), older: Holder?
  ) -> Holder?
  /// Adds the values of its columns after the stamp.
  static func add(_ holder: Holder, to parameters: inout some RowParameters)
}

/// A column that a shape adds to the rows.
package struct ShapeColumn: Sendable {
  package enum ColumnType: Sendable {
    case integer, bytes
  }

  package let name: String
  package let type: ColumnType

  package init(_ name: String, _ type: ColumnType) {
    self.name = name
    self.type = type
  }
}

extension NewerShape {
  package static var isWhole: Bool { true }
  package static func lease(_ number: Int64) -> Lease? { nil }

  /// How many columns its stamp has.
  static var stampCount: Int { isWhole ? 2 : 1 }

  package static func tables(_ dialect: SQLDialect) -> [String] { [] }
}

/// One row's columns as an engine read them, in the order of ``KnownShapes/columnNames``: nothing is taken
/// for granted.
package protocol RowCells {
  /// What is no integer is given as a number that no column of Latchkey's may have: the least.
  func integer(_ index: Int) -> Int64
  func isNull(_ index: Int) -> Bool
  /// Nil where the column does not hold UTF-8 text.
  func text(_ index: Int) -> String?
  /// Nil where the column does not hold bytes.
  func bytes(_ index: Int) -> [UInt8]?
}

/// Takes the values of a statement's parameters, or of a row's columns, one after the other.
package protocol RowParameters {
  mutating func add(_ value: Int64)
  mutating func add(_ value: String)
  mutating func add(_ value: [UInt8])
  mutating func addNull()
}
