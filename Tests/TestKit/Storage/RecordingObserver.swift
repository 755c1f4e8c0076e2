package import Exclusion
package import LockCore
package import Storage

/// Keeps what the store tells its observer, and lets a test wait for it.
package final class RecordingObserver: StoreObserver {
  package struct Totals: Sendable {
    package var transactions = 0
    package var commands = 0
    package var expiries = 0
    package var failures = 0
    package var latestFailure: StoreError?
    package var conflicts = 0
    package var histories = 0
    package var setbacks: [Int] = []
    package var recoveries = 0
    package var storesMade = 0
    package var outagesEnded = 0
    package var scanFailures = 0
    package var stallBeginnings = 0
    package var stalls = 0
    package var stallsOfStore = 0
    package var skipped: [String] = []
    /// Of those, how many were told, and for how many more.
    package var told: [Int] = []
    package var remarks: [String] = []
    package var logBytes: Int64 = 0
    package var logBytesMax: Int64 = 0
    package var longLogs: [Int64] = []
    package var collected = 0
    package var filled = 0
    package var failedUpkeeps = 0
    package var oldestShape = S1.number
    package var turns = 0
    package var locks = 0
    package var presences = 0
    package var waiting = 0
  }

  private struct Waiter {
    let id: Int
    let condition: @Sendable (Totals) -> Bool
    let continuation: CheckedContinuation<Void, Never>
  }

  private struct State {
    var totals = Totals()
    var waiting: [Waiter] = []
    var waiters = 0
  }

  private let state = Mutex(State())

  package init() {}

  /// What becomes of grants, as it was told, and why nothing is to be granted.
  package let events = Mutex<[GrantEvent]>([])
  package let refusing = Mutex<StoreError?>(nil)
  package var wantsEvents: Bool { true }
  package var refusal: StoreError? { refusing.withLock { $0 } }
  package func happened(_ events: [GrantEvent], isCertain: Bool) -> Bool {
    self.events.withLock { $0 += events }
    return refusing.withLock { $0 == nil }
  }

  package var totals: Totals { state.withLock { $0.totals } }

  /// Returns as soon as `condition` holds. The test's own time limit cancels a wait in vain.
  package func reaches(_ condition: @escaping @Sendable (Totals) -> Bool) async {
    let id = state.withLock { state in
      state.waiters += 1
      return state.waiters
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if Task.isCancelled || condition(state.totals) { return true }
          state.waiting.append(Waiter(id: id, condition: condition, continuation: continuation))
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        let index = state.waiting.firstIndex { $0.id == id }
        return index.map { state.waiting.remove(at: $0) }
      }
      waiter?.continuation.resume()
    }
  }

  private func note(_ change: (inout Totals) -> Void) {
    let met = state.withLock { state in
      change(&state.totals)
      let totals = state.totals
      let met = state.waiting.filter { $0.condition(totals) }
      if !met.isEmpty { state.waiting.removeAll { $0.condition(totals) } }
      return met
    }
    for waiter in met { waiter.continuation.resume() }
  }

  package func waiting(_ count: Int) { note { $0.waiting = count } }

  package func committed(commands: Int, expiries: Int, nanoseconds: Int64) {
    note {
      $0.transactions += 1
      $0.commands += commands
      $0.expiries += expiries
    }
  }

  package func failed(_ error: StoreError) {
    note {
      $0.failures += 1
      $0.latestFailure = error
    }
  }

  package func historyChanged() { note { $0.histories += 1 } }
  package func wentBack(putBack: Int) { note { $0.setbacks.append(putBack) } }
  package func conflicted() { note { $0.conflicts += 1 } }
  package func recovered() { note { $0.recoveries += 1 } }
  package func outageEnded() { note { $0.outagesEnded += 1 } }
  package func scanned() {}
  package func scanFailed(_ error: StoreError) { note { $0.scanFailures += 1 } }

  package func holding(locks: Int, presences: Int) {
    note {
      $0.turns += 1
      $0.locks = locks
      $0.presences = presences
    }
  }

  package func stallBegan(nanoseconds: Int64) { note { $0.stallBeginnings += 1 } }
  package func stalled(nanoseconds: Int64, isOfStore: Bool) {
    note {
      $0.stalls += 1
      if isOfStore { $0.stallsOfStore += 1 }
    }
  }
  package func skipped(damage: String, untold: Int?) {
    note {
      $0.skipped.append(damage)
      if let untold { $0.told.append(untold) }
    }
  }
  package func madeStore() { note { $0.storesMade += 1 } }
  package func remarked(_ remark: String) { note { $0.remarks.append(remark) } }
  package func logTakes(bytes: Int64) {
    note {
      $0.logBytes = bytes
      $0.logBytesMax = max($0.logBytesMax, bytes)
    }
  }
  package func logIsLong(bytes: Int64) { note { $0.longLogs.append(bytes) } }
  package func collected(rows: Int) { note { $0.collected += rows } }
  package func upkeepFailed(_ error: StoreError) { note { $0.failedUpkeeps += 1 } }
  package func filled(rows: Int) { note { $0.filled += rows } }
  package func gaveUpShapes(before shape: Int64) { note { $0.oldestShape = shape } }
}
