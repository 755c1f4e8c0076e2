import LockCore
import Storage
import StorageSQL
import Synchronization
import TestKit

/// A database across a network, with a way past the store.
protocol NetworkDatabase: TestDatabase {
  associatedtype Result: SQLResult

  /// Does what an administrator would, in one transaction, and again where servers keep it from being done.
  func run(_ statements: [HandWritten]) throws
  /// Asks for the latest there is.
  func ask(_ text: String, _ values: [RowSet.Value]) throws -> Result
  /// Of the table of resources.
  func existingColumns() throws -> Result
  /// What an INSERT says that gives an id itself.
  static var givingID: String { get }
  /// Has the ids of rows to come be greater than those that were given.
  func givenIDs() throws
}

/// A statement with its values.
struct HandWritten {
  /// With question marks for the values.
  var text: String
  var values: [RowSet.Value] = []
}

/// Runs that no server gets.
private let outsiders = Atomic<Int64>(-1)

extension NetworkDatabase {
  var isTyped: Bool { true }

  /// Does it again where others keep it from being done.
  func repeated<Done>(_ body: () throws -> Done) throws -> Done {
    for _ in 0..<100 {
      do {
        return try body()
      } catch let error as SQLFailure {
        guard error.isConflict else { throw error }
      }
    }
    throw ProgramError("others keep this from being done")
  }

  func run(_ text: String, _ values: [RowSet.Value] = []) throws {
    try run([HandWritten(text: text, values: values)])
  }

  func ask(_ text: String) throws -> Result { try ask(text, []) }

  /// Does it so that nobody goes by what it remembers, and nobody knows which rows were changed: as after more than
  /// the account of changes has room for.
  private func changePastServers(_ text: String, _ values: [RowSet.Value]) throws {
    try run([
      HandWritten(text: text, values: values),
      HandWritten(text: "UPDATE \(ServerRuns.table) SET changes = changes + 1"),
      HandWritten(
        text:
          "INSERT INTO \(ServerRuns.table) (run, changes, commits, settled) VALUES (?, ?, 0, -1)",
        values: [
          .integer(outsiders.wrappingSubtract(1, ordering: .relaxed).newValue),
          .integer(ServerRuns.changesKept),
        ]),
    ])
  }

  func put(_ row: S1Row) throws {
    _ = try engine().openWriter()
    guard let key = row.key, let value = row.value, !row.ownerIsDamaged else {
      throw ProgramError("no typed engine keeps text that is none")
    }
    let cells: [(String, RowSet.Value?)] = [
      ("id", .integer(row.id)), ("resource_key", .text(key)),
      ("needs_shape", .integer(row.needsShape)), ("token", .integer(row.token)),
      ("revision", .integer(row.revision)), ("kind", .integer(row.kind)),
      ("owner", row.owner.map { .text($0) }), ("value", .text(value)),
      ("lease_seconds", .integer(row.leaseSeconds)),
      ("free_epoch", row.freeEpoch.map { .integer($0) }),
    ]
    let places = cells.map { $0.1 == nil ? "NULL" : "?" }
    let values = cells.compactMap(\.1)
    let id = RowSet.Value.integer(row.id)
    if try ask("SELECT 1 FROM \(S1.resourceTable) WHERE id = ?", [id]).count > 0 {
      let all = zip(cells.dropFirst(), places.dropFirst()).map { "\($0.0) = \($1)" }
      try changePastServers(
        "UPDATE \(S1.resourceTable) SET \(all.joined(separator: ", ")) WHERE id = ?",
        values.dropFirst() + [id])
    } else {
      let names = cells.map(\.0).joined(separator: ", ")
      try changePastServers(
        """
        INSERT INTO \(S1.resourceTable) (\(names)) \(Self.givingID)
        VALUES (\(places.joined(separator: ", ")))
        """, values)
    }
    try givenIDs()
  }

  private func ask(_ columns: String, ofKey key: String) throws -> Result {
    try ask("SELECT \(columns) FROM \(S1.resourceTable) WHERE resource_key = ?", [.text(key)])
  }

  func row(forKey key: String) throws -> S1Row? {
    try ask(S1.columnNames.joined(separator: ", "), ofKey: key).first.map { S1Row($0) }
  }

  func cells(forKey key: String) throws -> [String: Cell] {
    let columns = (KnownShapes.all.newer + [S4.self]).flatMap { $0.columns }
    let existing = Set(try existingColumns().rows.compactMap { $0.text(0) })
    let present = columns.filter { existing.contains($0.name) }
    guard !present.isEmpty else { return [:] }
    var cells: [String: Cell] = [:]
    for row in try ask(present.map(\.name).joined(separator: ", "), ofKey: key).rows {
      for (index, column) in present.enumerated() where !row.isNull(index) {
        cells[column.name] =
          column.type == .integer ? .integer(row.integer(index)) : .bytes(row.bytes(index) ?? [])
      }
    }
    return cells
  }

  func set(_ column: String, to cell: Cell, forKey key: String) throws {
    let value: RowSet.Value? =
      switch cell {
      case .integer(let value): .integer(value)
      case .bytes(let bytes): .bytes(bytes)
      case .null: nil
      default: throw ProgramError("no typed engine keeps such a value")
      }
    try changePastServers(
      """
      UPDATE \(S1.resourceTable) SET \(column) = \(value == nil ? "NULL" : "?")
      WHERE resource_key = ?
      """, [value, .text(key)].compactMap(\.self))
  }

  func terms(ofKey key: String) throws -> [String] {
    try ask("SELECT term FROM \(Terms.table) WHERE resource_key = ?", [.text(key)])
      .rows.compactMap { $0.text(0) }
  }

  func meta(_ shapes: KnownShapes) throws -> StoreMeta {
    shapes.meta(try ask("SELECT name, value, note FROM \(S1.metaTable)").rows)
  }

  func set(_ name: StoreMeta.Name, to value: Int64, note: String) throws {
    try changePastServers(
      "UPDATE \(S1.metaTable) SET value = ?, note = ? WHERE name = ?",
      [.integer(value), .text(note), .text(name.text)])
  }
}
