import Exclusion

/// A relay at a port of its own in front of a server, as a network that loses something when a test says so:
/// a connection on which nothing arrives any more, and which nobody closes.
package final class LossyRelay: Sendable {
  package enum Loss: Sendable {
    /// What the client says next does not reach the server.
    case ofQuestion
    /// It does, and the client hears nothing of what came of it.
    case ofAnswer
  }

  package var port: Int { relay.port }
  private let relay: Relay
  private let network: Network

  private init(relay: Relay, network: Network) {
    self.relay = relay
    self.network = network
  }

  package static func start(to serverPort: Int) async throws -> LossyRelay {
    let network = Network()
    let relay = try await Relay.start(to: serverPort) { _ in
      network.connections.withLock { $0 += 1 }
      let line = Line(network)
      return (
        ofServer: { line.isSilent ? nil : $0 }, ofClient: { line.passesQuestion() ? $0 : nil }
      )
    }
    return LossyRelay(relay: relay, network: network)
  }

  /// How many there have been.
  package var connections: Int { network.connections.withLock(\.self) }

  /// From what some client says next on, its connection is lost.
  package func lose(_ loss: Loss) { network.next.withLock { $0 = loss } }

  package func stop() async throws { try await relay.stop() }
}

private final class Network: Sendable {
  let connections = Mutex(0)
  let next = Mutex<LossyRelay.Loss?>(nil)
}

/// One connection.
private final class Line: Sendable {
  private let network: Network
  private let loss = Mutex<LossyRelay.Loss?>(nil)

  init(_ network: Network) { self.network = network }

  var isSilent: Bool { loss.withLock { $0 != nil } }

  /// Whether what the client says reaches the server.
  func passesQuestion() -> Bool {
    loss.withLock { loss in
      if loss == nil {
        loss = network.next.withLock { next in
          defer { next = nil }
          return next
        }
      }
      return loss != .ofQuestion
    }
  }
}
