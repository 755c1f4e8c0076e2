import HTTP
import LatchkeyClient
import NIOCore
import NIOPosix
import Exclusion
import TestKit
import Testing
import WireSchema

/// A request as a fake server got it.
struct FakeRequest: Sendable {
  /// Which connection of the server it came on, from 1.
  var connection: Int
  /// Which request of the server it is, from 1.
  var number: Int
  var path: String
  var fields: [String: String]
  var body: [UInt8]

  var method: String { String(path.split(separator: "/").last ?? "") }

  var claim: Latchkey_V1_LockRequest? { decoded() }
  var release: Latchkey_V1_ReleaseRequest? { decoded() }
  var fetch: Latchkey_V1_FetchRequest? { decoded() }

  private func decoded<M: SwiftProtobufMessage>() -> M? { try? M(serializedBytes: body) }
}

/// What a fake server does with a request.
indirect enum FakeAnswer: Sendable {
  case reply(status: Int = 200, fields: [String: String] = [:], body: [UInt8] = [])
  case error(RPCError, fields: [String: String] = [:])
  /// Answers when so much time has passed.
  case later(Duration, ManualTime, FakeAnswer)
  case silence
  /// Closes the connection without a word.
  case hangUp
  /// Says GOAWAY, and answers what is under way.
  case drain(body: [UInt8] = [])
}

/// An HTTP/2 server with answers by script, on a port of its own.
final class FakeServer: Sendable {
  typealias Script = @Sendable (FakeRequest) -> FakeAnswer

  private struct State {
    var script: Script
    var requests: [FakeRequest] = []
    var connections: [NIOLoopBound<FakeConnection>] = []
    var offer: HandshakeOffer
  }

  private let state: Mutex<State>
  private let listener = Mutex<(any Channel)?>(nil)
  private let loop: any EventLoop
  let host: String
  let port: Int
  var endpoint: Endpoint { try! Endpoint("\(host):\(port)") }
  var address: SocketAddress { try! SocketAddress(ipAddress: host, port: port) }

  /// What a server of this release says in the handshake.
  static let offer = HandshakeOffer(
    settingsValue: V1.range.settingsValue,
    hello: HelloFrame.encode(
      .with {
        $0.software = "9.8.7"
        $0.serverID = "fake"
        $0.features = ["one", "two"]
        $0.reason = "because"
      }, grease: 3))
  /// What a server says that speaks one wire version.
  static func offer(of wire: any WireVersion.Type) -> HandshakeOffer {
    HandshakeOffer(settingsValue: WireRange(wire.number, wire.number).settingsValue, hello: [])
  }

  /// What gets through a proxy: nothing.
  static let proxied = HandshakeOffer(settingsValue: 0, hello: [])

