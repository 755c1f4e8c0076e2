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

  /// The row in the terms of the core.
  package var stored: StoredRow {
    let isOfNewerServer = needsShape > S1.number
    var record = LockRecord(key: key ?? "", holder: nil, token: token, revision: revision)
    record.holder = isOfNewerServer ? shownHolder : holder
    return StoredRow(
      id: id, record: record, needsShape: needsShape, freeEpoch: freeEpoch,
      lease: Lease(seconds: leaseSeconds), damage: isOfNewerServer ? damageToAll : damage)
  }

  private var holder: Holder? {
    guard let owner, let kind = Kind(rawValue: kind), let lease = Lease(seconds: leaseSeconds),
      let value
    else { return nil }
    return Holder(kind: kind, owner: owner, value: value, lease: lease)
  }

  /// What can be shown of the holder of a newer server's row. The columns may mean more there than
  /// s1 knows, so whatever cannot be read is replaced: somebody holds it, which is what matters.
  private var shownHolder: Holder? {
    guard let owner, !owner.isEmpty else { return nil }
    return Holder(
      kind: Kind(rawValue: kind) ?? .lock, owner: owner, value: value ?? "",
      lease: Lease(seconds: leaseSeconds) ?? .longest)
  }

  /// What is wrong with a row of s1.
  private var damage: String? {
    if let fault = damageToAll { return fault }
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
  private var damageToAll: String? {
    guard let key else { return fault("resource_key is not UTF-8 text") }
    if key.isEmpty { return fault("resource_key is empty") }
    if needsShape < 1 { return fault("needs_shape is \(needsShape)") }
    if token < 1 { return fault("token is \(token)") }
    if revision < 1 { return fault("revision is \(revision)") }
    return nil
  }

  private func fault(_ what: String) -> String {
    "row \(id) of \(S1.resourceTable) is damaged: \(what)"
  }
}

/// The rule of `needs_shape`: what a server that knows no newer shape may do with a row.
package enum NeedsShape {
  /// Whether only newer servers may grant, renew, change or release what is in `row`.
  package static func forbidsActing(on row: StoredRow) -> Bool { row.needsShape > S1.number }
}
