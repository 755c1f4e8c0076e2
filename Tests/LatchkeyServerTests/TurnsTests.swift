import HTTP2
import Glibc
import NIOCore
import NIOPosix
import RPC
import Synchronization
import TestKit
import Testing

/// Connections of one event loop, on real sockets: one that has sent much at once does not keep the others
/// waiting.
@Suite struct TurnsTests {
  /// Answers at once. With the first request for `/a`, another connection asks for `/b`.
  private final class Receiver: RequestReceiver {
    private let paths: Shared
    private let ask: () -> Void

    init(_ paths: Shared, ask: @escaping () -> Void) {
      self.paths = paths
      self.ask = ask
    }

    func receive(_ head: HeaderBlock, body: [UInt8], exchange: any Exchange) {
      let path = head.value(of: ":path") ?? ""
      if path == "/a", !paths.now.contains("/a") { ask() }
      paths.note(path)
      exchange.respond(ResponseHeaders(status: 200, fields: []), body: [])
    }
  }

  private final class Shared: Sendable {
    private let paths = Mutex<[String]>([])
    var now: [String] { paths.withLock { $0 } }
    func note(_ path: String) { paths.withLock { $0.append(path) } }
  }

  private final class NoEvents: HTTP2ServerEvents {
    func peerOffered(settingsValue: UInt32) {}
    func peerHello(_ payload: [UInt8]) {}
    func connectionEnded(reason: HTTP2ConnectionEnd) {}
  }

  private static func get(_ path: String, close: Bool = false) -> String {
    "GET \(path) HTTP/1.1\r\nhost: x\r\n\(close ? "connection: close\r\n" : "")\r\n"
  }

  /// Few enough to be read at once.
  private static let burst = 50

  @Test func othersAreServedBetweenPipelinedRequests() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let paths = Shared()
    let bystander = Mutex<PlainSocket?>(nil)
    let turns = try await loop.submit {
      NIOLoopBound(Turns(eventLoop: loop), eventLoop: loop)
    }.get()
    let listener = try await ServerBootstrap(group: group)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          var limits = HTTP1Limits()
          limits.turnRequestsMax = 1
          // What is sent on this machine is there to be read when `send` returns.
          let receiver = Receiver(paths) { bystander.withLock { _ = $0?.send(Self.get("/b")) } }
          try ServerPipeline(http1: limits, grease: .none, commonFields: []).configure(
            channel, receiver: receiver, turns: turns.value,
            offer: { HandshakeOffer(settingsValue: 0x0001_0001, hello: []) }, events: NoEvents(),
            opened: { _, _ in }, failed: { _ in })
        }
      }
      .bind(host: InProcessServer.host, port: 0).get()
    let port = try #require(listener.localAddress?.port)
    // Both are accepted, and read from, before the burst.
    let waiting = try PlainSocket(port: port)
    waiting.send(Self.get("/first"))
    while !paths.now.contains("/first") { try await Task.sleep(for: .milliseconds(1)) }
    bystander.withLock { $0 = waiting }
    let busy = try PlainSocket(port: port)
    busy.send(
      String(repeating: Self.get("/a"), count: Self.burst) + Self.get("/last", close: true))
    let answers = String(decoding: busy.readToEnd(), as: UTF8.self)
    #expect(answers.ranges(of: "HTTP/1.1 200 OK").count == Self.burst + 1)
    let order = paths.now
    #expect(order.count(where: { $0 == "/a" }) == Self.burst)
    #expect(order.last == "/last" && order.contains("/b"))
    try await listener.close()
    try await group.shutdownGracefully()
  }
}