  init(
    offer: HandshakeOffer = FakeServer.offer, host: String = "127.0.0.1", port: Int = 0,
    _ script: @escaping Script
  ) async throws {
    self.host = host
    state = Mutex(State(script: script, offer: offer))
    loop = MultiThreadedEventLoopGroup.singleton.next()
    let box = Box()
    let channel = try await ServerBootstrap(group: loop)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if let server = box.server.withLock({ $0 }) { try server.accept(channel) }
        }
      }
      .bind(host: host, port: port).get()
    self.port = channel.localAddress!.port!
    box.server.withLock { $0 = self }
    listener.withLock { $0 = channel }
  }

  /// Children are accepted on the listener's loop: there is no race for the connections' numbers.
  private final class Box: Sendable {
    let server = Mutex<FakeServer?>(nil)
  }

  private func accept(_ channel: any Channel) throws {
    let (offer, number) = state.withLock { ($0.offer, $0.connections.count + 1) }
    let connection = FakeConnection(number, channel, self)
    connection.handler = HTTP2ServerHandler(
      receiver: connection, offer: offer, limits: HTTP2Limits(), grease: .system,
      rejections: Rejections(status: 400),
      events: connection)
    state.withLock {
      $0.connections.append(NIOLoopBound(connection, eventLoop: channel.eventLoop))
    }
    try channel.pipeline.syncOperations.addHandler(connection.handler)
  }

  fileprivate func answer(_ request: FakeRequest) -> FakeAnswer {
    let (script, request) = state.withLock { state in
      var request = request
      request.number = state.requests.count + 1
      state.requests.append(request)
      return (state.script, request)
    }
    return script(request)
  }

  // MARK: - What a test sees and does

  var requests: [FakeRequest] { state.withLock { $0.requests } }
  var connectionCount: Int { state.withLock { $0.connections.count } }

  func requests(_ method: String) -> [FakeRequest] { requests.filter { $0.method == method } }

  /// Returns when `count` requests of `method` have come.
  func received(_ count: Int, _ method: String) async throws {
    try await until { self.requests(method).count >= count }
  }

  func change(_ script: @escaping Script) { state.withLock { $0.script = script } }

  /// Sends a new offer on all live connections.
  func change(offer: HandshakeOffer) async throws {
    for connection in state.withLock({
      $0.offer = offer
      return $0.connections
    }) {
      try await loop.submit { connection.value.handler.update(offer: offer) }.get()
    }
  }

  /// How many requests that got no answer were reset or lost with their connection.
  func countAbandoned() async throws -> Int {
    let connections = state.withLock { $0.connections }
    return try await loop.submit {
      connections.reduce(0) { $0 + $1.value.unanswered.count { !$0.isOpen } }
    }.get()
  }

  func countOpen() async throws -> Int {
    let connections = state.withLock { $0.connections }
    return try await loop.submit { connections.count { $0.value.channel.isActive } }.get()
  }

  /// What each connection's client said of itself.
  func hellos() async throws -> [(settings: UInt32, hello: Latchkey_Handshake_V1_Hello)] {
    let connections = state.withLock { $0.connections }
    return try await loop.submit {
      connections.compactMap { connection in
        connection.value.hello.map { (connection.value.settingsValue, $0) }
      }
    }.get()
  }

  /// Closes every connection without a word.
  func hangUp() async throws {
    let connections = state.withLock { $0.connections }
    try await loop.submit {
      for connection in connections { connection.value.channel.close(promise: nil) }
    }.get()
  }

  /// Reads nothing more and accepts nothing more, like a process that gets SIGSTOP: the kernel goes
  /// on accepting connections and bytes.
  func suspend() async throws {
    try await listener.withLock { $0 }?.setOption(.autoRead, value: false).get()
    let connections = state.withLock { $0.connections }
    for connection in connections {
      let channel = try await loop.submit { connection.value.channel }.get()
      try await channel.setOption(.autoRead, value: false).get()
    }
  }

  /// Takes no new connections and closes the old ones.
  func stop() async throws {
    try await listener.withLock { $0 }?.close()
    try await hangUp()
  }
}

/// One connection of a fake server. Belongs to its event loop.
final class FakeConnection: RequestReceiver, HTTP2ServerEvents {
  let number: Int
  let channel: any Channel
  let server: FakeServer
  var handler: HTTP2ServerHandler!
  var unanswered: [any Exchange] = []
  var settingsValue: UInt32 = 0
  var hello: Latchkey_Handshake_V1_Hello?

  init(_ number: Int, _ channel: any Channel, _ server: FakeServer) {
    self.number = number
    self.channel = channel
    self.server = server
  }

  func peerOffered(settingsValue: UInt32) { self.settingsValue = settingsValue }
  func peerHello(_ payload: [UInt8]) { hello = HelloFrame.decode(payload) }
  func connectionEnded(reason: HTTP2ConnectionEnd) {}

  func receive(_ head: HeaderBlock, body: [UInt8], exchange: any Exchange) {
    let fields = Dictionary(head.strings) { _, last in last }
    let request = FakeRequest(
      connection: number, number: 0, path: fields[":path"] ?? "", fields: fields, body: body)
    answer(server.answer(request), exchange)
  }

  private func answer(_ answer: FakeAnswer, _ exchange: any Exchange) {
    switch answer {
    case .later(let delay, let time, let answer):
      unanswered.append(exchange)
      let this = NIOLoopBound((self, exchange), eventLoop: channel.eventLoop)
      _ = time.schedule(at: time.now + delay, on: channel.eventLoop) {
        let (connection, exchange) = this.value
        guard exchange.isOpen else { return }
        connection.unanswered.removeAll { $0 === exchange }
        connection.answer(answer, exchange)
      }
    case .reply(let status, let fields, let body):
      exchange.respond(headers(status, fields), body: body)
    case .error(let error, let fields):
      exchange.respond(headers(error.httpStatus, fields), body: error.json)
    case .silence: unanswered.append(exchange)
    case .hangUp: channel.close(promise: nil)
    case .drain(let body):
      handler.beginDrain()
      exchange.respond(headers(200, [:]), body: body)
    }
  }

  private func headers(_ status: Int, _ fields: [String: String]) -> ResponseHeaders {
    let type = ["content-type": status == 200 ? "application/proto" : "application/json"]
    return ResponseHeaders(
      status: status, fields: type.merging(fields) { $1 }.map { ($0, $1) })
  }
}
