import LockContent
import LockCore

/// The columns of s1 as an engine read them: nothing is taken for granted.
package struct S1Row: Sendable {
  package var id: Int64
  /// Nil where the column does not hold UTF-8 text.
  package var key: String?
  package var needsShape: Int64
  package var token: Int64
  package var revision: Int64
  package var kind: Int64
  /// Nil while free; ``ownerIsDamaged`` tells a text that is not UTF-8.
  package var owner: String?
  package var ownerIsDamaged: Bool
  package var value: String?
  package var leaseSeconds: Int64
  package var freeEpoch: Int64?

  package init(
    id: Int64, key: String?, needsShape: Int64, token: Int64, revision: Int64, kind: Int64,
    owner: String?, ownerIsDamaged: Bool, value: String?, leaseSeconds: Int64, freeEpoch: Int64?
  ) {
    self.id = id
    self.key = key
    self.needsShape = needsShape
    self.token = token
    self.revision = revision
    self.kind = kind
    self.owner = owner
    self.ownerIsDamaged = ownerIsDamaged
    self.value = value
    self.leaseSeconds = leaseSeconds
    self.freeEpoch = freeEpoch
  }

  /// From the columns of ``S1/columnNames``.
  package init(_ cells: some RowCells) {
    let owner = cells.text(6)
    self.init(
      id: cells.integer(0), key: cells.text(1), needsShape: cells.integer(2),
      token: cells.integer(3), revision: cells.integer(4), kind: cells.integer(5), owner: owner,
      ownerIsDamaged: owner == nil && !cells.isNull(6), value: cells.text(7),
      leaseSeconds: cells.integer(8), freeEpoch: cells.isNull(9) ? nil : cells.integer(9))
  }

  /// What s1 says of the holder; nil where nobody holds it, or where s1 says nothing.
  var holder: Holder? {
    guard let owner, let kind = Kind(rawValue: kind), let lease = Lease(seconds: leaseSeconds),
      let value
    else { return nil }
    return Holder(kind: kind, owner: owner, content: Content(text: value), lease: lease)
  }

  /// What can be shown of the holder of a newer server's row. The columns may mean more there than
  /// s1 knows, so whatever cannot be read is replaced: somebody holds it, which is what matters.
  var shownHolder: Holder? {
    guard let owner, !owner.isEmpty else { return nil }
    return Holder(
      kind: Kind(rawValue: kind) ?? .lock, owner: owner, content: Content(text: value ?? ""),
      lease: Lease(seconds: leaseSeconds) ?? .longest)
  }

  /// Whether only newer shapes say who holds it how: s1 is not maintained any more.
  var isSilent: Bool { owner != nil && leaseSeconds == S1.nothingSaid }

  /// What is wrong with the columns of s1.
  var damage: String? {
    if ownerIsDamaged { return fault("owner is not UTF-8 text") }
    if let freeEpoch, freeEpoch < 0 { return fault("free_epoch is \(freeEpoch)") }
    guard let owner else { return nil }
    if owner.isEmpty { return fault("owner is empty") }
    if value == nil { return fault("value is not UTF-8 text") }
    if Kind(rawValue: kind) == nil { return fault("kind is \(kind)") }
    if Lease(seconds: leaseSeconds) == nil { return fault("lease_seconds is \(leaseSeconds)") }
    return nil
  }

  /// What is wrong with the columns that mean the same in every shape.
  var damageToAll: String? {
    guard let key else { return fault("resource_key is not UTF-8 text") }
    if key.isEmpty { return fault("resource_key is empty") }
    if needsShape < 1 { return fault("needs_shape is \(needsShape)") }
    if token < 1 { return fault("token is \(token)") }
    if revision < 1 { return fault("revision is \(revision)") }
    return nil
  }

  func fault(_ what: String) -> String {
    "row \(id) of \(S1.resourceTable) is damaged: \(what)"
  }
}
