import Glibc
import Storage
import StorageSQL
import TestKit

@testable import StorageSQLite

/// A directory of a test's own, which goes away with it.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/latchkey-XXXXXX".utf8CString)
    guard let made = template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) else {
      throw SystemFault(call: "mkdtemp", code: errno)
    }
    path = String(cString: made)
  }

  deinit {
    for file in files { unlink("\(path)/\(file)") }
    rmdir(path)
  }

  var files: [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }
}

struct SystemFault: Error {
  var call: String
  var code: Int32
}

/// The bytes of a file; nil where there is none.
func bytes(of path: String) -> [UInt8]? {
  let file = open(path, O_RDONLY | O_CLOEXEC)
  guard file >= 0 else { return nil }
  defer { close(file) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = read(file, &chunk, chunk.count)
    guard count > 0 else { return bytes }
    bytes += chunk[..<count]
  }
}

func write(_ bytes: [UInt8], to path: String) throws {
  let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard file >= 0 else { throw SystemFault(call: "open", code: errno) }
  defer { close(file) }
  guard write(file, bytes, bytes.count) == bytes.count else {
    throw SystemFault(call: "write", code: errno)
  }
}

/// An SQLite file for tests, with a way past the store.
///
/// The connection that looks into it is opened anew each time, as another process would.
struct SQLiteDatabase: TestDatabase {
  let folder: TemporaryFolder
  let path: String

  init() throws {
    folder = try TemporaryFolder()
    path = "\(folder.path)/store.db"
  }

  func engine(_ shapes: KnownShapes) -> any StoreEngine {
    SQLiteEngine(path: path, shapes: shapes)
  }

  func connection() throws -> SQLiteConnection {
    let connection = try SQLiteConnection(path: path, create: false)
    connection.setBusyTimeout(milliseconds: 5_000)
    return connection
  }

  func execute(_ sql: String) throws { try connection().execute(sql) }

  func integer(_ sql: String) throws -> Int64? { try connection().integer(sql) }

  /// What SQLite's own check of the whole file says: "ok".
  func integrity() throws -> String? {
    try connection().text("PRAGMA integrity_check")
  }

  func put(_ row: S1Row) throws {
    _ = try engine().openWriter()
    let blob = "x'80'"
    func quoted(_ text: String) -> String {
      let escaped = text.split(separator: "'", omittingEmptySubsequences: false)
      return "'\(escaped.joined(separator: "''"))'"
    }
    // A text that is none: as bytes of no encoding, of the type that the column should have.
    let damaged = "CAST(\(blob) AS TEXT)"
    // Rows whose keys cannot be read need different ones all the same.
    let key = row.key.map(quoted) ?? "CAST(\(blob) || \(row.id) AS TEXT)"
    let owner = row.ownerIsDamaged ? damaged : row.owner.map(quoted) ?? "NULL"
    try execute(
      """
      INSERT INTO \(S1.resourceTable) (\(S1.columnNames.joined(separator: ", ")))
      VALUES (\(row.id), \(key), \(row.needsShape), \(row.token), \(row.revision), \(row.kind),
        \(owner), \(row.value.map(quoted) ?? damaged), \(row.leaseSeconds),
        \(row.freeEpoch.map(String.init) ?? "NULL"))
      ON CONFLICT (id) DO UPDATE SET
        \(S1.columnNames.dropFirst().map { "\($0) = excluded.\($0)" }.joined(separator: ", "))
      """)
  }

  func row(forKey key: String) throws -> S1Row? {
    let connection = try connection()
    let statement = try connection.prepare(StoreStatements(KnownShapes(after: []), .sqlite).byKey)
    statement.bind(1, key)
    return try statement.query { () throws(StoreError) in
      try statement.step() ? S1Row(statement) : nil
    }
  }

  func cells(forKey key: String) throws -> [String: Cell] {
    let connection = try connection()
    let columns = try connection.texts(
      "SELECT name FROM pragma_table_info('\(S1.resourceTable)') ORDER BY cid"
    ).filter { !S1.columnNames.contains($0) }
    guard !columns.isEmpty else { return [:] }
    let statement = try connection.prepare(
      "SELECT \(columns.joined(separator: ", ")) FROM \(S1.resourceTable) WHERE resource_key = ?")
    statement.bind(1, key)
    return try statement.query { () throws(StoreError) in
      guard try statement.step() else { return [:] }
      var cells: [String: Cell] = [:]
      for (index, column) in columns.enumerated() where !statement.isNull(index) {
        cells[column] =
          statement.bytes(index).map { .bytes($0) } ?? statement.text(index).map { .text($0) }
          ?? .integer(statement.integer(index))
      }
      return cells
    }
  }

  func set(_ column: String, to cell: Cell, forKey key: String) throws {
    let statement = try connection().prepare(
      "UPDATE \(S1.resourceTable) SET \(column) = ? WHERE resource_key = ?")
    switch cell {
    case .null: statement.bindNull(1)
    case .integer(let value): statement.bind(1, value)
    case .text(let value): statement.bind(1, value)
    case .bytes(let value): statement.bind(1, value)
    case .damagedText: preconditionFailure("no column of a newer shape is text")
    }
    statement.bind(2, key)
    try statement.run()
  }

  func terms(ofKey key: String) throws -> [String] {
    let connection = try connection()
    let statement = try connection.prepare(
      "SELECT term FROM latchkey_terms WHERE resource_key = ?")
    statement.bind(1, key)
    return try statement.query { () throws(StoreError) in
      var terms: [String] = []
      while try statement.step() { terms.append(statement.text(0) ?? "") }
      return terms
    }
  }

  func meta(_ shapes: KnownShapes) throws -> StoreMeta {
    try readMeta(connection().prepare(StoreStatements(shapes, .sqlite).meta), shapes)
  }

  func set(_ name: StoreMeta.Name, to value: Int64, note: String) throws {
    try execute(
      "UPDATE \(S1.metaTable) SET value = \(value), note = '\(note)' WHERE name = '\(name.text)'"
    )
  }
}
