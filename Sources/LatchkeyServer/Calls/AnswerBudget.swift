import Synchronization

/// Bounds what all long answers of a server take together, from their first byte being made to their
/// last one being written.
///
/// Each has a ``Share``, which its call keeps: once the answer is out, or nobody waits for it any more,
/// the share is gone and what it took is there for others.
final class AnswerBudget: Sendable {
  /// Bytes of all answers.
  static let bytesMax = 128 << 20

  private let bytesMax: Int
  private let used = Atomic<Int>(0)

  init(bytesMax: Int = AnswerBudget.bytesMax) { self.bytesMax = bytesMax }

  /// A share that has taken nothing yet.
  func share() -> Share { Share(of: self) }

  final class Share: Sendable {
    private let budget: AnswerBudget
    private let taken = Atomic<Int>(0)

    fileprivate init(of budget: AnswerBudget) { self.budget = budget }

    deinit { budget.used.subtract(taken.load(ordering: .relaxed), ordering: .relaxed) }

    /// Takes `count` bytes more; false, and nothing taken, where there are not as many.
    func take(_ count: Int) -> Bool {
      let used = budget.used.wrappingAdd(count, ordering: .relaxed).newValue
      guard used <= budget.bytesMax else {
        budget.used.subtract(count, ordering: .relaxed)
        return false
      }
      taken.wrappingAdd(count, ordering: .relaxed)
      return true
    }
  }
}
