package import LockCore

/// Shape s1, the first one: tables and columns, and what a row means.
///
/// Frozen once released: later shapes add columns and tables beside these and never change them.
///
/// `latchkey_resources` has a row for each key that was held lately:
///
/// | column | meaning |
/// |---|---|
/// | `id` | the row's number; may be given out again after the row was deleted |
/// | `resource_key` | the key, compared by bytes |
/// | `needs_shape` | the oldest shape whose servers may act on this row |
/// | `token` | the fencing token of the current or latest grant; at least 1 |
/// | `revision` | how often the row was written; at least 1 |
/// | `kind` | 1 lock, 2 presence; of the latest holder while free |
/// | `owner` | the holder; NULL while free |
/// | `value` | the holder's text; empty while free |
/// | `lease_seconds` | the length of the lease; of the latest holder while free |
/// | `free_epoch` | the epoch in which the row became free; NULL while held |
///
/// In rows whose `needs_shape` is greater than 1, only `id`, `resource_key`, `needs_shape`, `token`
/// and `revision` are sure to mean this. The other columns say what servers of s1 are to show.
///
/// `latchkey_meta` has a row for each name of ``StoreMeta/Name``; `note` beside `oldest_shape` says
/// which release a server must have at least.
package enum S1: StoreShape {
  package static let number: Int64 = 1

  package static let resourceTable = "latchkey_resources"
  package static let metaTable = "latchkey_meta"

  /// Creates what is missing. Each statement is harmless when another server was faster.
  package static func migration(_ dialect: SQLDialect) -> [String] {
    [
      """
      CREATE TABLE IF NOT EXISTS \(metaTable) (
        name \(dialect.name) PRIMARY KEY,
        value \(dialect.integer) NOT NULL,
        note \(dialect.text) NOT NULL
      )\(dialect.tableOptions)
      """,
      """
      CREATE TABLE IF NOT EXISTS \(resourceTable) (
        id \(dialect.identity),
        resource_key \(dialect.name) NOT NULL UNIQUE,
        needs_shape \(dialect.integer) NOT NULL,
        token \(dialect.integer) NOT NULL,
        revision \(dialect.integer) NOT NULL,
        kind \(dialect.integer) NOT NULL,
        owner \(dialect.text),
        value \(dialect.text) NOT NULL,
        lease_seconds \(dialect.integer) NOT NULL,
        free_epoch \(dialect.integer)
      )\(dialect.tableOptions)
      """,
    ]
      + metaNames.map { name in
        dialect.insertIfMissing(
          name, name == .newestShape || name == .oldestShape ? number : 0)
      }
  }

  package static let metaNames: [StoreMeta.Name] = [
    .newestShape, .oldestShape, .tokenFloor, .epoch,
  ]

  package static let columnNames = [
    "id", "resource_key", "needs_shape", "token", "revision", "kind", "owner", "value",
    "lease_seconds", "free_epoch",
  ]

  /// The lease of a row in which s1 says nothing of the holder: it is not maintained any more.
  static let nothingSaid: Int64 = -1

  package static let parts: [HolderPart] = [.content, .lease]

  package static func round(_ holder: inout Holder) {
    holder.lease = Lease(seconds: holder.lease.seconds) ?? .longest
  }
}
