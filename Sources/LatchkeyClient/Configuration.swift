public import Logging

extension LatchkeyClient {
  /// Where the servers are, and how long to wait for them.
  ///
  /// Impossible values are reported by every call as ``LatchkeyError/Code/invalidRequest``.
  public struct Configuration: Sendable {
    /// The servers of one fleet, tried in this order; 1 to 64. All must use the same store. Of a
    /// name with several addresses each is tried, up to 16; it is looked up anew whenever the
    /// client has to connect again.
    public var endpoints: [Endpoint]
    /// How TLS is spoken with the endpoints of `https://`.
    public var tls = TLS()
    /// Shows servers who the client is; nil to show nothing but, with TLS, a certificate.
    public var token: BearerToken?
    /// Starts with an endpoint at random, and of its addresses with one at random, which spreads
    /// many clients over the fleet.
    public var shufflesEndpoints = false
    /// The time for one call with all its retries: at least 1 ms, at most 1 hour. The server hears of
    /// it and drops what nobody waits for.
    public var requestTimeout: Duration = .seconds(5)
    /// The time for looking up a name, for one attempt to connect, and from then to the server's
    /// first word: at least 1 ms, at most 1 hour.
    public var connectTimeout: Duration = .seconds(2)
    /// The pause after all endpoints failed in turn. It doubles from one round to the next.
    public var backoff = DelayRange(min: .milliseconds(50), max: .seconds(2))
    /// The pause between two tries for a lock that another owner holds. It doubles each time.
    public var pollInterval = DelayRange(min: .milliseconds(50), max: .seconds(1))
    /// Hears of connections that come and go (debug), of leases that are lost (error), and when
    /// there has been no server for 2 s, then every minute (warning), and when there is one again
    /// (notice). Silent unless set. Called on a thread of the client's own, one line after the
    /// other; one that blocks holds up nothing, but of the lines that it makes wait, those beyond
    /// 256 are left out and counted in the next.
    public var logger = Logger(label: "latchkey", factory: { _ in SwiftLogNoOpLogHandler() })

    /// Hears why there is no server, in words for a person, whenever the logger gets that warning.
    /// Called where the logger is.
    package var onOutage: (@Sendable (_ reason: String) -> Void)?

    /// Hears of a key that could not be given back and is held until its lease ends, whenever the logger gets that
    /// warning.
    package var onUnreleased: (@Sendable (_ key: String, LatchkeyError) -> Void)?

    /// The configuration for a fleet, everything else by default.
    public init(endpoints: [Endpoint]) { self.endpoints = endpoints }
  }

  /// How a client speaks TLS: version 1.2 or newer, with the names of servers checked.
  ///
  /// The files are in PEM, and are read again for each new connection: what replaces them is used from then on. One
  /// that cannot be used any more is reported, and what was read before stays in use.
  public struct TLS: Sendable, Hashable {
    /// The path of the certificates whose owners may vouch for servers; nil for those that the system trusts.
    public var authorities: String?
    /// The path of this client's certificate, followed by those that lead from it to an authority of the servers;
    /// nil to show none.
    public var certificate: String?
    /// The path of the key of ``certificate``, not encrypted.
    public var key: String?
    /// The name that has to stand in a server's certificate; nil for the endpoint's host.
    public var serverName: String?

    /// The system's authorities, and no certificate, unless given.
    public init(
      authorities: String? = nil, certificate: String? = nil, key: String? = nil,
      serverName: String? = nil
    ) {
      self.authorities = authorities
      self.certificate = certificate
      self.key = key
      self.serverName = serverName
    }
  }

  /// Pauses that double from a first to a longest one. Each is then taken times 0.5 to 1.5 at random,
  /// so that many clients do not act in step.
  public struct DelayRange: Sendable, Hashable {
    /// The first pause: at least 1 ms.
    public var min: Duration
    /// The longest pause: `min` to 1 hour.
    public var max: Duration

    /// Pauses from `min` to `max`.
    public init(min: Duration, max: Duration) {
      self.min = min
      self.max = max
    }
  }
}
