package import NIOCore

/// Connections that go on when others of their event loop had their turn: those of which more has come
/// than may be done at once.
///
/// NIO does what it was told to do at once, and whatever is due, before it looks at its sockets again. So
/// nobody else is served before a task that is to run at once, nor where several tasks follow each other.
/// Here those who wait go on for ``timeMax``, a moment after the ones before.
///
/// Belongs to one event loop.
package final class Turns {
  /// From one turn to the next: long enough for the loop to see that nothing is due.
  package static let pause = TimeAmount.microseconds(100)
  /// After how long in a turn no other connection goes on.
  package static let timeMax = TimeAmount.milliseconds(1)
  /// How long a pass over the sockets may take while nobody waits, until the connections that come next
  /// have to. Much more than the pause, so that waiting costs little of the work that is done.
  package static let passTimeMax = TimeAmount.milliseconds(20)

  private let eventLoop: any EventLoop
  private var waiting = CircularBuffer<() -> Void>()
  private var isPlanned = false
  /// When the loop's pass over its sockets came to the first that asked for ``isTimeLeft``.
  private var passStart: NIODeadline?

  package init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  /// Calls `goOn` when the sockets have been looked at, and those who waited before have gone on.
  package func wait(_ goOn: @escaping () -> Void) {
    waiting.append(goOn)
    planNext()
  }

  /// Whether a connection may take as long as it wants to: nobody waits, and the pass over the sockets has
  /// not been long so far.
  package var isTimeLeft: Bool {
    guard waiting.isEmpty else { return false }
    let now = eventLoop.now
    if let passStart { return now - passStart < Self.passTimeMax }
    passStart = now
    // Comes after all sockets that the loop has found.
    eventLoop.assumeIsolated().execute { [self] in passStart = nil }
    return true
  }

  private func planNext() {
    guard !isPlanned, !waiting.isEmpty else { return }
    isPlanned = true
    eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { [self] in
      let start = eventLoop.now
      var left = waiting.count
      repeat {
        waiting.removeFirst()()
        left -= 1
      } while left > 0 && eventLoop.now - start < Self.timeMax
      isPlanned = false
      planNext()
    }
  }
}

/// What a connection has done in one turn.
struct Turn {
  /// Whether it waited for the turn; otherwise all connections of which something has come may have theirs
  /// one after the other, before the sockets are looked at again.
  let isAwaited: Bool
  private var requests = 0
  private var start = NIODeadline.uptimeNanoseconds(0)

  init(isAwaited: Bool) { self.isAwaited = isAwaited }

  /// The clock is not read for a connection that sends one request at a time.
  mutating func begins(on eventLoop: any EventLoop) {
    requests += 1
    if requests == 2 { start = eventLoop.now }
  }

  func isOver(on eventLoop: any EventLoop, _ limits: HTTP1Limits) -> Bool {
    requests >= (isAwaited ? limits.turnRequestsMax : limits.readRequestsMax)
      || (requests > 2 && eventLoop.now - start >= limits.turnTimeMax)
  }
}
