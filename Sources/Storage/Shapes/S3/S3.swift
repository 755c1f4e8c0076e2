package import LockCore

/// Shape s3: whose a grant is.
///
/// Frozen once released, like every shape. It adds columns to `latchkey_resources`:
///
/// | column | meaning |
/// |---|---|
/// | `s3_token` | the stamp: the token of the grant that `s3_identity` is about; NULL while it is free |
/// | `s3_identity` | the name of the identity that took it, such as `spiffe://prod/billing` or `token:deployer`, in UTF-8; NULL where nobody was known |
///
/// A grant stays whose it is until it ends, so servers that do not know the shape may renew it. What they grant
/// has another token, and belongs to nobody who is known. All else is said by s2, which goes on to be written.
package enum S3: NewerShape {
  package static let number: Int64 = 3
  package static let isWhole = false

  package static let columns: [ShapeColumn] = [
    ShapeColumn("s3_token", .integer), ShapeColumn("s3_identity", .bytes),
  ]

  package static let parts = S2.parts + [.identity]

  package static func round(_ holder: inout Holder) { S2.round(&holder) }

  package static func holder(
    _ cells: some RowCells, at index: Int, shared: (kind: Kind, owner: String), older: Holder?
  ) -> Holder? {
    guard var holder = older, let identity = identity(cells, at: index) else { return nil }
    holder.identity = identity
    return holder
  }

  /// Nil where the cell does not hold what it should.
  static func identity(_ cells: some RowCells, at index: Int) -> String? {
    if cells.isNull(index) { return "" }
    return cells.bytes(index).flatMap { bytes in
      (1...NameLimits.identityBytesMax).contains(bytes.count)
        ? String(validating: bytes, as: UTF8.self) : nil
    }
  }

  package static func add(_ holder: Holder, to parameters: inout some RowParameters) {
    if holder.identity.isEmpty {
      parameters.addNull()
    } else {
      parameters.add(Array(holder.identity.utf8))
    }
  }
}
