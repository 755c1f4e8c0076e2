import CSQLite
import Storage

/// A prepared statement: bind, step, read columns, reset. Lives no longer than its connection.
final class SQLiteStatement {
  private let handle: OpaquePointer
  private let connection: SQLiteConnection
  /// The result of a parameter that could not be bound, such as for want of memory: the statement
  /// would run with what an earlier use left there.
  private var bindFailure: Int32?

  init(_ handle: OpaquePointer, of connection: SQLiteConnection) {
    self.handle = handle
    self.connection = connection
  }

  deinit { sqlite3_finalize(handle) }

  /// Runs `body`, then makes the statement ready for its next use, whatever happened.
  func query<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> R {
    defer { reset() }
    return try body()
  }

  private func reset() {
    sqlite3_reset(handle)
    bindFailure = nil
  }

  /// Runs the statement to its end.
  func run() throws(StoreError) {
    defer { reset() }
    _ = try step()
  }

  /// Whether there is another row.
  func step() throws(StoreError) -> Bool {
    if let bindFailure { throw connection.error(bindFailure) }
    switch sqlite3_step(handle) {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    case let code: throw connection.error(code)
    }
  }

  /// Indices of parameters start at 1, as SQLite counts them.
  func bind(_ index: Int32, _ value: Int64) { note(sqlite3_bind_int64(handle, index, value)) }

  func bindNull(_ index: Int32) { note(sqlite3_bind_null(handle, index)) }

  /// SQLite copies the text: a native string's bytes need not outlive the call.
  func bind(_ index: Int32, _ value: String) {
    var value = value
    value.withUTF8 { bytes in
      // An empty buffer may have no address, which SQLite would take for NULL.
      bytes.withMemoryRebound(to: CChar.self) { text in
        note(
          sqlite3_bind_text(
            handle, index, text.baseAddress ?? SQLiteStatement.empty, Int32(text.count),
            unsafeBitCast(-1, to: sqlite3_destructor_type.self)))
      }
    }
  }

  func bind(_ index: Int32, _ value: [UInt8]) {
    value.withUnsafeBytes { bytes in
      note(
        sqlite3_bind_blob(
          handle, index, bytes.baseAddress ?? UnsafeRawPointer(SQLiteStatement.empty),
          Int32(bytes.count), unsafeBitCast(-1, to: sqlite3_destructor_type.self)))
    }
  }

  private func note(_ code: Int32) {
    if code != SQLITE_OK { bindFailure = code }
  }

  nonisolated(unsafe) private static let empty: UnsafePointer<CChar> = {
    let empty = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
    empty.initialize(to: 0)
    return UnsafePointer(empty)
  }()

  /// The values of a row to come, from the first parameter on.
  func parameters() -> SQLiteParameters { SQLiteParameters(self) }
}

/// Indices of columns start at 0, as SQLite counts them. A column may hold anything, whatever its type
/// says.
extension SQLiteStatement: RowCells {
  func integer(_ index: Int) -> Int64 {
    guard sqlite3_column_type(handle, Int32(index)) == SQLITE_INTEGER else { return .min }
    return sqlite3_column_int64(handle, Int32(index))
  }

  func isNull(_ index: Int) -> Bool { sqlite3_column_type(handle, Int32(index)) == SQLITE_NULL }

  func text(_ index: Int) -> String? {
    guard sqlite3_column_type(handle, Int32(index)) == SQLITE_TEXT,
      let start = sqlite3_column_text(handle, Int32(index))
    else { return nil }
    let count = Int(sqlite3_column_bytes(handle, Int32(index)))
    return String(validating: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
  }

  func bytes(_ index: Int) -> [UInt8]? {
    guard sqlite3_column_type(handle, Int32(index)) == SQLITE_BLOB else { return nil }
    let start = sqlite3_column_blob(handle, Int32(index))
    let count = Int(sqlite3_column_bytes(handle, Int32(index)))
    // Without memory there is no address, whatever the count.
    guard start != nil || count == 0 else { return nil }
    return Array(UnsafeRawBufferPointer(start: start, count: count))
  }
}

/// Binds a statement's parameters in their order.
struct SQLiteParameters: RowParameters {
  private let statement: SQLiteStatement
  private var index: Int32 = 0

  init(_ statement: SQLiteStatement) { self.statement = statement }

  private mutating func next() -> Int32 {
    index += 1
    return index
  }

  mutating func add(_ value: Int64) { statement.bind(next(), value) }
  mutating func add(_ value: String) { statement.bind(next(), value) }
  mutating func add(_ value: [UInt8]) { statement.bind(next(), value) }
  mutating func addNull() { statement.bindNull(next()) }
}
