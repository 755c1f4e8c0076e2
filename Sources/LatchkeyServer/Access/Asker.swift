import Access
import WireSchema

/// Who asks, and what they may.
struct Asker {
  /// Nil for who has proved nothing.
  let identity: Identity?
  /// Nil where nobody's rights are looked at.
  let permissions: Permissions?

  /// As people call it.
  var name: String { identity?.name ?? "nobody who is known" }

  func may(_ right: Right, on key: String = "") -> Bool {
    permissions?.may(right, on: key) ?? true
  }

  /// What it is told where it may not do something, whether or not there is anything.
  func denied(_ right: Right, on key: String) -> WireError {
    WireError(.permissionDenied, Self.word, "\(name) may not \(right) \"\(key)\"")
  }

  static let word = "permission-denied"
}
