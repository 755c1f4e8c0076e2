package import Storage

/// A database that a test can look into and damage, past the store.
package protocol TestDatabase: Sendable {
  /// Whether columns hold what their types say, and nothing else.
  var isTyped: Bool { get }

  /// An engine of its own for each server, which knows these shapes.
  func engine(_ shapes: KnownShapes) -> any StoreEngine

  /// Writes the columns of s1 as they stand, whatever they say, in the place of the row with its id.
  func put(_ row: S1Row) throws

  func row(forKey key: String) throws -> S1Row?

  /// The columns of newer shapes that are not NULL.
  func cells(forKey key: String) throws -> [String: Cell]

  func set(_ column: String, to cell: Cell, forKey key: String) throws

  /// What is found by ``Terms``, in no order.
  func terms(ofKey key: String) throws -> [String]

  func meta(_ shapes: KnownShapes) throws -> StoreMeta

  func set(_ name: StoreMeta.Name, to value: Int64, note: String) throws
}

extension TestDatabase {
  package var isTyped: Bool { false }
  package func engine() -> any StoreEngine { engine(.all) }
  package var meta: StoreMeta { get throws { try meta(.all) } }
}

/// An engine in the list that the conformance suite runs over.
package struct EngineUnderTest: Sendable, CustomStringConvertible {
  private let name: String
  private let create: @Sendable () throws -> any TestDatabase

  /// - Parameter create: Makes a new, empty database.
  package init(_ name: String, create: @escaping @Sendable () throws -> any TestDatabase) {
    self.name = name
    self.create = create
  }

  package var description: String { name }

  package func newDatabase() throws -> any TestDatabase { try create() }
}

extension S1Row {
  /// Whether some text in it is none: no typed database has that.
  package var hasDamagedText: Bool { key == nil || value == nil || ownerIsDamaged }

  /// A row for tests; what is not said is as in a row that a server of s1 wrote.
  package static func held(
    id: Int64, key: String?, owner: String? = "owner", needsShape: Int64 = 1, token: Int64 = 7,
    revision: Int64 = 9, kind: Int64 = 1, ownerIsDamaged: Bool = false, value: String? = "",
    leaseSeconds: Int64 = 15, freeEpoch: Int64? = nil
  ) -> S1Row {
    S1Row(
      id: id, key: key, needsShape: needsShape, token: token, revision: revision, kind: kind,
      owner: owner, ownerIsDamaged: ownerIsDamaged, value: value, leaseSeconds: leaseSeconds,
      freeEpoch: freeEpoch)
  }
}
