import CSQLite

/// A SQLite file as another program would open it, beside the server.
package final class SQLiteFile {
  private let handle: OpaquePointer?

  package init(_ path: String) throws {
    var handle: OpaquePointer?
    let code = sqlite3_open(path, &handle)
    self.handle = handle
    guard code == SQLITE_OK else { throw fault }
    sqlite3_busy_timeout(handle, 10_000)
  }

  deinit { sqlite3_close(handle) }

  /// Runs `statements`, and returns the rows of those that have any: the columns as text, by name.
  @discardableResult
  package func run(_ statements: String) throws -> [[String: String?]] {
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
    guard code == SQLITE_OK else { throw fault }
    return rows.all
  }

  private final class Rows {
    var all: [[String: String?]] = []
  }

  private var fault: PeerFault {
    PeerFault(message: "SQLite: \(String(cString: sqlite3_errmsg(handle)))")
  }
}
