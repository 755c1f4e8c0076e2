import HeapModule
package import NIOCore

/// Connections that go on when others of their event loop had their turn: those of which more has come
/// than may be done at once. Of those who wait, the one goes first that has used least of the loop's time:
/// an ordinary connection does not stand in line behind thousands that never have enough.
///
/// NIO does what it was told to do at once, and whatever is due, before it looks at its sockets again. So
/// nobody else is served before a task that is to run at once, nor where several tasks follow each other.
/// Here those who wait go on for ``timeMax``, a moment after the ones before.
///
/// Belongs to one event loop.
package final class Turns {
  /// From one turn to the next: long enough for the loop to see that nothing is due, as a rule.
  package static let pause = TimeAmount.microseconds(100)
  /// After how long nobody else goes on before the sockets are looked at.
  package static let timeMax = TimeAmount.milliseconds(1)
  /// How long a connection goes on in its turn at least, if it has as much to do.
  package static let turnTimeMin = TimeAmount.microseconds(100)
  /// How long a pass over the sockets may take until the connections that come next have to wait. Much
  /// more than the pause, so that waiting costs little of the work that is done.
  package static let passTimeMax = TimeAmount.milliseconds(20)
  /// What counts as little to do, in bytes: some twenty of the shortest requests.
  package static let littleBytes = 256
  /// What a byte is reckoned to take that nobody has measured.
  private static let byteTime = TimeAmount.microseconds(1)

  /// What one connection has used of the loop's time.
  package final class Account {
    /// When all that it has used would be over if all who wait went on at the same time, by the clock that
    /// ``Turns/share`` is.
    fileprivate var end = TimeAmount.zero

    package init() {}
  }

  private struct Place: Comparable {
    var start: TimeAmount
    let number: UInt64
    let account: Account
    let goOn: () -> Void

    static func < (one: Place, other: Place) -> Bool {
      (one.start, one.number) < (other.start, other.number)
    }

    static func == (one: Place, other: Place) -> Bool { one.number == other.number }
  }

  private let eventLoop: any EventLoop
  private let clock: () -> NIODeadline
  private var waiting = Heap<Place>()
  private var placeCount: UInt64 = 0
  private var isPlanned = false
  private var turn: Running?
  /// Those who came to wait while others go on: they are among the next ones.
  private var arriving: [Place] = []
  /// What each would have used by now who waited all the time, if all went on at the same time. It goes on
  /// whoever comes, so that nobody waits for ever.
  private var share = TimeAmount.zero
  /// When the loop's pass over its sockets came to the first that asked for ``isTimeLeft``.
  private var passStart: NIODeadline?

  /// - Parameter clock: The loop's own unless given.
  package init(eventLoop: any EventLoop, clock: (() -> NIODeadline)? = nil) {
    self.eventLoop = eventLoop
    self.clock = clock ?? { eventLoop.now }
  }

  package var now: NIODeadline { clock() }

  /// How long a connection goes on whose turn it is: the less, the more wait.
  package var turnTime: TimeAmount {
    max(Self.timeMax / (waiting.count + 1), Self.turnTimeMin)
  }

  /// Whether a connection of which `bytes` have come may go on at once with all of it.
  package func mayGoOn(_ account: Account, bytes: Int) -> Bool {
    guard isTimeLeft else { return false }
    guard !waiting.isEmpty else { return true }
    guard bytes <= Self.littleBytes, account.end <= share else { return false }
    account.end = share + Self.byteTime * bytes
    return true
  }

  /// Calls `goOn` when the sockets have been looked at, and those have gone on who come before.
  package func wait(_ account: Account, _ goOn: @escaping () -> Void) {
    placeCount += 1
    var place = Place(
      start: max(share, account.end), number: placeCount, account: account, goOn: goOn)
    guard let turn else {
      waiting.insert(place)
      return planNext()
    }
    if turn.account === account {
      // What its turn has taken so far counts.
      turn.settle(at: clock())
      place.start = account.end
    }
    arriving.append(place)
  }

  /// Whether the pass over the sockets has not been long so far.
  private var isTimeLeft: Bool {
    let now = clock()
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
      goOn()
      isPlanned = false
      planNext()
    }
  }

  private func goOn() {
    let start = clock()
    var now = start
    while now - start < Self.timeMax, let place = waiting.popMin() {
      let turn = Running(account: place.account, start: place.start, since: now)
      self.turn = turn
      let waitingCount = waiting.count + arriving.count + 1
      place.goOn()
      let end = clock()
      turn.settle(at: end)
      let used = end - now
      now = end
      share = max(share, place.start) + used / waitingCount
    }
    turn = nil
    waiting.insert(contentsOf: arriving)
    arriving.removeAll(keepingCapacity: true)
  }

  /// A turn that has begun.
  private struct Running {
    let account: Account
    let start: TimeAmount
    let since: NIODeadline

    func settle(at now: NIODeadline) { account.end = max(account.end, start + (now - since)) }
  }
}

extension TimeAmount {
  fileprivate static func / (time: TimeAmount, count: Int) -> TimeAmount {
    .nanoseconds(time.nanoseconds / Int64(count))
  }
}

/// What a connection has done in one turn.
struct Turn {
  /// Whether it waited for the turn; otherwise all connections of which something has come may have theirs
  /// one after the other, before the sockets are looked at again.
  let isAwaited: Bool
  private let timeMax: TimeAmount
  private var requests = 0
  private var start = NIODeadline.uptimeNanoseconds(0)

  init(isAwaited: Bool, timeMax: TimeAmount) {
    self.isAwaited = isAwaited
    self.timeMax = timeMax
  }

  /// The clock is not read for a connection that sends one request at a time.
  mutating func begins(on eventLoop: any EventLoop) {
    requests += 1
    if requests == 2 { start = eventLoop.now }
  }

  func isOver(on eventLoop: any EventLoop, _ limits: HTTP1Limits) -> Bool {
    requests >= (isAwaited ? limits.turnRequestsMax : limits.readRequestsMax)
      || (requests > 2 && eventLoop.now - start >= timeMax)
  }
}
