import CoreMetrics
import Logging
import Metrics
import NIOCore
import HTTPServer

/// Connections that come to nothing before anything is served on them: each is counted by its
/// reason, and the log tells of each reason at a bounded rate.
final class ConnectionFailures: Sendable {
  enum Reason: String, CaseIterable {
    /// The system gave no connection, or not what makes one.
    case accept
    /// An option could not be set, or a handler not be added.
    case setup
    /// An error of the network before the first bytes said what the peer speaks.
    case io
    /// TLS where clear text is spoken.
    case tls
    /// Clear text where TLS is spoken.
    case clearText = "clear-text"
    /// TLS that did not come about.
    case handshake
    case proxy
  }

  private let counters: [Reason: Counter]
  private let logs: [Reason: BoundedLog]

  init(factory: any MetricsFactory, logger: Logger) {
    counters = Dictionary(
      uniqueKeysWithValues: Reason.allCases.map { reason in
        let counter = Counter(
          label: "latchkey_connections_failed_total", dimensions: [("reason", reason.rawValue)],
          factory: factory)
        return (reason, counter)
      })
    logs = Dictionary(
      uniqueKeysWithValues: Reason.allCases.map { ($0, BoundedLog(logger)) })
  }

  func note(_ end: ServerPipeline.EarlyEnd, peer: SocketAddress?) {
    switch end {
    case .foreign(.tls): note(.tls, peer: peer)
    case .foreign(.clearText): note(.clearText, peer: peer)
    case .foreign(.proxy): note(.proxy, peer: peer)
    case .handshake(let error): note(.handshake, peer: peer, error: error)
    case .error(let error as IOError): note(.io, peer: peer, error: error)
    case .error(let error as ChannelError): note(.io, peer: peer, error: error)
    case .error(let error): note(.setup, peer: peer, error: error)
    }
  }

  func note(_ reason: Reason, peer: SocketAddress? = nil, error: (any Error)? = nil) {
    counters[reason]?.increment()
    var metadata: Logger.Metadata = [
      "reason": "\(reason.rawValue)", "peer": "\(peer.map { "\($0)" } ?? "unknown")",
    ]
    if let error { metadata["error"] = "\(error)" }
    logs[reason]?.log(reason.level, reason.line, metadata: metadata)
  }
}

extension ConnectionFailures.Reason {
  fileprivate var level: Logger.Level {
    switch self {
    case .accept, .setup: .error
    case .tls, .clearText, .handshake, .proxy: .warning
    // Balancers that only look whether there is somebody reset as a habit.
    case .io: .info
    }
  }

  fileprivate var line: Logger.Message {
    switch self {
    case .accept: "a connection could not be accepted"
    case .setup: "a connection could not be set up"
    case .io: "a connection failed before its first request"
    case .tls: "a client speaks TLS to this port, which has none: it has to use http://"
    case .clearText:
      "a client speaks clear text to this port, which has TLS: it has to use https://"
    case .handshake: "a client and this server do not speak TLS with each other"
    case .proxy:
      "a load balancer sends the PROXY protocol, which is not spoken here: switch it off there"
    }
  }
}
