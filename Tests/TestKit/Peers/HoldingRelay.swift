import NIOCore
import Exclusion

/// A relay at a port of its own between an HTTP/2 client and a server. On each connection it holds back
/// all that the server says until the client has sent a whole request: a client that waits for anything
/// before never gets an answer.
///
/// So what is counted here are round trips: the first request travels with the first bytes of the
/// connection, and each further one is another.
package final class HoldingRelay: Sendable {
  package var port: Int { relay.port }
  private let relay: Relay
  private let connections: RelayedConnections

  private init(relay: Relay, connections: RelayedConnections) {
    self.relay = relay
    self.connections = connections
  }

  package static func start(to serverPort: Int) async throws -> HoldingRelay {
    let connections = RelayedConnections()
    let relay = try await Relay.start(to: serverPort) { client in
      let relayed = RelayedConnection()
      connections.add(client, relayed)
      return (
        ofServer: { relayed.letThrough($0) },
        ofClient: { bytes in
          if relayed.noteRequests(in: bytes) {
            client.writeAndFlush(relayed.release(), promise: nil)
          }
          return bytes
        }
      )
    }
    return HoldingRelay(relay: relay, connections: connections)
  }

  /// How many requests each connection has brought so far.
  package var requests: [Int] { connections.all.map { $0.relayed.requestCount } }

  /// Ends the present connections; the client has to make another one.
  package func disconnect() async throws {
    for connection in connections.all {
      // It may be closing already.
      connection.client.close(promise: nil)
      try await connection.client.closeFuture.get()
    }
  }

  package func stop() async throws {
    try await relay.stop()
    try await disconnect()
  }
}

private final class RelayedConnections: Sendable {
  private let list = Mutex<[(client: any Channel, relayed: RelayedConnection)]>([])

  var all: [(client: any Channel, relayed: RelayedConnection)] { list.withLock { $0 } }

  func add(_ client: any Channel, _ relayed: RelayedConnection) {
    list.withLock { $0.append((client, relayed)) }
  }
}

/// What has come from both sides of one connection.
private final class RelayedConnection: Sendable {
  private struct State {
    var fromClient: [UInt8] = []
    var requestCount = 0
    var held = ByteBuffer()
  }

  private let state = Mutex(State())

  var requestCount: Int { state.withLock { $0.requestCount } }

  /// Whether these bytes of the client complete its first request.
  func noteRequests(in bytes: ByteBuffer) -> Bool {
    state.withLock { state in
      state.fromClient += bytes.readableBytesView
      let before = state.requestCount
      state.requestCount = Frame.parse(Array(state.fromClient.dropFirst(Frame.preface.count)))
        .count { frame in
          [Frame.Kind.data, Frame.Kind.headers].contains(frame.type)
            && frame.flags & Frame.endStream != 0
        }
      return before == 0 && state.requestCount > 0
    }
  }

  /// What of these bytes of the server the client gets now.
  func letThrough(_ bytes: ByteBuffer) -> ByteBuffer {
    state.withLock { state in
      if state.requestCount > 0 { return bytes }
      state.held.writeImmutableBuffer(bytes)
      return ByteBuffer()
    }
  }

  func release() -> ByteBuffer { state.withLock { $0.held } }
}
