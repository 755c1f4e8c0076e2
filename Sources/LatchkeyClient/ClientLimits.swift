/// The bounds of a client that its user does not set.
package enum ClientLimits {
  // What one client may hold.

  /// Endpoints of one client.
  package static let endpointsMax = 64
  /// Addresses of one endpoint's name that are tried; further ones are left out.
  package static let addressesMax = 16
  /// Attempts of calls under way or waiting for a connection. One more is refused as `overloaded`.
  package static let attemptsMax = 16_384
  /// The longest time that a configuration may ask for.
  package static let timeoutMax: Duration = .seconds(3_600)
  /// The shortest time that a configuration may ask for.
  package static let timeoutMin: Duration = .milliseconds(1)
  /// How often one call changes its wire version before the answers count as contradictory.
  package static let versionMovesMax = 3

  // When a connection counts as dead. A request that meets a dead server so fails within
  // `unansweredMax + pingTimeout`, which leaves time for another server within the default deadline.

  /// How long a request may be unanswered, with nothing else heard, until a PING asks for a sign of
  /// life.
  package static let unansweredMax: Duration = .seconds(1)
  /// How long a request must have been unanswered, with nothing else heard, for its deadline to count
  /// against the server, so that the next one goes elsewhere.
  package static let suspicionMin: Duration = .milliseconds(150)
  /// How long an idle connection may be silent until a PING asks.
  package static let silentMax: Duration = .seconds(20)
  /// How long a PING may be unanswered until the connection is given up.
  package static let pingTimeout: Duration = .seconds(2)

  // Finding a server.

  /// How long a name that was looked up before may take to be looked up again, until the addresses
  /// of before are tried.
  package static let lookupPatience: Duration = .milliseconds(250)
  /// How long a connection may take to open until the next address of the name is tried beside it:
  /// the Connection Attempt Delay of RFC 8305, section 8.
  package static let connectPatience: Duration = .milliseconds(250)
  /// How long nobody may have served until the user hears that no server can be reached…
  package static let outageMin: Duration = .seconds(2)
  /// …and how often from then on, while it lasts.
  package static let outageReminder: Duration = .seconds(60)
  /// How long it is remembered which wire versions the server at an address speaks, so that one
  /// behind a proxy that was replaced by a newer one is found out about.
  package static let rangeAgeMax: Duration = .seconds(600)

  // What the user hears.

  /// Lines that wait for a logger that is slow. Further ones are left out, and counted.
  package static let logLinesMax = 256
  /// How long a body may wait for the lock that it holds itself until that is said.
  package static let waitForItselfMax: Duration = .seconds(2)
  /// How long the end of a client waits until they are said.
  package static let logFlushTimeout: Duration = .milliseconds(500)

  // Waiting.

  /// How long one request to acquire waits at the server: less than the time after which proxies give
  /// up on an answer (60 seconds in nginx).
  package static let waitMax: Duration = .seconds(50)

  /// How many requests of a client wait at the server at the same time, each for a key of its own.
  /// Half of the streams that proxies commonly allow a connection (100 in HAProxy). Keys beside
  /// them are polled, and get the places in turn.
  package static let waitsMax = 50
  /// How long one request waits at the server while other keys want its place.
  package static let crowdedWaitMax: Duration = .seconds(5)
  /// Callers that wait in a client's lines, of all keys. One more is refused as `overloaded`.
  package static let waitersMax = 65_536

  // Leases.

  /// The shortest lease: a shorter one would be lost at every hiccup of a network.
  package static let leaseMin: Duration = .milliseconds(500)
  /// The longest lease: 365 days.
  package static let leaseMax: Duration = .seconds(31_536_000)
  /// A renewal is sent after this part of the lease, times 0.9 to 1.1 at random.
  package static let renewAfterDivisor = 3
  /// A renewal that has been unanswered for this part of the lease is followed by another…
  package static let renewalOverdueDivisor = 6
  /// …but not earlier than this.
  package static let renewalOverdueMin: Duration = .milliseconds(200)
  /// Renewals of one lease that are under way and may extend it at the same time: with one every
  /// sixth of the lease, those of the two thirds that are left when the first is sent.
  package static let renewalsInFlightMax = 4
  /// The pause after an attempt to renew that failed: this part of the lease, jittered…
  package static let renewPauseDivisor = 30
  /// …but not more than this, before it is jittered.
  package static let renewPauseMax: Duration = .seconds(1)
  /// The pause after one that is not allowed: this part of the lease, and no less than after others.
  package static let renewDeniedDivisor = 10
  /// How long the release at the end of a hold may take. It cannot be cancelled, so it is short.
  package static let releaseTimeout: Duration = .seconds(2)
  /// How long the end of a client waits until bodies have ended and what they held is given back:
  /// more than one release takes.
  package static let shutdownTimeout: Duration = .seconds(5)
  /// How long it may take to find out who holds a lock, for the words of an error.
  package static let holderLookupTimeout: Duration = .seconds(1)
  /// A leader's child is asked to stop when less than this part of the lease is left: a renewal,
  /// which is sent after 11/30 of the lease at most, may take half of it before.
  package static let stopMarginDivisor = 8
}
