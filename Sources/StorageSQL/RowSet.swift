import Storage

/// Rows that one statement writes, or finds: the values of its parameters, row by row.
package struct RowSet: RowParameters, Equatable, Sendable {
  package struct Column: Equatable, Sendable {
    package enum Kind: Sendable {
      case integer, text, bytes
    }

    package let name: String
    package let kind: Kind

    init(_ name: String, _ kind: Kind) {
      self.name = name
      self.kind = kind
    }
  }

  package enum Value: Equatable, Sendable {
    case integer(Int64)
    case text(String)
    case bytes([UInt8])
    case null
  }

  package let columns: [Column]
  /// Those of the first row, in the order of the columns; then those of the next.
  package private(set) var values: [Value] = []

  init(_ columns: [Column]) { self.columns = columns }

  package var count: Int { values.count / columns.count }
  package var isEmpty: Bool { values.isEmpty }

  /// Separated by commas.
  package var names: String { columns.map(\.name).joined(separator: ", ") }

  /// The values of one column.
  package func values(of column: Int) -> [Value] {
    stride(from: column, to: values.count, by: columns.count).map { values[$0] }
  }

  package mutating func add(_ value: Int64) { values.append(.integer(value)) }
  package mutating func add(_ value: String) { values.append(.text(value)) }
  package mutating func add(_ value: [UInt8]) { values.append(.bytes(value)) }
  package mutating func addNull() { values.append(.null) }
}
