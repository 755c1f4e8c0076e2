import Storage

/// What every engine must do, as seen through a ``Store`` on it: the same rows, decisions and
/// promises, whatever the database.
///
/// A test target runs each of ``checks`` on each ``EngineUnderTest`` that it knows.
package enum StoreConformance {
  package struct Check: Sendable, CustomStringConvertible {
    package let description: String
    private let body: @Sendable (any TestDatabase) async throws -> Void

    init(_ description: String, _ body: @escaping @Sendable (any TestDatabase) async throws -> Void)
    {
      self.description = description
      self.body = body
    }

    /// Runs the check on a new, empty database.
    package func run(on engine: EngineUnderTest) async throws {
      try await body(engine.newDatabase())
    }
  }

  package static let checks: [Check] =
    claimChecks + tokenChecks + newerShapeChecks + fleetChecks + readChecks + damageChecks
    + boundChecks + sharedShapeChecks + termChecks + identityChecks
}
