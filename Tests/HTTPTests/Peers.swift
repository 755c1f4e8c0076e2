import HTTP
import NIOCore
import NIOEmbedded

/// Takes requests and keeps them, or answers in place.
final class TestReceiver: RequestReceiver {
  struct Received {
    var head: HeaderBlock
    var body: [UInt8]
    var exchange: any Exchange

    var path: String? { head.value(of: ":path") }
  }

  var received: [Received] = []
  /// Called for each request; by default it stays unanswered.
  var answer: ((Received) -> Void)?

  func receive(_ head: HeaderBlock, body: [UInt8], exchange: any Exchange) {
    let request = Received(head: head, body: body, exchange: exchange)
    received.append(request)
    answer?(request)
  }

  /// Answers every request at once with its own body.
  func echo() { answer = { $0.exchange.respond(TestReceiver.ok, body: $0.body) } }

  static let ok = ResponseHeaders(status: 200, fields: [("content-type", "text/plain")])
}

final class ServerRecorder: HTTP2ServerEvents {
  var offers: [UInt32] = []
  var hellos: [[UInt8]] = []
  var ends: [HTTP2ConnectionEnd] = []

  func peerOffered(settingsValue: UInt32) { offers.append(settingsValue) }
  func peerHello(_ payload: [UInt8]) { hellos.append(payload) }
  func connectionEnded(reason: HTTP2ConnectionEnd) { ends.append(reason) }
}

final class ClientRecorder: HTTP2ClientEvents {
  var offers: [UInt32] = []
  var hellos: [[UInt8]] = []
  var goAways: [Int32] = []
  var ends: [HTTP2ConnectionEnd] = []

  func peerOffered(settingsValue: UInt32) { offers.append(settingsValue) }
  func peerHello(_ payload: [UInt8]) { hellos.append(payload) }
  func bytesReceived() {}
  func goAway(lastStream: Int32, code: UInt32) { goAways.append(lastStream) }
  func closed(reason: HTTP2ConnectionEnd) { ends.append(reason) }
}

enum Fixtures {
  static let serverOffer = HandshakeOffer(settingsValue: 0x0003_0001, hello: Array("server".utf8))
  static let clientOffer = HandshakeOffer(settingsValue: 0x0002_0002, hello: Array("client".utf8))

  static let rejections = Rejections(
    headersTooLarge: rejection(431), bodyTooLarge: rejection(413), tooManyBytes: rejection(429),
    malformed: rejection(400), timedOut: rejection(408))

  private static func rejection(_ status: Int) -> Rejections.Rejection {
    Rejections.Rejection(
      headers: ResponseHeaders(status: status, fields: [("x-rejected", "\(status)")]),
      body: Array("rejected \(status)".utf8))
  }
}

/// A generator whose sequence follows from its seed (SplitMix64).
final class SeededBits: @unchecked Sendable {
  // Sendable: used by one test, on one thread.
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var bits = state
    bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
    return bits ^ (bits >> 31)
  }
}

extension EmbeddedChannel {
  /// An active channel on `loop` with nothing but `handler`.
  static func active(_ handler: any ChannelHandler, loop: EmbeddedEventLoop) throws
    -> EmbeddedChannel
  {
    let channel = EmbeddedChannel(handler: handler, loop: loop)
    try channel.connect(to: SocketAddress(unixDomainSocketPath: "/test")).wait()
    return channel
  }

  /// All that the handler wrote and nobody took yet, one array per write.
  func takeWrites() throws -> [[UInt8]] {
    var writes: [[UInt8]] = []
    while let buffer = try readOutbound(as: ByteBuffer.self) {
      writes.append(Array(buffer.readableBytesView))
    }
    return writes
  }
}

/// A client and a server, back to back, on one event loop whose time stands still.
final class Pair {
  let loop = EmbeddedEventLoop()
  let receiver = TestReceiver()
  let serverEvents = ServerRecorder()
  let clientEvents = ClientRecorder()
  let server: HTTP2ServerHandler
  let client: HTTP2ClientHandler
  let serverChannel: EmbeddedChannel
  let clientChannel: EmbeddedChannel

  init(
    limits: HTTP2Limits = HTTP2Limits(), clientLimits: HTTP2Limits? = nil, grease: Grease = .none
  ) throws {
    server = HTTP2ServerHandler(
      receiver: receiver, offer: Fixtures.serverOffer, limits: limits, grease: grease,
      rejections: Fixtures.rejections, events: serverEvents)
    client = HTTP2ClientHandler(
      authority: "test", offer: Fixtures.clientOffer, limits: clientLimits ?? limits,
      grease: grease, events: clientEvents)
    serverChannel = try .active(server, loop: loop)
    clientChannel = try .active(client, loop: loop)
  }

  deinit {
    serverChannel.close(promise: nil)
    clientChannel.close(promise: nil)
    loop.run()
  }

  /// Moves bytes both ways until nobody has anything to say.
  func settle() throws {
    var isMoving = true
    while isMoving {
      isMoving = false
      loop.run()
      for (from, to) in [(clientChannel, serverChannel), (serverChannel, clientChannel)] {
        for write in try from.takeWrites() where to.isActive {
          try to.writeInbound(ByteBuffer(bytes: write))
          isMoving = true
        }
      }
    }
    // A side that closed is seen by the other.
    if serverChannel.isActive != clientChannel.isActive {
      let open = serverChannel.isActive ? serverChannel : clientChannel
      open.close(promise: nil)
      loop.run()
    }
  }

  /// Sends a request whose result comes into the returned box.
  @discardableResult
  func send(
    _ path: String = "/test", body: [UInt8] = [], fields: [(String, String)] = []
  ) -> Outcome {
    let outcome = Outcome()
    outcome.id = client.send(
      method: "POST", path: path, fields: fields, body: body, completion: outcome.set)
    return outcome
  }
}

/// The result of one request.
final class Outcome {
  var id: HTTP2RequestID?
  var results: [Result<HTTP2Response, HTTP2ClientError>] = []

  func set(_ result: Result<HTTP2Response, HTTP2ClientError>) { results.append(result) }

  /// The response of a request that was completed once.
  var response: HTTP2Response? { results.count == 1 ? try? results[0].get() : nil }
  /// The error of a request that was completed once.
  var error: HTTP2ClientError? {
    if results.count == 1, case .failure(let error) = results[0] { error } else { nil }
  }
}
