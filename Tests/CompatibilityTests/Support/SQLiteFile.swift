import CSQLite

/// A SQLite file as another program would open it, beside the server.
enum SQLiteFile {
  /// Runs `statements`, and returns the rows of those that have any: the columns as text, by name.
  @discardableResult
  static func run(_ statements: String, in path: String) throws -> [[String: String?]] {
    var handle: OpaquePointer?
    defer { sqlite3_close(handle) }
    guard sqlite3_open(path, &handle) == SQLITE_OK else { throw fault(handle) }
    sqlite3_busy_timeout(handle, 10_000)
    let rows = Rows()
    let code = sqlite3_exec(
      handle, statements,
      { context, count, values, names in
        var row: [String: String?] = [:]
        for column in 0..<Int(count) {
          guard let name = names?[column] else { continue }
          row.updateValue(
            values?[column].map { String(cString: $0) }, forKey: String(cString: name))
        }
        if let context { Unmanaged<Rows>.fromOpaque(context).takeUnretainedValue().all.append(row) }
        return 0
      }, Unmanaged.passUnretained(rows).toOpaque(), nil)
    guard code == SQLITE_OK else { throw fault(handle) }
    return rows.all
  }

  private final class Rows {
    var all: [[String: String?]] = []
  }

  private static func fault(_ handle: OpaquePointer?) -> PeerFault {
    PeerFault(message: "SQLite: \(String(cString: sqlite3_errmsg(handle)))")
  }
}
