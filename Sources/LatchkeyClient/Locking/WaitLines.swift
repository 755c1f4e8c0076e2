import NIOCore
import Exclusion

/// Decides who of a client's callers asks for which key, and whose request waits at the server.
/// Does no I/O: what returns tickets has them told.
///
/// For each key there is a line in the order of arrival, of which only the first one asks: it is
/// handed a lock that becomes free, and then the next one asks. The requests that wait at the
/// server share a number of places, which go to keys in the order in which they want them.
struct WaitLineState {
  /// A caller that waits.
  typealias Ticket = Int

  private struct Line {
    /// Those who left are skipped when it would be their turn, or struck out when they are many.
    var tickets: ArraySlice<Ticket> = []
    /// How many of them still wait.
    var count = 0
    /// What the first one was told last.
    var latestReason: LatchkeyError?
  }

  private let placesMax: Int
  private let waitersMax: Int
  private var latest: Ticket = 0
  private var lines: [String: Line] = [:]
  private var keys: [Ticket: String] = [:]
  private var seated: Set<Ticket> = []
  private var wanting: Set<Ticket> = []
  /// The order of those who want a place, each once; others in it are skipped.
  private var wantingOrder: ArraySlice<Ticket> = []
  private var inOrder: Set<Ticket> = []

  init(placesMax: Int, waitersMax: Int) {
    self.placesMax = placesMax
    self.waitersMax = waitersMax
  }

  // MARK: - Lines

  /// How many wait, in all lines.
  var count: Int { keys.count }

  /// Nil where there are as many as there may be.
  mutating func join(_ key: String) -> Ticket? {
    guard keys.count < waitersMax else { return nil }
    latest += 1
    keys[latest] = key
    lines[key, default: Line()].tickets.append(latest)
    lines[key]!.count += 1
    return latest
  }

  func isFirst(_ ticket: Ticket) -> Bool {
    keys[ticket].flatMap { lines[$0]?.tickets.first } == ticket
  }

  mutating func note(_ reason: LatchkeyError, by ticket: Ticket) {
    if let key = keys[ticket] { lines[key]?.latestReason = reason }
  }

  /// Why the line of a caller that still waits does not move, where the first one has heard.
  func reason(for ticket: Ticket) -> LatchkeyError? {
    keys[ticket].flatMap { lines[$0]?.latestReason }
  }

  /// A caller was granted its lock, or does not want it any more.
  ///
  /// - Returns: Whose turn it is now, and who has got its place.
  mutating func leave(_ ticket: Ticket) -> [Ticket] {
    let placed = giveBack(ticket)
    let wasFirst = isFirst(ticket)
    guard let key = keys.removeValue(forKey: ticket) else { return placed }
    lines[key]!.count -= 1
    strikeOutThoseWhoLeft(key)
    guard wasFirst else { return placed }
    while let first = lines[key]?.tickets.first, keys[first] == nil {
      lines[key]?.tickets.removeFirst()
    }
    guard let next = lines[key]?.tickets.first else {
      lines[key] = nil
      return placed
    }
    return placed + [next]
  }

  /// Where one waits for days, others come and go behind it.
  private mutating func strikeOutThoseWhoLeft(_ key: String) {
    if lines[key]!.tickets.count > 2 * lines[key]!.count + Self.spareMax {
      lines[key]!.tickets.removeAll { keys[$0] == nil }
    }
    if wantingOrder.count > 2 * keys.count + Self.spareMax {
      wantingOrder.removeAll { keys[$0] == nil }
      inOrder = Set(wantingOrder)
    }
  }

  /// Those who left that a line and the order of wishes may remember, beside as many as still wait.
  static let spareMax = 64

  /// How many the lines and the order of wishes remember, for tests.
  var rememberedCount: Int { lines.values.reduce(wantingOrder.count) { $0 + $1.tickets.count } }

  // MARK: - Places at the server

  /// Whether there are keys that want a place.
  var isCrowded: Bool { !wanting.isEmpty }

