/// What somebody may do.
package enum Right: String, CaseIterable, Sendable, CustomStringConvertible {
  /// See who holds a key: Get, List and their older names.
  case read
  /// Take a key, keep it, and give back what the same identity has taken.
  case hold
  /// Keep or give back what another identity has taken.
  case `break`
  /// See how the server is: /status and /metrics. Not bound to keys.
  case operate

  package var description: String { rawValue }
}
