/// Shape s1, the first one: tables, columns and statements, and what a row means.
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
package enum S1 {
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
      )
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
      )
      """,
    ]
      + StoreMeta.Name.allCases.map { name in
        let value = name == .newestShape || name == .oldestShape ? number : 0
        return dialect.insertIfMissing(
          into: metaTable, "name, value, note", "'\(name.rawValue)', \(value), ''")
      }
  }

  package static let columns =
    "id, resource_key, needs_shape, token, revision, kind, owner, value, lease_seconds, free_epoch"

  package static let meta = "SELECT name, value, note FROM \(metaTable)"
  package static let setMeta = "UPDATE \(metaTable) SET value = ? WHERE name = ?"
  package static let byKey = "SELECT \(columns) FROM \(resourceTable) WHERE resource_key = ?"
  package static let byID = "SELECT \(columns) FROM \(resourceTable) WHERE id = ?"
  package static let freeAfterID = """
    SELECT \(columns) FROM \(resourceTable) WHERE id > ? AND owner IS NULL ORDER BY id LIMIT ?
    """
  /// A newer server's resource of an unknown kind counts as a lock.
  package static let ofKindAfterKey = """
    SELECT \(columns) FROM \(resourceTable)
    WHERE resource_key > ? AND resource_key >= ? AND resource_key < ? AND owner IS NOT NULL AND
    CASE WHEN needs_shape > \(number) AND kind NOT IN (1, 2) THEN 1 ELSE kind END = ?
    ORDER BY resource_key LIMIT ?
    """
  package static let afterKey = """
    SELECT \(columns) FROM \(resourceTable)
    WHERE resource_key > ? AND resource_key >= ? AND resource_key < ? AND owner IS NOT NULL
    ORDER BY resource_key LIMIT ?
    """
  /// Held rows, and free ones that a newer server's feature keeps from being used.
  package static let leasesAfterID = """
    SELECT id, token, revision, lease_seconds, kind, needs_shape FROM \(resourceTable)
    WHERE id > ? AND (owner IS NOT NULL OR needs_shape > \(number)) ORDER BY id LIMIT ?
    """
  package static let insert = """
    INSERT INTO \(resourceTable)
    (needs_shape, token, revision, kind, owner, value, lease_seconds, free_epoch, resource_key)
    VALUES (\(number), ?, ?, ?, ?, ?, ?, ?, ?)
    """
  package static let update = """
    UPDATE \(resourceTable) SET needs_shape = \(number), token = ?, revision = ?, kind = ?,
    owner = ?, value = ?, lease_seconds = ?, free_epoch = ? WHERE id = ?
    """
  /// Frees a row, and leaves kind and lease as the latest holder had them.
  package static let free = """
    UPDATE \(resourceTable) SET needs_shape = \(number), token = ?, revision = ?,
    owner = NULL, value = '', free_epoch = ? WHERE id = ?
    """
  package static let delete = "DELETE FROM \(resourceTable) WHERE id = ?"
}

/// The few words in which SQL engines differ.
package struct SQLDialect: Sendable {
  /// A row number that the engine gives out.
  package var identity: String
  package var integer: String
  /// Text of up to 512 bytes that can be a key and is compared by bytes.
  package var name: String
  /// Text of up to 65,536 bytes.
  package var text: String
  package var insertIfMissing:
    @Sendable (_ table: String, _ columns: String, _ values: String) -> String

  package init(
    identity: String, integer: String, name: String, text: String,
    insertIfMissing: @escaping @Sendable (String, String, String) -> String
  ) {
    self.identity = identity
    self.integer = integer
    self.name = name
    self.text = text
    self.insertIfMissing = insertIfMissing
  }

  func insertIfMissing(into table: String, _ columns: String, _ values: String) -> String {
    insertIfMissing(table, columns, values)
  }
}
