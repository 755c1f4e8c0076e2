package import LockCore

/// Shape s2: attributes, leases in milliseconds, labels and the stated time of the grant.
///
/// Frozen once released, like every shape. It adds columns to `latchkey_resources`:
///
/// | column | meaning |
/// |---|---|
/// | `s2_token`, `s2_revision` | the stamp: those of the row when these columns were last written; NULL while it is free |
/// | `s2_lease_milliseconds` | the length of the lease |
/// | `s2_content` | the holder's text or attributes (``S2Format``); NULL for the empty text |
/// | `s2_labels` | its labels (``S2Format``); NULL where it has none |
/// | `s2_granted_at` | when it says that it was granted the resource, in milliseconds since 1970; NULL where it does not say |
///
/// Beside them there is a table of what resources are found by (``Terms``).
///
/// Once s1 is not maintained any more, `value` is empty and `lease_seconds` -1 in rows that are written.
package enum S2: NewerShape {
  package static let number: Int64 = 2

  package static let columns: [ShapeColumn] = [
    ShapeColumn("s2_token", .integer), ShapeColumn("s2_revision", .integer),
    ShapeColumn("s2_lease_milliseconds", .integer), ShapeColumn("s2_content", .bytes),
    ShapeColumn("s2_labels", .bytes), ShapeColumn("s2_granted_at", .integer),
  ]

  package static func tables(_ dialect: SQLDialect) -> [String] { Terms.migration(dialect) }

  package static let parts: [HolderPart] = [.content, .lease, .labels, .grantedAt]

  package static func round(_ holder: inout Holder) {
    holder.lease = Lease(milliseconds: holder.lease.milliseconds) ?? .longest
    holder.grantedAt = holder.grantedAt.flatMap { StatedTime(milliseconds: $0.milliseconds) }
  }

  package static func lease(_ number: Int64) -> Lease? { Lease(milliseconds: number) }

  package static func holder(
    _ cells: some RowCells, at index: Int, shared: (kind: Kind, owner: String), older: Holder?
  ) -> Holder? {
    guard let lease = lease(cells.integer(index)) else { return nil }
    var holder = Holder(kind: shared.kind, owner: shared.owner, content: .empty, lease: lease)
    if !cells.isNull(index + 1) {
      guard let bytes = cells.bytes(index + 1),
        let content = S2Format.content(bytes, older: older?.content)
      else { return nil }
      holder.content = content
    }
    if !cells.isNull(index + 2) {
      guard let labels = cells.bytes(index + 2).flatMap(S2Format.labels) else { return nil }
      holder.labels = labels
    }
    if !cells.isNull(index + 3) {
      guard let time = StatedTime(milliseconds: cells.integer(index + 3)) else { return nil }
      holder.grantedAt = time
    }
    return holder
  }

  package static func add(_ holder: Holder, to parameters: inout some RowParameters) {
    parameters.add(holder.lease.milliseconds)
    if holder.content.isEmpty {
      parameters.addNull()
    } else {
      parameters.add(S2Format.bytes(of: holder.content))
    }
    if holder.labels.isEmpty {
      parameters.addNull()
    } else {
      parameters.add(S2Format.bytes(of: holder.labels))
    }
    if let time = holder.grantedAt {
      parameters.add(time.milliseconds)
    } else {
      parameters.addNull()
    }
  }
}
