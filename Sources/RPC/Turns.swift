package import NIOCore

/// Connections that go on when others of their event loop had their turn: those of which more has come
/// than may be done at once.
///
/// NIO does what it was told to do at once, and whatever is due, before it looks at its sockets again. So
/// nobody else is served before a task that is to run at once, nor where several tasks follow each other.
/// Here one connection goes on at a time, a moment after the one before.
///
/// Belongs to one event loop.
package final class Turns {
  /// From one turn to the next: long enough for the loop to see that nothing is due.
  package static let pause = TimeAmount.microseconds(100)

  private let eventLoop: any EventLoop
  private var waiting = CircularBuffer<() -> Void>()

  package init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  /// Calls `goOn` when the sockets have been looked at, and those who waited before have gone on.
  func wait(_ goOn: @escaping () -> Void) {
    waiting.append(goOn)
    if waiting.count == 1 { planNext() }
  }

  private func planNext() {
    eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { [self] in
      waiting.first?()
      waiting.removeFirst()
      if !waiting.isEmpty { planNext() }
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
