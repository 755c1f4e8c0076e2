/// The state of one key: held or free, with what orders its grants.
///
/// A record outlives its holder. Releasing a key leaves a free record that remembers the token, so
/// that the next grant is greater than every earlier one.
package struct LockRecord: Equatable, Sendable {
  package var key: String
  /// Nil while the key is free.
  package var holder: Holder?
  /// The fencing token of the current or latest grant. A renewal keeps it.
  package var token: Int64
  /// How often this record was written. It never falls while the record exists.
  package var revision: Int64

  package init(key: String, holder: Holder?, token: Int64, revision: Int64) {
    self.key = key
    self.holder = holder
    self.token = token
    self.revision = revision
  }
}

/// What identifies one state of one record: nobody wrote it as long as this stays the same.
package struct Sighting: Hashable, Sendable {
  package var token: Int64
  package var revision: Int64

  package init(token: Int64, revision: Int64) {
    self.token = token
    self.revision = revision
  }

  /// Whether this is a later state of the same key than `other`.
  package func isLater(than other: Sighting) -> Bool {
    (token, revision) > (other.token, other.revision)
  }
}

extension LockRecord {
  package var sighting: Sighting { Sighting(token: token, revision: revision) }
}
