import Storage

/// The value of a column.
package enum Cell: Equatable, Sendable {
  case null
  case integer(Int64)
  case text(String)
  case bytes([UInt8])
  /// Text that is not UTF-8.
  case damagedText
}

/// Takes the values of a row's columns.
struct CellList: RowParameters {
  private(set) var cells: [Cell] = []

  mutating func add(_ value: Int64) { cells.append(.integer(value)) }
  mutating func add(_ value: String) { cells.append(.text(value)) }
  mutating func add(_ value: [UInt8]) { cells.append(.bytes(value)) }
  mutating func addNull() { cells.append(.null) }
}

/// A row as a list of cells.
struct CellRow: RowCells {
  let cells: [Cell]

  func integer(_ index: Int) -> Int64 {
    if case .integer(let value) = cells[index] { value } else { .min }
  }

  func isNull(_ index: Int) -> Bool { cells[index] == .null }

  func text(_ index: Int) -> String? {
    if case .text(let value) = cells[index] { value } else { nil }
  }

  func bytes(_ index: Int) -> [UInt8]? {
    if case .bytes(let value) = cells[index] { value } else { nil }
  }
}
