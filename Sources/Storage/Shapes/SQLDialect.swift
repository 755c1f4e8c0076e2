/// The few words in which SQL engines differ.
package struct SQLDialect: Sendable {
  /// A row number that the engine gives out.
  package var identity: String
  package var integer: String
  /// Text of up to 512 bytes that can be a key and is compared by bytes.
  package var name: String
  /// Text of up to 65,536 bytes.
  package var text: String
  /// Any bytes, up to 1,048,576.
  package var bytes: String
  /// What stands after a table's columns so that its rows are kept in the order of its primary key, where
  /// that has to be asked for.
  package var keyedByPrimaryKey: String
  /// What else stands behind the columns of every table.
  package var tableOptions: String
  /// What adds a column, where the engine can do without it if it is there.
  package var addColumn: String
  package var insertIfMissing:
    @Sendable (_ table: String, _ columns: String, _ values: String) -> String

  package init(
    identity: String, integer: String, name: String, text: String, bytes: String,
    keyedByPrimaryKey: String, tableOptions: String = "", addColumn: String,
    insertIfMissing: @escaping @Sendable (String, String, String) -> String
  ) {
    self.identity = identity
    self.integer = integer
    self.name = name
    self.text = text
    self.bytes = bytes
    self.keyedByPrimaryKey = keyedByPrimaryKey
    self.tableOptions = tableOptions
    self.addColumn = addColumn
    self.insertIfMissing = insertIfMissing
  }

  func type(of column: ShapeColumn) -> String {
    switch column.type {
    case .integer: integer
    case .bytes: bytes
    }
  }

  func insertIfMissing(_ name: StoreMeta.Name, _ value: Int64) -> String {
    insertIfMissing(S1.metaTable, "name, value, note", "'\(name.text)', \(value), ''")
  }
}
