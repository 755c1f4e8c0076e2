package import Access
package import HTTP
package import Logging
package import LockCore
package import NIOCore
package import HTTPServer
package import Storage
package import TLS

/// What a server is started with.
package struct ServerConfiguration: Sendable {
  /// Where to listen.
  package var listeners = [Listener(.tcp(host: "127.0.0.1", port: 7_420))]
  /// Who may do what; nil where everybody may do everything.
  package var access: AccessControl?
  /// Told who does what; nil where no account is kept.
  package var audit: AuditLog?
  /// For the listeners that are secure.
  package var tls: TLSMaterial?
  /// The server's name in its fleet: 1 to 128 bytes of letters, digits, ".", "-" and "_".
  package var serverID: String
  /// Threads that serve connections.
  package var eventLoops = 1
  package var limits = ServerLimits()
  package var store = StoreLimits()
  /// How far the server can be rolled back.
  package var rollback = RollbackAllowance(releases: 1)
  package var http2 = HTTP2Limits()
  package var http1 = HTTP1Limits()
  /// With what the server was started, to be shown.
  package var settings: [Setting] = []
  /// Random bits: for grease, and to tell runs apart.
  package var random: @Sendable () -> UInt64 = { UInt64.random(in: .min ... .max) }
  /// A monotonic clock that stands still while the machine is suspended.
  package var clock: @Sendable () -> MonotonicTime
  package var logger: Logger
  /// Gives memory that was freed back to the operating system; called on a thread that may block, after
  /// long answers took much of it.
  package var trimMemory: @Sendable () -> Void = {}

  package init(
    serverID: String, clock: @escaping @Sendable () -> MonotonicTime, logger: Logger
  ) {
    self.serverID = serverID
    self.clock = clock
    self.logger = logger
  }
}

extension ServerConfiguration {
  /// An option as it was given.
  package struct Setting: Hashable, Sendable {
    /// Such as "--drain-seconds".
    package let name: String
    package let value: String
    /// "option", or the name of a variable.
    package let source: String

    package init(name: String, value: String, source: String) {
      (self.name, self.value, self.source) = (name, value, source)
    }
  }
}

/// The bounds of a server as a whole.
package struct ServerLimits: Sendable {
  /// Connections that may be open at once.
  package var connectionsMax = 10_000
  /// So many more are answered how the server is, and nothing else: who watches it is not kept out by those who use it.
  package var watchersMax = 32
  /// The largest body of a request in bytes, before and after its content encoding is undone.
  package var bodyBytesMax = 524_288
  /// For how long a server that is to end says so to /readyz before it lets clients go: load balancers look now and
  /// then.
  package var drainDelay = TimeAmount.zero
  /// How long a shutdown waits for requests in flight.
  package var drainTimeout = TimeAmount.seconds(10)
  /// How long the end waits for the store, once for the server's own presence and once for what it
  /// has in hand: a disk may hang.
  package var storeTimeout = TimeAmount.seconds(5)
  /// How long a shape of the store has to be of no use to anybody until it is given up.
  package var fleetSettleTime = TimeAmount.seconds(30)
  /// Connections that the operating system keeps until they are accepted.
  package var backlog: Int32 = 1_024

  package init() {}
}
