import Storage

/// How many releases a server can be rolled back: for as long, the store keeps the shapes that these
/// releases know.
package struct RollbackAllowance: Equatable, Sendable {
  /// Every release with the newest shape that it knows, as in Protocol/releases.json.
  package static let history: [(version: String, newestShape: Int64)] = [
    ("0.1.0", 1), ("0.2.0", 1), ("0.3.0", 2),
  ]

  /// How many releases before this one; 0 for none.
  package let releases: Int

  package init(releases: Int) { self.releases = max(releases, 0) }

  /// The oldest release that this one may be rolled back to.
  package var release: String { reached.version }
  /// No shape from this one on is given up.
  package var shapeKept: Int64 { reached.newestShape }

  private var reached: (version: String, newestShape: Int64) {
    Self.history[max(Self.history.count - 1 - releases, 0)]
  }

  /// The first release that knows a shape.
  static func firstRelease(knowing shape: Int64) -> String {
    history.first { $0.newestShape >= shape }?.version ?? "a newer release"
  }
}
