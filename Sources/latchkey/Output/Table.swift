/// Rows of text under headings, in columns that are as wide as their widest cell.
struct Table {
  enum Alignment: Sendable { case left, right }

  private static let gap = "  "

  private let columns: [(heading: String, alignment: Alignment)]
  private var rows: [[String]] = []

  /// - Parameter columns: Their headings; a table without any starts with its first row.
  init(_ columns: [(heading: String, alignment: Alignment)]) {
    self.columns = columns.map { ($0.heading.escapingControls(), $0.alignment) }
  }

  init(_ headings: String...) {
    columns = headings.map { ($0, .left) }
  }

  /// Adds a row with a cell for each column. Control characters are shown, not sent to the
  /// terminal: whoever may hold a lock may not steer the terminals of those who look at it.
  mutating func append(_ cells: [String]) {
    precondition(cells.count == columns.count, "a row of \(cells.count) cells")
    rows.append(cells.map { $0.escapingControls() })
  }

  /// The lines.
  ///
  /// - Parameter width: Where to cut them off, in columns of a terminal; nil for nowhere.
  func lines(width: Int? = nil) -> [String] {
    let headings = columns.map(\.heading)
    let all = headings.allSatisfy(\.isEmpty) ? rows : [headings] + rows
    let widths = columns.indices.map { column in all.map { $0[column].columns }.max() ?? 0 }
    return all.map { cells in
      var line = ""
      for (column, cell) in cells.enumerated() {
        if column > 0 { line += Self.gap }
        let fill = String(repeating: " ", count: widths[column] - cell.columns)
        switch columns[column].alignment {
        case .right: line += fill + cell
        case .left: line += cell + fill
        }
      }
      while line.last == " " { line.removeLast() }
      return width.map { line.clipped(toColumns: $0) } ?? line
    }
  }
}

extension String {
  /// The text with control characters, and those that change the direction of writing, written out
  /// as escapes.
  func escapingControls() -> String {
    guard unicodeScalars.contains(where: \.isControl) else { return self }
    var text = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "\n": text += "\\n"
      case "\t": text += "\\t"
      case _ where scalar.isControl: text += "\\u{" + hexadecimal(scalar, digits: 1) + "}"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }

  /// How many columns of a terminal the text takes.
  var columns: Int {
    // Most text is ASCII without control characters.
    utf8.allSatisfy { $0 < 0x80 } ? utf8.count : reduce(0) { $0 + $1.columns }
  }

  /// The text, or its beginning and "…" where it is longer than `limit` columns.
  func clipped(toColumns limit: Int) -> String {
    guard columns > limit else { return self }
    var text = ""
    var used = 0
    for character in self {
      guard used + character.columns < limit else { break }
      text.append(character)
      used += character.columns
    }
    return text + "…"
  }
}

extension Character {
  /// 2 for the wide ones of East Asia and pictures (Unicode Standard Annex 11), in rough ranges; 1
  /// for all others.
  fileprivate var columns: Int {
    switch unicodeScalars.first!.value {
    case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff,
      0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1faff, 0x20000...0x3fffd:
      2
    default: 1
    }
  }
}

extension Unicode.Scalar {
  /// Whether it steers a terminal, ends a line, or reorders the text around it (Bidi_Control, UAX 9).
  var isControl: Bool {
    switch properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: true
    case .format:
      switch value {
      case 0x61c, 0x200e...0x200f, 0x202a...0x202e, 0x2066...0x2069: true
      default: false
      }
    default: false
    }
  }
}
