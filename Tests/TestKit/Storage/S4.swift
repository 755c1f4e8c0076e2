package import LockCore
package import Storage

/// A shape that may come after the newest one: it stands for all of them in tests.
///
/// It keeps content and labels in a column of another format, counts leases and times in nanoseconds, and
/// adds who acquired it: so it can say what s2 cannot.
package enum S4: NewerShape {
  package static let number: Int64 = 4
  package static let shapes = KnownShapes(after: KnownShapes.all.newer + [S4.self])

  package static let columns: [ShapeColumn] = [
    ShapeColumn("s4_token", .integer), ShapeColumn("s4_revision", .integer),
    ShapeColumn("s4_lease_nanoseconds", .integer), ShapeColumn("s4_said", .bytes),
    ShapeColumn("s4_granted_at_seconds", .integer),
    ShapeColumn("s4_granted_at_nanoseconds", .integer), ShapeColumn("s4_identity", .bytes),
  ]

  package static let parts = HolderPart.allCases

  package static func round(_ holder: inout Holder) {}

  package static func lease(_ number: Int64) -> Lease? { Lease(nanoseconds: number) }

  package static func holder(
    _ cells: some RowCells, at index: Int, shared: (kind: Kind, owner: String), older: Holder?
  ) -> Holder? {
    guard let lease = lease(cells.integer(index)), let said = cells.bytes(index + 1),
      let count = said.first, said.count > Int(count),
      let labels = S2Format.labels(Array(said[1..<(1 + Int(count))])),
      let content = S2Format.content(
        Array(said[(1 + Int(count))...]), older: older?.content)
    else { return nil }
    var holder = Holder(
      kind: shared.kind, owner: shared.owner, content: content, lease: lease, labels: labels)
    if !cells.isNull(index + 2) {
      holder.grantedAt = StatedTime(
        seconds: cells.integer(index + 2), nanoseconds: Int32(cells.integer(index + 3)))
    }
    if !cells.isNull(index + 4) {
      guard let identity = cells.bytes(index + 4).flatMap({ String(validating: $0, as: UTF8.self) })
      else { return nil }
      holder.identity = identity
    }
    return holder
  }

  package static func add(_ holder: Holder, to parameters: inout some RowParameters) {
    parameters.add(holder.lease.nanoseconds)
    let labels = S2Format.bytes(of: holder.labels)
    parameters.add([UInt8(labels.count)] + labels + S2Format.bytes(of: holder.content))
    if let time = holder.grantedAt {
      parameters.add(time.seconds)
      parameters.add(Int64(time.nanoseconds))
    } else {
      parameters.addNull()
      parameters.addNull()
    }
    if holder.identity.isEmpty {
      parameters.addNull()
    } else {
      parameters.add(Array(holder.identity.utf8))
    }
  }
}

extension KnownShapes {
  /// Those of a server that knows nothing after `newest`.
  package static func upTo(_ newest: Int64) -> KnownShapes {
    KnownShapes(after: Array(S4.shapes.newer.prefix(Int(newest - S1.number))))
  }
}
