import Glibc
import Storage
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

  func engine() -> any StoreEngine { SQLiteEngine(path: path) }

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
      INSERT OR REPLACE INTO \(S1.resourceTable) (\(S1.columns)) VALUES (\(row.id), \(key),
        \(row.needsShape), \(row.token), \(row.revision), \(row.kind), \(owner),
        \(row.value.map(quoted) ?? damaged), \(row.leaseSeconds),
        \(row.freeEpoch.map(String.init) ?? "NULL"))
      """)
  }

  func row(forKey key: String) throws -> S1Row? {
    let connection = try connection()
    let statement = try connection.prepare(S1.byKey)
    statement.bind(1, key)
    return try statement.query { () throws(StoreError) in
      guard try statement.step() else { return nil }
      return S1Row(
        id: statement.integer(0), key: statement.text(1), needsShape: statement.integer(2),
        token: statement.integer(3), revision: statement.integer(4), kind: statement.integer(5),
        owner: statement.text(6),
        ownerIsDamaged: statement.text(6) == nil && !statement.isNull(6),
        value: statement.text(7), leaseSeconds: statement.integer(8),
        freeEpoch: statement.optionalInteger(9))
    }
  }

  var meta: StoreMeta {
    get throws { try readMeta(connection().prepare(S1.meta)) }
  }

  func set(_ name: StoreMeta.Name, to value: Int64, note: String) throws {
    try execute(
      "UPDATE \(S1.metaTable) SET value = \(value), note = '\(note)' WHERE name = '\(name.rawValue)'"
    )
  }
}
