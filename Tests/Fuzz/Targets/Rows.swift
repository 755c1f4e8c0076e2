import Storage

/// A row whose columns hold whatever the input says.
func fuzzRows(_ input: UnsafeRawBufferPointer) {
  let row = KnownShapes.all.row(FuzzedCells(input))
  guard let holder = row.record.holder else { return }
  // What is read can be read by those who ask for it.
  _ = holder.content.text
  _ = holder.content.attributes
  _ = holder.labels
}

/// Cells one after the other: a byte for the kind, one for the length, and the value.
private struct FuzzedCells: RowCells {
  private enum Cell {
    case null
    case integer(Int64)
    case bytes([UInt8])
  }

  private var cells: [Cell] = []
  private static let countMax = 64

  init(_ input: UnsafeRawBufferPointer) {
    var rest = input[...]
    while cells.count < Self.countMax, let kind = rest.popFirst() {
      switch kind % 4 {
      case 0: cells.append(.null)
      case 1: cells.append(.integer(Int64(rest.popFirst() ?? 0)))
      case 2:
        let bytes = rest.prefix(8)
        rest = rest.dropFirst(bytes.count)
        cells.append(.integer(bytes.reduce(0) { $0 << 8 | Int64($1) }))
      default:
        let length = Int(rest.popFirst() ?? 0) << (kind > 128 ? 8 : 0)
        let bytes = rest.prefix(length)
        rest = rest.dropFirst(bytes.count)
        cells.append(.bytes(Array(bytes)))
      }
    }
  }

  func integer(_ index: Int) -> Int64 {
    if index < cells.count, case .integer(let value) = cells[index] { return value }
    return .min
  }

  func isNull(_ index: Int) -> Bool {
    guard index < cells.count, case .null = cells[index] else { return index >= cells.count }
    return true
  }

  func text(_ index: Int) -> String? {
    bytes(index).flatMap { String(validating: $0, as: UTF8.self) }
  }

  func bytes(_ index: Int) -> [UInt8]? {
    if index < cells.count, case .bytes(let value) = cells[index] { return value }
    return nil
  }
}
