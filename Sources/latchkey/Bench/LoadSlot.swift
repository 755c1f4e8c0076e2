/// One of the requests that are always under way: a sender with keys of its own, which it claims,
/// renews, fetches and releases in turn.
struct LoadSlot {
  /// What to send next.
  struct Step: Equatable {
    var operation: Operation
    /// Among the slot's keys.
    var index: Int
  }

  let number: Int
  /// As numbers of the whole load.
  let keys: [Int32]
  /// Whether the slot holds each of its keys, or may: where an answer is missing.
  private var isHeld: [Bool]
  private var cursor = 0
  private var generator: SplitMix64

  init(number: Int, workload: Workload) {
    self.number = number
    keys = workload.keys(ofSlot: number).map { Int32($0) }
    isHeld = Array(repeating: false, count: keys.count)
    generator = SplitMix64(seed: workload.seed &+ UInt64(number))
  }

  var heldCount: Int { isHeld.count(where: { $0 }) }

  /// Goes back to the first key, for a pass over all of them.
  mutating func rewind() { cursor = 0 }

  /// A step of the load: the next key in turn.
  mutating func nextStep(of mix: OperationMix) -> Step {
    if cursor >= keys.count { cursor = 0 }
    defer { cursor += 1 }
    let operation = isHeld[cursor] ? mix.operationOnHeld(using: &generator) : .claim
    return Step(operation: operation, index: cursor)
  }

  /// A step of the pass that claims what is not held, or releases what is; nil at its end.
  mutating func nextStep(toHold: Bool) -> Step? {
    while cursor < keys.count {
      defer { cursor += 1 }
      if isHeld[cursor] != toHold {
        return Step(operation: toHold ? .claim : .release, index: cursor)
      }
    }
    return nil
  }

  /// What is known of the key after the answer.
  ///
  /// - Parameter isAnswered: False where nobody knows whether the request was carried out.
  mutating func finished(_ step: Step, succeeded: Bool, isAnswered: Bool) {
    switch step.operation {
    case .fetch: break
    case .release: if isAnswered { isHeld[step.index] = false }
    // A renewal that was refused found the key in other hands.
    case .claim, .renew: isHeld[step.index] = succeeded || !isAnswered
    }
  }
}
