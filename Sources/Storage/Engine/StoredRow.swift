package import LockCore

/// A row as it was read.
package struct StoredRow: Equatable, Sendable {
  package var id: Int64
  package var record: LockRecord
  /// The oldest shape whose servers may act on this row.
  package var needsShape: Int64
  /// Whether only servers of a newer shape than this one knows may grant, renew, change or release what
  /// is in it.
  package var isOfNewerServer: Bool
  /// Whether each shape that this server knows is as it should be: no older server wrote the row since.
  package var isFilled = true
  /// The epoch in which the row became free; nil while it is held.
  package var freeEpoch: Int64?
  /// The length of the lease, of the latest holder while free; nil where it is out of bounds.
  package var lease: Lease?
  /// What is wrong with the row where it is not as any shape says; its record means nothing then.
  package var damage: String?

  package init(
    id: Int64, record: LockRecord, needsShape: Int64, isOfNewerServer: Bool = false,
    freeEpoch: Int64? = nil, lease: Lease? = nil, damage: String? = nil
  ) {
    self.id = id
    self.record = record
    self.needsShape = needsShape
    self.isOfNewerServer = isOfNewerServer
    self.freeEpoch = freeEpoch
    self.lease = lease
    self.damage = damage
  }
}

extension StoredRow {
  /// Of what is said in it.
  var byteCount: Int { record.key.utf8.count + (record.holder?.byteCount ?? 0) }

  /// Its record; of a damaged row one that says no more than that it is there.
  var shown: LockRecord {
    guard damage != nil else { return record }
    var shown = record
    shown.holder = Holder(kind: .presence, owner: "?", content: .empty, lease: .longest)
    return shown
  }
}

/// What is left to know of a row when only its latest grant matters.
package struct LatestGrant: Equatable, Sendable {
  package var token: Int64
  /// Whether nobody holds the row, and servers of this shape may grant it.
  package var isOver: Bool

  package init(token: Int64, isOver: Bool) {
    self.token = token
    self.isOver = isOver
  }
}

/// A lease as the scan finds it.
package struct SeenLease: Equatable, Sendable {
  package var id: Int64
  /// The key and its owner; nil where that is not needed, as the engine keeps no account of changes, or not
  /// known.
  package var name: Name?
  package var sighting: Sighting
  package var lease: Lease
  /// Nil where the row needs a newer server to be understood.
  package var kind: Kind?
  /// Whose the grant is, as in ``LockCore/Holder/identity``; nil where the row does not say it as it should.
  package var identity: String? = ""

  package struct Name: Equatable, Sendable {
    package var key: String
    package var owner: String

    package init(key: String, owner: String) {
      self.key = key
      self.owner = owner
    }
  }

  package init(id: Int64, sighting: Sighting, lease: Lease, kind: Kind?) {
    self.id = id
    self.sighting = sighting
    self.lease = lease
    self.kind = kind
  }
}
