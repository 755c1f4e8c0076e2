#if MariaDB
  import CMariaDB
  import StorageSQL

  /// What a statement brought, as text.
  package final class MariaDBResult: SQLResult {
    private let handle: UnsafeMutablePointer<MYSQL_RES>?
    private let columns: Int
    /// Row by row; they point into what the handle holds.
    private let cells: [UnsafeRawBufferPointer?]

    /// - Parameter handle: Nil for a statement that brings no rows.
    init(_ handle: UnsafeMutablePointer<MYSQL_RES>?) {
      self.handle = handle
      columns = handle.map { Int(mysql_num_fields($0)) } ?? 0
      var cells: [UnsafeRawBufferPointer?] = []
      if let handle {
        cells.reserveCapacity(columns * Int(mysql_num_rows(handle)))
        while let row = mysql_fetch_row(handle), let lengths = mysql_fetch_lengths(handle) {
          for column in 0..<columns {
            cells.append(
              row[column].map { UnsafeRawBufferPointer(start: $0, count: Int(lengths[column])) })
          }
        }
      }
      self.cells = cells
    }

    deinit { if let handle { mysql_free_result(handle) } }

    package var count: Int { columns == 0 ? 0 : cells.count / columns }

    package subscript(row: Int) -> Row { Row(result: self, start: row * columns) }

    package struct Row: SQLRow {
      fileprivate let result: MariaDBResult
      /// Where its columns start; those before are other rows', or the statement's own.
      fileprivate var start: Int

      package func dropFirst(_ count: Int) -> Row { Row(result: result, start: start + count) }

      private func raw(_ index: Int) -> UnsafeRawBufferPointer? { result.cells[start + index] }

      package func isNull(_ index: Int) -> Bool { raw(index) == nil }

      package func integer(_ index: Int) -> Int64 {
        guard let raw = raw(index) else { return .min }
        var digits = raw[...]
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative { digits = digits.dropFirst() }
        guard (1...18).contains(digits.count) else { return longInteger(raw) }
        var value: Int64 = 0
        for digit in digits {
          guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return .min }
          value = value * 10 + Int64(digit - UInt8(ascii: "0"))
        }
        return isNegative ? -value : value
      }

      private func longInteger(_ raw: UnsafeRawBufferPointer) -> Int64 {
        Int64(String(decoding: raw, as: UTF8.self)) ?? .min
      }

      package func text(_ index: Int) -> String? {
        raw(index).flatMap { String(validating: $0, as: UTF8.self) }
      }

      package func bytes(_ index: Int) -> [UInt8]? { raw(index).map { Array($0) } }
    }
  }
#endif