  /// Whether the caller has a place, or gets one now. Otherwise it will be told when it has one.
  mutating func take(_ ticket: Ticket) -> Bool {
    if seated.contains(ticket) { return true }
    if seated.count < placesMax {
      seated.insert(ticket)
      return true
    }
    wanting.insert(ticket)
    if inOrder.insert(ticket).inserted { wantingOrder.append(ticket) }
    return false
  }

  func hasPlace(_ ticket: Ticket) -> Bool { seated.contains(ticket) }

  /// - Returns: Who has a place now, and did not have one.
  mutating func giveBack(_ ticket: Ticket) -> [Ticket] {
    wanting.remove(ticket)
    guard seated.remove(ticket) != nil else { return [] }
    while let next = wantingOrder.popFirst() {
      inOrder.remove(next)
      guard wanting.remove(next) != nil else { continue }
      seated.insert(next)
      return [next]
    }
    return []
  }
}

/// The lines of a client, and the wakeups of those in them.
final class WaitLines: Sendable {
  typealias Ticket = WaitLineState.Ticket

  private struct State {
    var lines = WaitLineState(
      placesMax: ClientLimits.waitsMax, waitersMax: ClientLimits.waitersMax)
    var sleeping: [Ticket: Wakeup] = [:]
    var isClosed = false
  }

  private let state = Mutex(State())

  /// How many wait, in all lines.
  var count: Int { state.withLock { $0.lines.count } }

  /// Joins the line for `key`, to be left in any case.
  ///
  /// - Throws: ``LatchkeyError/Code/overloaded``.
  func join(_ key: String) throws(LatchkeyError) -> Ticket {
    guard let ticket = state.withLock({ $0.lines.join(key) }) else {
      throw LatchkeyError(
        .overloaded, "\(ClientLimits.waitersMax) callers of this client wait for locks already")
    }
    return ticket
  }

  func isFirst(_ ticket: Ticket) -> Bool { state.withLock { $0.lines.isFirst(ticket) } }

  func note(_ reason: LatchkeyError, by ticket: Ticket) {
    state.withLock { $0.lines.note(reason, by: ticket) }
  }

  func reason(for ticket: Ticket) -> LatchkeyError? {
    state.withLock { $0.lines.reason(for: ticket) }
  }

  func leave(_ ticket: Ticket) { wake { $0.lines.leave(ticket) } }

  var isCrowded: Bool { state.withLock { $0.lines.isCrowded } }

  func takePlace(_ ticket: Ticket) -> Bool { state.withLock { $0.lines.take(ticket) } }

  func giveBackPlace(_ ticket: Ticket) { wake { $0.lines.giveBack(ticket) } }

  /// Returns at `end` (nil: never), when it is the caller's turn or it gets a place, when the lines
  /// are closed, or when the task is cancelled.
  ///
  /// - Parameter isOver: Whether there is nothing to wait for.
  func sleep(
    _ ticket: Ticket, until end: Instant?, time: any TimeSource, on loop: any EventLoop,
    unless isOver: (borrowing WaitLineState) -> Bool
  ) async {
    let wakeup = Wakeup()
    let mustWait = state.withLock { state in
      if state.isClosed || isOver(state.lines) { return false }
      state.sleeping[ticket] = wakeup
      return true
    }
    guard mustWait else { return }
    let alarm = end.map { time.schedule(at: $0, on: loop) { wakeup.fire() } }
    await wakeup.wait()
    alarm?.cancel()
    state.withLock { $0.sleeping[ticket] = nil }
  }

  /// Nobody waits any more.
  func close() {
    wake {
      $0.isClosed = true
      return Array($0.sleeping.keys)
    }
  }

  private func wake(_ change: (inout State) -> [Ticket]) {
    let wakeups = state.withLock { state in
      change(&state).compactMap { state.sleeping[$0] }
    }
    for wakeup in wakeups { wakeup.fire() }
  }
}
