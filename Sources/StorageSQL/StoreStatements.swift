import LockCore
package import Storage

/// The statements of a store whose server knows certain shapes, as every SQL engine understands them: those
/// that write are about one row each.
package struct StoreStatements: Sendable {
  package let meta = "SELECT name, value, note FROM \(S1.metaTable)"
  package let setMeta = "UPDATE \(S1.metaTable) SET value = ? WHERE name = ?"
  /// Nobody takes back what was given up.
  package let giveUp = """
    UPDATE \(S1.metaTable) SET value = ?, note = ?
    WHERE name = '\(StoreMeta.Name.oldestShape.text)' AND value < ?
    """
  package let lastID = "SELECT max(id) FROM \(S1.resourceTable)"
  package let delete = "DELETE FROM \(S1.resourceTable) WHERE id = ?"

  package let deleteTerm = "DELETE FROM \(Terms.table) WHERE resource_key = ? AND term = ?"
  package let deleteTerms = "DELETE FROM \(Terms.table) WHERE resource_key = ?"
  package let keysWithTerms = """
    SELECT name, EXISTS (SELECT 1 FROM \(S1.resourceTable) WHERE resource_key = name) FROM (
      SELECT DISTINCT resource_key AS name FROM \(Terms.table) WHERE resource_key > ?
      ORDER BY resource_key LIMIT ?) AS names
    """
  package let insertTerm: String
  package let keysByTerm: String
  package let countOfTerm: String

  package let byKey: String
  package let byID: String
  package let freeAfterID: String
  package let afterID: String
  package let ofKindAfterKey: String
  package let afterKey: String
  /// What has to be watched of a row, and whether nothing has to be: nobody holds it, and every server may
  /// grant it.
  package let leaseColumns: String
  package let isOver: String
  package let leasesAfterID: String
  package let latestGrant: String
  package let insert: String
  package let update: String
  package let free: String
  package let refill: String
  package let clear: String

  package init(_ shapes: KnownShapes, _ dialect: SQLDialect) {
    let table = S1.resourceTable
    let columns = shapes.columnNames.joined(separator: ", ")
    insertTerm = dialect.insertIfMissing(Terms.table, "resource_key, term", "?, ?")
    byKey = "SELECT \(columns) FROM \(table) WHERE resource_key = ?"
    byID = "SELECT \(columns) FROM \(table) WHERE id = ?"
    afterID = "SELECT \(columns) FROM \(table) WHERE id > ? ORDER BY id LIMIT ?"
    freeAfterID = """
      SELECT \(columns) FROM \(table) WHERE id > ? AND owner IS NULL ORDER BY id LIMIT ?
      """
    // The bounds of a KeyRange, and the key that it comes after.
    let inRange = "resource_key >= ? AND resource_key < ? AND resource_key <> ?"
    let heldInRange = "\(inRange) AND owner IS NOT NULL"
    // Each part is in the order of the keys already.
    let keys = "SELECT resource_key FROM \(Terms.table) WHERE term ="
    keysByTerm = """
      \(keys) ? AND \(inRange) UNION \(keys) '\(Terms.whatever)' AND \(inRange)
      ORDER BY resource_key
      """
    countOfTerm = """
      SELECT count(*) FROM (SELECT 1 FROM \(Terms.table) WHERE term = ? AND \(inRange) LIMIT ?) AS part
      """
    afterKey = """
      SELECT \(columns) FROM \(table) WHERE \(heldInRange) ORDER BY resource_key LIMIT ?
      """
    // A newer server's resource of an unknown kind counts as a lock.
    ofKindAfterKey = """
      SELECT \(columns) FROM \(table) WHERE \(heldInRange) AND
      CASE WHEN needs_shape > \(shapes.newest) AND kind NOT IN (1, 2) THEN 1 ELSE kind END = ?
      ORDER BY resource_key LIMIT ?
      """
    // Held rows, and free ones that a newer server's feature keeps from being used.
    leaseColumns = SeenLease.columnNames(shapes).joined(separator: ", ")
    isOver = "owner IS NULL AND needs_shape <= \(shapes.newest)"
    leasesAfterID = """
      SELECT \(leaseColumns) FROM \(table) WHERE id > ? AND NOT (\(isOver)) ORDER BY id LIMIT ?
      """
    latestGrant = "SELECT token, \(isOver) FROM \(table) WHERE resource_key = ?"

    // Whatever is written is a row of which every server may dispose.
    let ordinary = "needs_shape = \(S1.number)"
    let newer = shapes.newerColumnNames
    let held = ["token", "revision", "kind", "owner", "value", "lease_seconds"] + newer
    insert = """
      INSERT INTO \(table) (needs_shape, \(held.joined(separator: ", ")), resource_key)
      VALUES (\(S1.number), \(held.map { _ in "?" }.joined(separator: ", ")), ?)
      """
    update = """
      UPDATE \(table) SET \(ordinary), free_epoch = NULL, \(Self.parameters(held)) WHERE id = ?
      """
    // Kind and lease stay as the latest holder had them.
    let nothing = newer.map { ", \($0) = NULL" }.joined()
    free = """
      UPDATE \(table) SET \(ordinary), owner = NULL, value = ''\(nothing),
      token = ?, revision = ?, free_epoch = ? WHERE id = ?
      """
    let unchanged = "WHERE id = ? AND token = ? AND revision = ?"
    refill = """
      UPDATE \(table) SET \(Self.parameters(["value", "lease_seconds"] + newer)) \(unchanged)
      """
    clear = "UPDATE \(table) SET value = ''\(nothing) \(unchanged)"
  }

  private static func parameters(_ columns: [String]) -> String {
    columns.map { "\($0) = ?" }.joined(separator: ", ")
  }
}
