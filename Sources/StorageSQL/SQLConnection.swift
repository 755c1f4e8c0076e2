package import Storage

/// A statement with its values.
package protocol SQLStatement: Sendable {
  /// - Parameter text: Has question marks for the values.
  init(filling text: String, _ values: [RowSet.Value])
}

/// A row, whose columns count from 0.
package protocol SQLRow: RowCells {
  /// The same without its first columns.
  func dropFirst(_ count: Int) -> Self
}

/// What a statement brought.
package protocol SQLResult {
  associatedtype Row: SQLRow
  var count: Int { get }
  subscript(row: Int) -> Row { get }
}

extension SQLResult {
  package var rows: some Sequence<Row> { (0..<count).lazy.map { self[$0] } }
  /// Nil where there is none.
  package var first: Row? { count > 0 ? self[0] : nil }
}

/// What kept statements from being done.
package enum SQLFailure: Error {
  /// A statement was refused, and with it its transaction.
  case refused(Refusal)
  /// Nobody knows what was done.
  case lost(String)

  package struct Refusal: Sendable {
    /// As the database has it.
    package var code: String
    package var message: String
    /// What is not as it was when it was decided on: a row that was expected, a key that there is by now, and
    /// what the database itself takes back.
    package var isConflict: Bool

    package init(code: String, message: String, isConflict: Bool) {
      self.code = code
      self.message = message
      self.isConflict = isConflict
    }
  }

  package var isConflict: Bool {
    if case .refused(let refusal) = self { refusal.isConflict } else { false }
  }
}

/// A connection to a database across a network. It belongs to one thread at a time and closes with its owner.
package protocol SQLConnection: AnyObject {
  associatedtype Statement: SQLStatement
  associatedtype Result: SQLResult

  /// Which of the hosts that the database may be at it leads to.
  var hostIndex: Int { get set }
  /// Whether it can be used on: no statement was lost, and its server does what it is there for.
  var isUsable: Bool { get }

  /// Whether what transactions need is set for its session, so that they need not set it.
  var isSessionSet: Bool { get }

  /// Runs `statements`, in their order, as one round trip. What stands behind one that is refused is not done.
  ///
  /// - Returns: The results, in the same order.
  func run(_ statements: [Statement]) throws(SQLFailure) -> [Result]
}
