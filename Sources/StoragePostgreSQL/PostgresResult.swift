#if PostgreSQL
  import CPostgres
  import StorageSQL

  /// What a statement brought, in PostgreSQL's binary format.
  package final class PostgresResult: SQLResult {
    private let handle: OpaquePointer
    package let count: Int

    init(_ handle: OpaquePointer) {
      self.handle = handle
      count = Int(PQntuples(handle))
    }

    deinit { PQclear(handle) }

    package subscript(row: Int) -> Row { Row(result: self, row: Int32(row)) }

    package struct Row: SQLRow {
      fileprivate let result: PostgresResult
      fileprivate let row: Int32
      /// Columns before this are the statement's own.
      private(set) var first = 0

      fileprivate init(result: PostgresResult, row: Int32) {
        self.result = result
        self.row = row
      }

      package func dropFirst(_ count: Int) -> Row {
        var rest = self
        rest.first += count
        return rest
      }

      private func raw(_ index: Int) -> UnsafeRawBufferPointer? {
        let column = Int32(first + index)
        guard PQgetisnull(result.handle, row, column) == 0 else { return nil }
        return UnsafeRawBufferPointer(
          start: PQgetvalue(result.handle, row, column),
          count: Int(PQgetlength(result.handle, row, column)))
      }

      package func isNull(_ index: Int) -> Bool { raw(index) == nil }

      /// Integers and truth values of every length.
      package func integer(_ index: Int) -> Int64 {
        guard let raw = raw(index), (1...8).contains(raw.count) else { return .min }
        return raw.dropFirst().reduce(Int64(Int8(bitPattern: raw[0]))) { $0 << 8 | Int64($1) }
      }

      package func text(_ index: Int) -> String? {
        raw(index).flatMap { String(validating: $0, as: UTF8.self) }
      }

      package func bytes(_ index: Int) -> [UInt8]? { raw(index).map { Array($0) } }
    }
  }
#endif
