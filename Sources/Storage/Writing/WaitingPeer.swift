package import LockCore
import Synchronization

/// Who stands behind calls that wait, as one connection: when it was last heard.
///
/// A process that is suspended keeps its sockets, and its kernel acknowledges what it is sent. So only
/// what the process itself sends, such as the answer to a PING, tells that a grant would reach anybody.
///
/// `@unchecked Sendable`: what is not atomic or constant is the writing thread's alone, as said below.
package final class WaitingPeer: @unchecked Sendable {
  private let heardAt: Atomic<Int64>
  /// Whether the writing thread wants to know of the next sign of life.
  private let isAwaited = Atomic<Bool>(false)

  // The writing thread's own.

  /// When it was last asked.
  private(set) var askedAt: MonotonicTime?
  /// The turn in which an awaited sign of life was told. It counts in that turn, however long ago it
  /// came: a slow disk makes turns late.
  var toldAt: MonotonicTime?
  /// Free keys that its sign of life decides about: it is the first in their lines.
  var awaitedKeys: Set<NameBytes> = []
  /// Its places in lines that are passed over until it shows life.
  var placesAside: [UInt64] = []

  /// - Parameter now: When it was heard, on the store's clock.
  package init(heardAt now: MonotonicTime) { heardAt = Atomic(now.nanoseconds) }

  /// Notes a sign of life. On any thread.
  ///
  /// - Returns: Whether the store is to be told, with ``Store/heard(_:)``.
  package func showsLife(at now: MonotonicTime) -> Bool {
    // In one order with `awaitSign()`: one of both threads sees what the other wrote.
    heardAt.store(now.nanoseconds, ordering: .sequentiallyConsistent)
    return isAwaited.load(ordering: .sequentiallyConsistent)
      && isAwaited.exchange(false, ordering: .relaxed)
  }

  /// Nobody can tell whether it is alive: from now on it counts as living. On any thread.
  ///
  /// - Returns: As ``showsLife(at:)``.
  package func cannotBeAsked() -> Bool { showsLife(at: MonotonicTime(nanoseconds: .max)) }

  // On the writing thread.

  var lastHeard: MonotonicTime {
    MonotonicTime(nanoseconds: heardAt.load(ordering: .sequentiallyConsistent))
  }

  /// Whether it was asked and has not been heard since.
  var owesAnswer: Bool { askedAt.map { lastHeard < $0 } ?? false }

  /// Has the store told of the next sign of life. One that came just before may go untold: look once
  /// more after this.
  func awaitSign() { isAwaited.store(true, ordering: .sequentiallyConsistent) }

  /// Notes that it is being asked.
  func wasAsked(at now: MonotonicTime) { askedAt = now }

  /// The question did not get to it.
  func wasNotAsked() { askedAt = nil }
}
