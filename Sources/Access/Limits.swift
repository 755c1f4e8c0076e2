/// How much one identity may use; nil for as much as it likes.
package struct Limits: Sendable, Hashable {
  /// Keys that it holds at the same time, in the whole store.
  package var held: Int?
  /// Its requests that wait, at each server.
  package var waiting: Int?
  /// Its requests in a second, at each server.
  package var requests: Int?

  package init(held: Int? = nil, waiting: Int? = nil, requests: Int? = nil) {
    self.held = held
    self.waiting = waiting
    self.requests = requests
  }

  package static let max = 1_000_000_000

  /// As they are called in a policy.
  enum Name: String, CaseIterable {
    case held, waiting, requests
  }

  subscript(name: Name) -> Int? {
    get {
      switch name {
      case .held: held
      case .waiting: waiting
      case .requests: requests
      }
    }
    set {
      switch name {
      case .held: held = newValue
      case .waiting: waiting = newValue
      case .requests: requests = newValue
      }
    }
  }
}
