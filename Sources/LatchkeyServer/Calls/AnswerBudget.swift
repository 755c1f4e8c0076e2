import Synchronization

/// Bounds what the long answers of a server, and of each of its connections, take together, from
/// their first byte being made to their last one being written.
///
/// Each has a ``Share``, which its call keeps: once the answer is out, or nobody waits for it any more,
/// the share is gone and what it took is there for others.
final class AnswerBudget: Sendable {
  /// Bytes of all long answers of the server.
  static let serverBytesMax = 256 << 20
  /// Bytes of all long answers of one connection: those of the longest one.
  static let connectionBytesMax = 64 << 20
  /// Answers up to this size do not count.
  static let shortAnswerBytesMax = 4_096

  private let bytesMax: Int
  private let parent: AnswerBudget?
  private let used = Atomic<Int>(0)

  /// - Parameter parent: What is taken here is taken there as well.
  init(bytesMax: Int, parent: AnswerBudget? = nil) {
    self.bytesMax = bytesMax
    self.parent = parent
  }

  /// Bytes that are taken at the moment.
  var bytesUsed: Int { used.load(ordering: .relaxed) }

  /// A share that has taken nothing yet.
  func share() -> Share { Share(of: self) }

  private func take(_ count: Int) -> Bool {
    let used = used.wrappingAdd(count, ordering: .relaxed).newValue
    guard used <= bytesMax, parent?.take(count) ?? true else {
      self.used.subtract(count, ordering: .relaxed)
      return false
    }
    return true
  }

  private func giveBack(_ count: Int) {
    used.subtract(count, ordering: .relaxed)
    parent?.giveBack(count)
  }

  final class Share: Sendable {
    private let budget: AnswerBudget
    private let taken = Atomic<Int>(0)

    fileprivate init(of budget: AnswerBudget) { self.budget = budget }

    deinit { budget.giveBack(taken.load(ordering: .relaxed)) }

    /// Takes `count` bytes more; false, and nothing taken, where there are not as many.
    func take(_ count: Int) -> Bool {
      guard budget.take(count) else { return false }
      taken.wrappingAdd(count, ordering: .relaxed)
      return true
    }
  }
}
