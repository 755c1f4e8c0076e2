import Dispatch
package import LockCore
package import Storage
import Exclusion

extension Store {
  /// Submits `command` and waits for its result.
  package func perform(
    _ command: Command, deadline: MonotonicTime? = nil, isWanted: Bool = true
  ) async -> StoreResult {
    await withCheckedContinuation {
      submit(command, deadline: deadline, call: AwaitedCall($0, isWanted: isWanted))
    }
  }

  /// Asks `query` and waits for its answer.
  package func ask(
    _ query: Query, deadline: MonotonicTime? = nil, isWanted: Bool = true
  ) async -> StoreResult {
    await withCheckedContinuation {
      ask(query, deadline: deadline, call: AwaitedCall($0, isWanted: isWanted))
    }
  }
}

extension Store {
  /// Submits `commands` in their order, says so, and waits for all results.
  package func perform(
    _ commands: [Command], submitted: @Sendable () -> Void = {}
  ) async -> [StoreResult] {
    await withCheckedContinuation { continuation in
      let answers = JointAnswers(count: commands.count, continuation)
      for (index, command) in commands.enumerated() {
        submit(command, call: JointCall(index: index, answers))
      }
      submitted()
    }
  }
}

extension Store {
  /// Submits `command` and holds the calling thread up until it is done.
  func performBlocking(_ command: Command) {
    let done = DispatchSemaphore(value: 0)
    submit(command, call: BlockingCall(done))
    done.wait()
  }
}

private final class BlockingCall: StoreCall {
  let isWanted = true
  private let done: DispatchSemaphore

  init(_ done: DispatchSemaphore) { self.done = done }

  var replyTarget: any ReplyTarget { DirectTarget.shared }

  func complete(_ result: StoreResult) { done.signal() }
}

/// The results of several calls, in the order of the calls.
private final class JointAnswers: Sendable {
  private let continuation: CheckedContinuation<[StoreResult], Never>
  private let state: Mutex<(results: [StoreResult?], missing: Int)>

  init(count: Int, _ continuation: CheckedContinuation<[StoreResult], Never>) {
    self.continuation = continuation
    state = Mutex((Array(repeating: nil, count: count), count))
  }

  func add(_ result: StoreResult, at index: Int) {
    let all = state.withLock { state in
      state.results[index] = result
      state.missing -= 1
      return state.missing == 0 ? state.results : nil
    }
    if let all { continuation.resume(returning: all.map { $0! }) }
  }
}

private final class JointCall: StoreCall {
  let isWanted = true
  private let index: Int
  private let answers: JointAnswers

  init(index: Int, _ answers: JointAnswers) {
    self.index = index
    self.answers = answers
  }

  var replyTarget: any ReplyTarget { DirectTarget.shared }

  func complete(_ result: StoreResult) { answers.add(result, at: index) }
}

private final class AwaitedCall: StoreCall {
  let isWanted: Bool
  private let continuation: CheckedContinuation<StoreResult, Never>

  init(_ continuation: CheckedContinuation<StoreResult, Never>, isWanted: Bool = true) {
    self.continuation = continuation
    self.isWanted = isWanted
  }

  var replyTarget: any ReplyTarget { DirectTarget.shared }

  func complete(_ result: StoreResult) { continuation.resume(returning: result) }
}

/// Completes each call where it stands, on the store's thread.
package final class DirectTarget: ReplyTarget {
  package static let shared = DirectTarget()

  package func deliver(_ replies: [Reply]) {
    for reply in replies { reply.complete() }
  }
}

/// Collects a list, up to a bound.
package final class RecordCollector: RecordSink {
  private let max: Int
  private let isNeeded: Bool
  private let asked = Mutex(0)
  private let collected = Mutex<[LockRecord]>([])
  private let pages = Mutex(0)
  private let onPage: @Sendable (Int) -> Void

  /// - Parameter onPage: Called on the reading thread with the number of each page, from 1 on, before the next
  ///   one is read.
  package init(
    max: Int = .max, isWanted: Bool = true, onPage: @escaping @Sendable (Int) -> Void = { _ in }
  ) {
    self.max = max
    isNeeded = isWanted
    self.onPage = onPage
  }

  package var isWanted: Bool {
    asked.withLock { $0 += 1 }
    return isNeeded
  }

  /// How many pages were about to be read.
  package var pagesBegun: Int { asked.withLock { $0 } }

  package var records: [LockRecord] { collected.withLock { $0 } }

  package func append(_ records: [LockRecord]) -> Bool {
    let page = pages.withLock { pages in
      pages += 1
      return pages
    }
    defer { onPage(page) }
    return collected.withLock {
      $0 += records
      return $0.count < max
    }
  }
}
