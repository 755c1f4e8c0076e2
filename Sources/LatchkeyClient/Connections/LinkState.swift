/// Decides which endpoint a client is connected to, and when to move on. Does no I/O: every event
/// returns what is to be done.
///
/// There is one live connection. Endpoints are tried in turn; after each round in which all of them
/// failed there is a pause, longer each time, until a server gives a useful answer.
struct LinkState: Equatable {
  typealias ConnectionID = Int
  typealias AttemptID = Int

  enum Phase: Equatable {
    /// No connection, and nobody who wants one. Next: connecting.
    case idle
    /// Next: ready or, after a failure, connecting, pausing or idle.
    case connecting(ConnectionID)
    /// Next: pausing or idle, once the connection fails, drains, or cannot be relied on.
    case ready(ConnectionID)
    /// All endpoints failed in turn. `keeping` is a connection to go on with, to a server that only
    /// could not serve. Next: ready, connecting or idle, when the pause ends.
    case pausing(keeping: ConnectionID?)
    /// Next: nothing.
    case closed
  }

  enum Action: Equatable {
    case connect(ConnectionID, endpoint: Int)
    /// These attempts go out on this connection.
    case use(ConnectionID, by: [AttemptID])
    /// Calls ``pauseEnded()`` after a pause, the first one of a series where `isFirst`.
    case pause(isFirst: Bool)
    /// Takes nothing new; closes once what is under way is complete.
    case drain(ConnectionID)
  }

  private(set) var phase = Phase.idle
  private let endpointCount: Int
  /// The endpoint of the connection, or the next to be tried.
  private(set) var endpoint: Int
  private var latestConnection: ConnectionID = 0
  private var waiting: [AttemptID] = []
  /// Failures in a row, without a useful answer in between.
  private var failures = 0
  /// Whether the connection that is ready has given a useful answer.
  private var isProven = false

  init(endpointCount: Int, first: Int) {
    self.endpointCount = endpointCount
    endpoint = first
  }

  // MARK: - What callers want

  /// An attempt wants a connection.
  mutating func want(_ attempt: AttemptID) -> [Action] {
    switch phase {
    case .ready(let connection): return [.use(connection, by: [attempt])]
    case .closed: return []
    case .connecting, .pausing:
      waiting.append(attempt)
      return []
    case .idle:
      waiting.append(attempt)
      return connect()
    }
  }

  /// An attempt that wanted a connection does not any more.
  mutating func forget(_ attempt: AttemptID) { waiting.removeAll { $0 == attempt } }

  mutating func close() {
    phase = .closed
    waiting = []
  }

  // MARK: - What happens

  mutating func connected(_ connection: ConnectionID) -> [Action] {
    guard phase == .connecting(connection) else { return [.drain(connection)] }
    isProven = false
    return use(connection)
  }

  mutating func connectFailed(_ connection: ConnectionID) -> [Action] {
    guard phase == .connecting(connection) else { return [] }
    return moveOn(isFault: true)
  }

  /// A server gave an answer that shows that it serves, if late, on a connection that was left.
  mutating func answered(_ connection: ConnectionID) {
    failures = 0
    if phase == .ready(connection) { isProven = true }
  }

  /// The connection cannot take new requests: it closed, or the server said GOAWAY.
  ///
  /// - Parameter isFault: Whether requests were lost with it. One that closes before its first useful
  ///   answer counts as a fault in any case.
  mutating func unusable(_ connection: ConnectionID, isFault: Bool) -> [Action] {
    switch phase {
    case .ready(connection): return moveOn(isFault: isFault || !isProven)
    case .pausing(keeping: connection):
      phase = .pausing(keeping: nil)
      return []
    default: return []
    }
  }

  /// The connection lets requests hang: its server is suspect.
  mutating func silent(_ connection: ConnectionID) -> [Action] {
    guard phase == .ready(connection) else { return [] }
    return [.drain(connection)] + moveOn(isFault: true)
  }

  /// The server answers, but says that it cannot serve.
  mutating func unavailable(_ connection: ConnectionID) -> [Action] {
    guard phase == .ready(connection) else { return [] }
    if endpointCount > 1 { return [.drain(connection)] + moveOn(isFault: true) }
    failures += 1
    phase = .pausing(keeping: connection)
    return [.pause(isFirst: failures == 1)]
  }

  mutating func pauseEnded() -> [Action] {
    guard case .pausing(let keeping) = phase else { return [] }
    if let keeping { return use(keeping) }
    return waitOrConnect()
  }

  // MARK: - Consequences

  private mutating func use(_ connection: ConnectionID) -> [Action] {
    phase = .ready(connection)
    defer { waiting = [] }
    return waiting.isEmpty ? [] : [.use(connection, by: waiting)]
  }

  private mutating func moveOn(isFault: Bool) -> [Action] {
    endpoint = (endpoint + 1) % endpointCount
    if isFault { failures += 1 }
    guard isFault, failures % endpointCount == 0 else { return waitOrConnect() }
    phase = .pausing(keeping: nil)
    return [.pause(isFirst: failures == endpointCount)]
  }

  private mutating func waitOrConnect() -> [Action] {
    phase = .idle
    return waiting.isEmpty ? [] : connect()
  }

  private mutating func connect() -> [Action] {
    latestConnection += 1
    phase = .connecting(latestConnection)
    return [.connect(latestConnection, endpoint: endpoint)]
  }
}
