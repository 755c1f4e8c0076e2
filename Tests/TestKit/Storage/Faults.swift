import Dispatch
package import Storage
import Exclusion

/// Where a ``FaultyEngine`` may fail.
package enum FaultPoint: String, CaseIterable, Sendable {
  case openWriter, openReader
  /// After a statement of a migration, which is done.
  case migrate
  /// Of the connection that writes commands: what is read, and what is written.
  case facts, apply
  /// The same of the upkeep's, where it has one of its own.
  case upkeepFacts, upkeepApply
  case changes
  /// Of a reading connection.
  case read, moment
}

/// What happens there.
package enum Fault: String, CaseIterable, Sendable {
  /// An error, and nothing was done.
  case notDone
  /// An error, though it was done: the answer was lost.
  case doneAll
  /// An error, and the connection is good for nothing any more.
  case connectionLost

  package static let error = StoreError(.unavailable, "an injected fault")
}

/// Which calls of a ``FaultyEngine`` fail, and where it waits.
package final class FaultPlan: Sendable {
  private struct State {
    var scripted: [FaultPoint: [(skip: Int, fault: Fault)]] = [:]
    var chance: (generator: SeededGenerator, percent: Int)?
    var gates: [FaultPoint: Gate] = [:]
    var injected = 0
    var isNextFoundOutElsewhere = false
  }

  private let state = Mutex(State())

  package init() {}

  /// How many faults there were.
  package var injected: Int { state.withLock { $0.injected } }

  /// The next call at `point`, after `skip` others, fails.
  package func fail(_ point: FaultPoint, _ fault: Fault = .notDone, skip: Int = 0, times: Int = 1) {
    state.withLock {
      $0.scripted[point, default: []].append((skip, fault))
      for _ in 1..<times { $0.scripted[point]!.append((0, fault)) }
    }
  }

  /// The next transaction of commands is not done, which is found out over another connection.
  package func loseNextTransaction() { state.withLock { $0.isNextFoundOutElsewhere = true } }

  func isFoundOutElsewhere() -> Bool {
    state.withLock { state in
      defer { state.isNextFoundOutElsewhere = false }
      return state.isNextFoundOutElsewhere
    }
  }

  /// From now on each call fails with a chance of `percent`, as the seed has it.
  package func failAtRandom(seed: UInt64, percent: Int) {
    state.withLock { $0.chance = (SeededGenerator(seed: seed), percent) }
  }

  /// All is well again.
  package func clear() {
    state.withLock {
      $0.scripted = [:]
      $0.chance = nil
      $0.gates = [:]
      $0.isNextFoundOutElsewhere = false
    }
  }

  /// The next call at `point` waits for the gate to be opened.
  package func hold(_ point: FaultPoint) -> Gate {
    let gate = Gate()
    state.withLock { $0.gates[point] = gate }
    return gate
  }

  func arrive(at point: FaultPoint) -> Fault? {
    state.withLock { $0.gates.removeValue(forKey: point) }?.pass()
    return state.withLock { state in
      guard let fault = Self.choose(at: point, &state) else { return nil }
      state.injected += 1
      return fault
    }
  }

  private static func choose(at point: FaultPoint, _ state: inout State) -> Fault? {
    if let next = state.scripted[point]?.first {
      if next.skip == 0 {
        state.scripted[point]!.removeFirst()
        return next.fault
      }
      state.scripted[point]![0].skip -= 1
    }
    guard state.chance != nil,
      Int.random(in: 0..<100, using: &state.chance!.generator) < state.chance!.percent
    else { return nil }
    return Fault.allCases.randomElement(using: &state.chance!.generator)
  }
}

/// Holds a thread of the store until a test lets it go on: a delay without a clock.
package final class Gate: Sendable {
  private let opening = DispatchSemaphore(value: 0)
  private let arrivals: AsyncStream<Void>
  private let arrived: AsyncStream<Void>.Continuation

  init() { (arrivals, arrived) = AsyncStream.makeStream() }

  func pass() {
    arrived.finish()
    opening.wait()
  }

  /// Returns when the thread is there.
  package func arrival() async { for await _ in arrivals {} }

  package func open() { opening.signal() }
}
