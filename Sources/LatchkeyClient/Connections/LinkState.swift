import NIOCore

/// Decides where a client is connected to, and when to move on. Does no I/O: every event returns
/// what is to be done.
///
/// There is one live connection. Endpoints are tried in turn, and of each endpoint every address
/// that its name leads to; after each round in which all of them failed there is a pause, longer
/// each time, until a server gives a useful answer. A name is looked up each time that the client
/// comes to its endpoint, and again after a connection that was of use: addresses change.
struct LinkState: Equatable {
  typealias ConnectionID = Int
  typealias AttemptID = Int

  enum Phase: Equatable {
    /// No connection, and nobody who wants one. Next: resolving.
    case idle
    /// The endpoint's name is looked up. Next: connecting, resolving (the next endpoint), pausing
    /// or idle.
    case resolving
    /// Next: ready or, after a failure, connecting, resolving, pausing or idle.
    case connecting
    /// Next: resolving, connecting, pausing or idle, once the connection fails, drains, or cannot
    /// be relied on.
    case ready(ConnectionID)
    /// All endpoints failed in turn. `keeping` is a connection to go on with, to a server that only
    /// could not serve. Next: ready, resolving or idle, when the pause ends.
    case pausing(keeping: ConnectionID?)
    /// Next: nothing.
    case closed
  }

  enum Action: Equatable {
    /// Calls ``resolved(_:to:)`` with the addresses that the endpoint's name leads to.
    case resolve(endpoint: Int)
    case connect(ConnectionID, endpoint: Int, address: SocketAddress)
    /// Calls ``connectIsSlow(_:)`` where the connection is not there soon.
    case hurry(ConnectionID)
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
  /// What the endpoint's name led to when it was last looked up, in the order of trying.
  private var addresses: [SocketAddress] = []
  /// Whether `addresses` are to be relied on without another look-up.
  private var isLookedUp = false
  /// The addresses of this endpoint that were tried since the client came to it, or since its last
  /// useful answer.
  private var tried: [SocketAddress] = []
  /// The latest one that was tried, of whatever endpoint: others come first.
  private var latest: SocketAddress?
  /// The connections that are being opened. Several, where the earlier ones are slow.
  private var opening: [ConnectionID: SocketAddress] = [:]
  private var latestConnection: ConnectionID = 0
  private var waiting: [AttemptID] = []
  /// Whether something failed at this endpoint, as opposed to connections that ended well.
  private var hasFault = false
  /// Endpoints that failed in a row, without a useful answer in between.
  private var failures = 0
  /// Whether the connection that is ready has given a useful answer.
  private var isProven = false

  init(endpointCount: Int, first: Int) {
    self.endpointCount = endpointCount
    endpoint = first
  }

  /// Whether there is a connection on which a server gave a useful answer.
  var isServing: Bool { if case .ready = phase { isProven } else { false } }

  /// Whether all that could be tried has failed in turn.
  var isPausing: Bool { if case .pausing = phase { true } else { false } }

  /// Whether there is more than one place to go to.
  var hasAlternatives: Bool { endpointCount > 1 || addresses.count > 1 }

  // MARK: - What callers want

  /// An attempt wants a connection.
  mutating func want(_ attempt: AttemptID) -> [Action] {
    switch phase {
    case .ready(let connection): return [.use(connection, by: [attempt])]
    case .closed: return []
    case .resolving, .connecting, .pausing:
      waiting.append(attempt)
      return []
    case .idle:
      waiting.append(attempt)
      return waitOrConnect()
    }
  }

  /// An attempt that wanted a connection does not any more.
  mutating func forget(_ attempt: AttemptID) { waiting.removeAll { $0 == attempt } }

  mutating func close() {
    phase = .closed
    waiting = []
  }

  // MARK: - What happens

  /// - Parameter addresses: Where the name leads, at most ``ClientLimits/addressesMax``, in the
  ///   order of trying; none where that could not be found out.
  mutating func resolved(_ endpoint: Int, to addresses: [SocketAddress]) -> [Action] {
    guard phase == .resolving, endpoint == self.endpoint else { return [] }
    self.addresses = addresses
    isLookedUp = true
    return moveOn(isFault: addresses.isEmpty)
  }

  mutating func connected(_ connection: ConnectionID) -> [Action] {
    guard phase == .connecting, let address = opening[connection] else {
      return [.drain(connection)]
    }
    opening = [:]
    latest = address
    isProven = false
    return use(connection)
  }

  mutating func connectFailed(_ connection: ConnectionID) -> [Action] {
    guard phase == .connecting, opening.removeValue(forKey: connection) != nil else { return [] }
    hasFault = true
    if opening.isEmpty {
      let actions = moveOn(isFault: true)
      // Whoever comes next has each endpoint tried before all have failed.
      if phase == .idle { failures -= failures % endpointCount }
      return actions
    }
    return nextAddress == nil || waiting.isEmpty ? [] : connect()
  }

  /// The connection may come yet, but another address may be faster (RFC 8305, section 5).
  mutating func connectIsSlow(_ connection: ConnectionID) -> [Action] {
    guard phase == .connecting, connection == latestConnection, nextAddress != nil,
      !waiting.isEmpty
    else { return [] }
    return connect()
  }

  /// A server gave an answer that shows that it serves, if late, on a connection that was left.
  mutating func answered(_ connection: ConnectionID) {
    failures = 0
    guard phase == .ready(connection), !isProven else { return }
    isProven = true
    isLookedUp = false
    hasFault = false
    tried = latest.map { [$0] } ?? []
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
      (tried, isLookedUp) = ([], false)
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
    if hasAlternatives { return [.drain(connection)] + moveOn(isFault: true) }
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

  /// Goes to the next address, or to the next endpoint where this one has no other.
  private mutating func moveOn(isFault: Bool) -> [Action] {
    hasFault = hasFault || isFault
    return nextAddress == nil ? leaveEndpoint() : waitOrConnect()
  }

  private mutating func leaveEndpoint() -> [Action] {
    let isFault = hasFault
    endpoint = (endpoint + 1) % endpointCount
    (addresses, tried, isLookedUp, hasFault) = ([], [], false, false)
    if isFault { failures += 1 }
    guard isFault, failures % endpointCount == 0 else { return waitOrConnect() }
    phase = .pausing(keeping: nil)
    return [.pause(isFirst: failures == endpointCount)]
  }

  private mutating func waitOrConnect() -> [Action] {
    guard !waiting.isEmpty else {
      phase = .idle
      isLookedUp = false
      return []
    }
    if isLookedUp { return connect() }
    phase = .resolving
    return [.resolve(endpoint: endpoint)]
  }

  private mutating func connect() -> [Action] {
    guard let address = nextAddress else { return leaveEndpoint() }
    latestConnection += 1
    tried.append(address)
    latest = address
    opening[latestConnection] = address
    phase = .connecting
    let connect = Action.connect(latestConnection, endpoint: endpoint, address: address)
    return nextAddress == nil ? [connect] : [connect, .hurry(latestConnection)]
  }

  /// The address to be tried next: the one behind the latest, of those that were not tried yet.
  private var nextAddress: SocketAddress? {
    guard tried.count < ClientLimits.addressesMax else { return nil }
    let start = latest.flatMap { addresses.firstIndex(of: $0) }.map { $0 + 1 } ?? 0
    return (addresses[start...] + addresses[..<start]).first { !tried.contains($0) }
  }
}
