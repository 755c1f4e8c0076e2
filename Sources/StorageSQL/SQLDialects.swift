package import Storage

// How each engine says what all of them can.
extension SQLDialect {
  package static let sqlite = SQLDialect(
    identity: "INTEGER PRIMARY KEY", integer: "INTEGER", name: "TEXT", text: "TEXT",
    bytes: "BLOB", keyedByPrimaryKey: " WITHOUT ROWID", addColumn: "ADD COLUMN",
    insertIfMissing: { "INSERT OR IGNORE INTO \($0) (\($1)) VALUES (\($2))" })

  package static let postgreSQL = SQLDialect(
    identity: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", integer: "BIGINT",
    name: #"TEXT COLLATE "C""#, text: "TEXT", bytes: "BYTEA", keyedByPrimaryKey: "",
    addColumn: "ADD COLUMN IF NOT EXISTS",
    insertIfMissing: { "INSERT INTO \($0) (\($1)) VALUES (\($2)) ON CONFLICT DO NOTHING" })

  /// Everything that is named or said is kept as bytes: nothing rests on character sets and collations.
  package static let mariaDB = SQLDialect(
    identity: "BIGINT AUTO_INCREMENT PRIMARY KEY", integer: "BIGINT", name: "VARBINARY(512)",
    text: "MEDIUMBLOB", bytes: "MEDIUMBLOB", keyedByPrimaryKey: "", tableOptions: " ENGINE=InnoDB",
    addColumn: "ADD COLUMN IF NOT EXISTS",
    insertIfMissing: { "INSERT IGNORE INTO \($0) (\($1)) VALUES (\($2))" })
}
