import Synchronization

/// Keeps lists of one moment from following each other so closely that the store's log never gets
/// to begin anew: each reads from one snapshot for as long as it takes, and the log has to keep
/// what it may need.
final class LogGate: Sendable {
  private let isPauseWanted = Atomic<Bool>(false)
  private let isPassing = Atomic<Bool>(false)

  /// Whether such a list is being read: to wait for it would keep everybody from writing.
  var isHeld: Bool { isPassing.load(ordering: .acquiring) }

  /// Has lists that have not begun wait until this is taken back.
  func wantPause(_ isWanted: Bool) { isPauseWanted.store(isWanted, ordering: .releasing) }

  /// Runs `body`, which reads from one snapshot, after a pause that is wanted. Called by one
  /// thread.
  func pass(waitNanosecondsMax: Int64, _ body: () -> Void) {
    leaveRoom(waitNanosecondsMax: waitNanosecondsMax)
    isPassing.store(true, ordering: .releasing)
    body()
    isPassing.store(false, ordering: .releasing)
  }

  /// Waits out a pause that is wanted, before something that reads from one snapshot for a short
  /// time. While a list of one moment is being read the log cannot begin anew anyhow, and nothing
  /// waits.
  func leaveRoom(waitNanosecondsMax: Int64) {
    var waited: Int64 = 0
    while isPauseWanted.load(ordering: .acquiring), !isHeld, waited < waitNanosecondsMax {
      BlockingThread.sleep(nanoseconds: Self.lookNanoseconds)
      waited += Self.lookNanoseconds
    }
  }

  private static let lookNanoseconds: Int64 = 1_000_000
}
