import WireSchema

/// Decides which wire version a request is written in.
///
/// A server says what it speaks in three ways: in the SETTINGS of its connection, in the header of
/// every response (all that gets through a proxy), and in the error that answers a version it does not
/// speak. Nobody waits for any of them: the newest version is sent until something else is known.
struct Negotiation: Sendable {
  /// What this client speaks.
  let spoken: WireRange
  /// What was last heard, by endpoint: at most as many as there are endpoints.
  private var remembered: [Endpoint: WireRange] = [:]

  init(spoken: WireRange) { self.spoken = spoken }

  enum Choice: Equatable {
    case version(UInt32)
    /// The server speaks this, and none of it is known here.
    case nothingInCommon(WireRange)
  }

  /// - Parameter offered: What the connection's server said on it; nil where it said nothing.
  func choose(for endpoint: Endpoint, offered: WireRange?) -> Choice {
    if let offered {
      return spoken.newestCommon(with: offered).map(Choice.version) ?? .nothingInCommon(offered)
    }
    // What is remembered is a guess: another server may answer by now. It must not keep the client
    // from asking, which is how it would learn.
    let common = remembered[endpoint].flatMap { spoken.newestCommon(with: $0) }
    return .version(common ?? spoken.newest)
  }

  func range(of endpoint: Endpoint, offered: WireRange?) -> WireRange? {
    offered ?? remembered[endpoint]
  }

  mutating func learn(_ range: WireRange, of endpoint: Endpoint) {
    remembered[endpoint] = range
  }
}
