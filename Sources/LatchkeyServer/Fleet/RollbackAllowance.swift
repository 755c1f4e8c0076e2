import Storage

/// How many releases a server can be rolled back: for as long, the store keeps the shapes that these
/// releases know.
///
/// Releases that differ only in their last number (0.3.0 and 0.3.1) count as one: whoever skips a
/// correction on the way up must be able to skip it on the way back.
package struct RollbackAllowance: Equatable, Sendable {
  /// Every release with the newest shape that it knows, as in Protocol/releases.json.
  package static let history: [(version: String, newestShape: Int64)] = [
    ("0.1.0", 1), ("0.2.0", 1), ("0.3.0", 2), ("0.3.1", 2), ("0.4.0", 2),
    ("0.5.0", 3), ("0.6.0", 3),
  ]

  /// How many releases before this one; 0 for none.
  package let releases: Int

  package init(releases: Int) { self.releases = max(releases, 0) }

  /// The oldest release that this one may be rolled back to.
  package var release: String { reached.version }
  /// No shape from this one on is given up.
  package var shapeKept: Int64 { reached.newestShape }

  private var reached: (version: String, newestShape: Int64) {
    Self.minors[max(Self.minors.count - 1 - releases, 0)]
  }

  /// The first release of each minor version.
  private static let minors = history.reduce(into: [(version: String, newestShape: Int64)]()) {
    minors, release in
    let isCorrection = minors.last.map { minor(of: $0.version) == minor(of: release.version) }
    if isCorrection != true { minors.append(release) }
  }

  private static func minor(of version: String) -> [Substring] {
    Array(version.split(separator: ".").prefix(2))
  }

  /// The first release that knows a shape.
  static func firstRelease(knowing shape: Int64) -> String {
    history.first { $0.newestShape >= shape }?.version ?? "a newer release"
  }
}
