import Synchronization

/// What the long answers of a server may take together. Each kind has room of its own: peers that are
/// slow to read one kind do not keep others from the rest, least of all from renewing.
struct AnswerBudgets: Sendable {
  /// One room for each kind.
  struct Kinds<Room: Sendable>: Sendable {
    var lists: Room
    var resources: Room
    var renewals: Room
  }

  private let server: Kinds<AnswerBudget>

  init() {
    server = Kinds(
      lists: AnswerBudget(bytesMax: AnswerBudget.listBytesMax),
      resources: AnswerBudget(bytesMax: AnswerBudget.resourceBytesMax),
      renewals: AnswerBudget(bytesMax: AnswerBudget.renewalBytesMax))
  }

  /// Bytes that are taken at the moment.
  var bytesUsed: Int {
    server.lists.bytesUsed + server.resources.bytesUsed + server.renewals.bytesUsed
  }

  /// What one connection may take.
  func ofConnection() -> Kinds<AnswerBudget> {
    Kinds(
      lists: AnswerBudget(of: server.lists), resources: AnswerBudget(of: server.resources),
      renewals: AnswerBudget(of: server.renewals))
  }
}

/// Bounds what the long answers of one kind take together, those of a server or of one of its
/// connections, from their first byte being made to their last one being written.
///
/// Each has a ``Share``, which its call keeps: once the answer is out, or nobody waits for it any
/// more, the share is gone and what it took is there for others.
final class AnswerBudget: Sendable {
  /// Bytes of all lists of the server.
  static let listBytesMax = 256 << 20
  /// Bytes of all long answers with one resource.
  static let resourceBytesMax = 128 << 20
  /// Bytes of all long answers to renewals: those of twenty requests of the largest.
  static let renewalBytesMax = 128 << 20
  /// Bytes of all long answers of one kind on one connection: those of the longest list.
  static let connectionBytesMax = 64 << 20
  /// Answers up to this size do not count.
  static let shortAnswerBytesMax = 4_096

  /// A connection takes at most what remains free, divided by this: however many are slow to read,
  /// something is left for the next one. The longest list just fits where nobody else has any.
  private static let freePerConnection = 3

  private let bytesMax: Int
  private let parent: AnswerBudget?
  private let isOfConnection: Bool
  private let used = Atomic<Int>(0)

  /// - Parameter parent: What is taken here is taken there as well.
  init(bytesMax: Int, parent: AnswerBudget? = nil) {
    self.bytesMax = bytesMax
    self.parent = parent
    isOfConnection = false
  }

  /// A connection's part of `server`.
  init(of server: AnswerBudget) {
    bytesMax = Self.connectionBytesMax
    parent = server
    isOfConnection = true
  }

  /// Bytes that are taken at the moment.
  var bytesUsed: Int { used.load(ordering: .relaxed) }

  /// A share that has taken nothing yet.
  func share() -> Share { Share(of: self) }

  private var bytesFree: Int { bytesMax - bytesUsed }

  private func take(_ count: Int) -> Bool {
    let used = used.wrappingAdd(count, ordering: .relaxed).newValue
    guard used <= bytesMax, parent?.take(count) ?? true else {
      self.used.subtract(count, ordering: .relaxed)
      return false
    }
    guard !isOfConnection || used <= parent!.bytesFree / Self.freePerConnection else {
      giveBack(count)
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

    /// Gives back all but `count` bytes, where it has more.
    func keep(_ count: Int) {
      let surplus = taken.load(ordering: .relaxed) - count
      guard surplus > 0 else { return }
      taken.subtract(surplus, ordering: .relaxed)
      budget.giveBack(surplus)
    }
  }
}
