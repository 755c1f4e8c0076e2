import HTTP
import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import HTTPServer
import Exclusion
import TestKit
import Testing

/// Connections of one event loop, on real sockets: one that has sent much at once does not keep the others
/// waiting.
@Suite struct OthersTurnTests {
  /// Answers at once. With the first request for `/a`, another connection asks for `/b`.
  private final class Receiver: RequestReceiver {
    private let paths: Shared
    private let ask: () -> Void
    private let each: () -> Void

    /// - Parameter each: Called for every request.
    init(_ paths: Shared, ask: @escaping () -> Void, each: @escaping () -> Void) {
      self.paths = paths
      self.ask = ask
      self.each = each
    }

    func receive(_ head: HeaderBlock, body: [UInt8], exchange: any Exchange) {
      let path = head.value(of: ":path") ?? ""
      if path == "/a", !paths.now.contains("/a") { ask() }
      paths.note(path)
      each()
      exchange.respond(ResponseHeaders(status: 200, fields: []), body: [])
    }
  }

  private final class Shared: Sendable {
    private let paths = Mutex<[String]>([])
    var now: [String] { paths.withLock { $0 } }
    func note(_ path: String) { paths.withLock { $0.append(path) } }
  }

  private final class NoEvents: ServerPipeline.Events {
    func handshakeOffer() -> HandshakeOffer {
      HandshakeOffer(settingsValue: 0x0001_0001, hello: [])
    }
    func peerShowed(_ certificate: NIOSSLCertificate) {}
    func opened(_ handler: any ServerPipeline.Handler, protocolName: String?) {}
    func failed(_ end: ServerPipeline.EarlyEnd) {}
    func peerOffered(settingsValue: UInt32) {}
    func peerHello(_ payload: [UInt8]) {}
    func connectionEnded(reason: HTTP2ConnectionEnd) {}
  }

  private static func get(_ path: String, close: Bool = false) -> String {
    "GET \(path) HTTP/1.1\r\nhost: x\r\n\(close ? "connection: close\r\n" : "")\r\n"
  }

  /// Few enough to be read at once.
  private static let burst = 50

  /// A server of one event loop, whose receiver has `bystander` ask when the first request of a burst comes.
  private struct Server {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let paths = Shared()
    private let listener: any Channel
    let turns: NIOLoopBound<Turns>
    let port: Int
    /// Asks for `/b` when the first `/a` has come.
    let bystander: PlainSocket

    init(_ http1: HTTP1Limits = HTTP1Limits(), each: @escaping @Sendable () -> Void = {})
      async throws
    {
      let loop = group.next()
      let turns = try await loop.submit {
        NIOLoopBound(Turns(eventLoop: loop), eventLoop: loop)
      }.get()
      let paths = paths
      let asked = Mutex<PlainSocket?>(nil)
      let listener = try await ServerBootstrap(group: group)
        .childChannelOption(.maxMessagesPerRead, value: 1)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            // What is sent on this machine is there to be read when `send` returns.
            let receiver = Receiver(
              paths, ask: { asked.withLock { _ = $0?.send(OthersTurnTests.get("/b")) } }, each: each
            )
            let pipeline = ServerPipeline(http1: http1, grease: .none) { refusal in
              Rejections.Rejection(
                headers: ResponseHeaders(status: refusal.status, fields: []), body: [])
            }
            try pipeline.configure(
              channel, tls: nil, receiver: receiver, turns: turns.value, handshakes: Handshakes(),
              events: NoEvents())
          }
        }
        .bind(host: InProcessServer.host, port: 0).get()
      self.listener = listener
      self.turns = turns
      port = try #require(listener.localAddress?.port)
      bystander = try PlainSocket(port: port)
      // Accepted, and read from, before the burst.
      bystander.send(OthersTurnTests.get("/first"))
      while !paths.now.contains("/first") { try await Task.sleep(for: .milliseconds(1)) }
      let bystander = bystander
      asked.withLock { $0 = bystander }
    }

    func end() async throws {
      try await listener.close()
      try await group.shutdownGracefully()
    }
  }

  @Test func othersAreServedBetweenPipelinedRequests() async throws {
    var limits = HTTP1Limits()
    limits.turnRequestsMax = 1
    let server = try await Server(limits)
    let busy = try PlainSocket(port: server.port)
    busy.send(
      String(repeating: Self.get("/a"), count: Self.burst) + Self.get("/last", close: true))
    let answers = String(decoding: busy.readToEnd(), as: UTF8.self)
    #expect(answers.ranges(of: "HTTP/1.1 200 OK").count == Self.burst + 1)
    let order = server.paths.now
    #expect(order.count(where: { $0 == "/a" }) == Self.burst)
    #expect(order.last == "/last" && order.contains("/b"))
    try await server.end()
  }

  @Test func othersAreServedBetweenRequestsOfHTTP2() async throws {
    // Each takes longer than a turn.
    let server = try await Server { usleep(600) }
    // Somebody waits at all times.
    let isOver = Mutex(false)
    @Sendable func waitOn() {
      guard !isOver.withLock({ $0 }) else { return }
      server.turns.value.wait(Turns.Account(), waitOn)
    }
    try await server.group.next().submit { waitOn() }.get()
    let burst = 500
    let busy = try PlainSocket(port: server.port)
    busy.send(Self.http2Requests(for: "/a", count: burst))
    while server.paths.now.count(where: { $0 == "/a" }) < burst {
      try await Task.sleep(for: .milliseconds(1))
    }
    isOver.withLock { $0 = true }
    let order = server.paths.now
    let served = try #require(order.firstIndex(of: "/b"))
    // A piece or two of what was read at once.
    #expect(served < 60)
    try await server.end()
  }

  /// A connection's beginning, and requests on it.
  private static func http2Requests(for path: String, count: Int) -> [UInt8] {
    func frame(_ type: UInt8, flags: UInt8, stream: Int, _ payload: [UInt8]) -> [UInt8] {
      [0, 0, UInt8(payload.count), type, flags, 0, 0, UInt8(stream >> 8), UInt8(stream & 0xFF)]
        + payload
    }
    // RFC 7541, appendix A: GET, http, and literals for the path and the authority.
    let fields: [UInt8] = [0x82, 0x86, 0x04, UInt8(path.utf8.count)] + path.utf8 + [0x01, 1, 0x78]
    let requests = (0..<count).flatMap { frame(1, flags: 0x05, stream: 2 * $0 + 1, fields) }
    return Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, flags: 0, stream: 0, [])
      + requests
  }
}
