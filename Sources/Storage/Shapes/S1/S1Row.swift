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
    // A kind of a newer shape is shown as a lock: somebody holds it, which is what matters.
    let kind = Kind(rawValue: kind) ?? (isOfNewerServer ? .lock : nil)
    let lease = Lease(seconds: leaseSeconds)
    var record = LockRecord(key: key ?? "", holder: nil, token: token, revision: revision)
    if let owner, let kind, let lease, let value {
      record.holder = Holder(kind: kind, owner: owner, value: value, lease: lease)
    }
    return StoredRow(
      id: id, record: record, needsShape: needsShape, freeEpoch: freeEpoch, lease: lease,
      damage: damage(kind: kind, lease: lease))
  }

  private func damage(kind: Kind?, lease: Lease?) -> String? {
    let fault: String
    if key == nil {
      fault = "resource_key is not UTF-8 text"
    } else if key == "" {
      fault = "resource_key is empty"
    } else if needsShape < 1 {
      fault = "needs_shape is \(needsShape)"
    } else if token < 1 {
      fault = "token is \(token)"
    } else if revision < 1 {
      fault = "revision is \(revision)"
    } else if ownerIsDamaged {
      fault = "owner is not UTF-8 text"
    } else if let freeEpoch, freeEpoch < 0 {
      fault = "free_epoch is \(freeEpoch)"
    } else if owner == nil {
      return nil
    } else if owner == "" {
      fault = "owner is empty"
    } else if value == nil {
      fault = "value is not UTF-8 text"
    } else if kind == nil {
      fault = "kind is \(self.kind)"
    } else if lease == nil {
      fault = "lease_seconds is \(leaseSeconds)"
    } else {
      return nil
    }
    return "row \(id) of \(S1.resourceTable) is damaged: \(fault)"
  }
}

/// The rule of `needs_shape`: what a server that knows no newer shape may do with a row.
package enum NeedsShape {
  /// Whether only newer servers may grant, renew, change or release what is in `row`.
  package static func forbidsActing(on row: StoredRow) -> Bool { row.needsShape > S1.number }
}
