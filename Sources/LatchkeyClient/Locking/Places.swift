import Synchronization

/// A bound on what is under way at the same time.
final class Places: Sendable {
  private let max: Int
  private let taken = Atomic<Int>(0)

  init(_ max: Int) { self.max = max }

  /// Takes a place where there is one; says whether there was.
  func take() -> Bool {
    if taken.wrappingAdd(1, ordering: .relaxed).newValue <= max { return true }
    giveBack()
    return false
  }

  func giveBack() { taken.subtract(1, ordering: .relaxed) }
}
