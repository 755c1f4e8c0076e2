import HTTP
import HTTPServer
import NIOCore
import NIOEmbedded
import NIOSSL
import TLS

/// A connection to the server's pipeline whose time and bytes are the test's.
final class TestConnection {
  let loop = EmbeddedEventLoop()
  let channel: EmbeddedChannel
  let receiver = TestReceiver()
  private let opening = Opening()

  init(
    http1: HTTP1Limits = HTTP1Limits(), arrivals: RoomBudget = RoomBudget(),
    tls: TLSMaterial? = nil, handshakes: Handshakes = Handshakes()
  ) throws {
    channel = EmbeddedChannel(loop: loop)
    let pipeline = ServerPipeline(
      http1: http1, grease: .none, arrivals: arrivals
    ) { refusal in
      Rejections.Rejection(
        headers: ResponseHeaders(status: refusal.status, fields: [("x-common", "yes")]),
        body: Array(refusal.message.utf8))
    }
    try pipeline.configure(
      channel, tls: tls, receiver: receiver, turns: Turns(eventLoop: loop), handshakes: handshakes,
      events: opening)
    channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    loop.run()
  }

  /// What the connection turned out to speak; nil while that is not known.
  var protocolName: String? { opening.protocolName }
  /// How often that was said.
  var openingCount: Int { opening.count }
  /// Why it came to nothing, where it did so early.
  var earlyEnds: [ServerPipeline.EarlyEnd] { opening.ends }
  var isOpen: Bool { channel.isActive }

  /// From now on the peer reads nothing.
  func stopReading() throws {
    try channel.pipeline.syncOperations.addHandler(DeafPeer(), position: .first)
  }

  /// The peer sends no more, and may still read.
  func endInput() {
    channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    loop.run()
  }

  func beginDrain() {
    opening.connection?.beginDrain()
    loop.run()
  }

  func send(_ bytes: [UInt8]) throws {
    if channel.isActive { try channel.writeInbound(ByteBuffer(bytes: bytes)) }
    loop.run()
  }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  func advance(by time: TimeAmount) { loop.advanceTime(by: time) }

  /// What the server has written since this was asked last.
  func takeBytes() throws -> [UInt8] {
    loop.run()
    var bytes: [UInt8] = []
    while let buffer = try channel.readOutbound(as: ByteBuffer.self) {
      bytes.append(contentsOf: buffer.readableBytesView)
    }
    return bytes
  }

  func takeText() throws -> String { String(decoding: try takeBytes(), as: UTF8.self) }

  private final class Opening: ServerPipeline.Events {
    var connection: (any ServerPipeline.Handler)?
    var protocolName: String?
    var count = 0
    var ends: [ServerPipeline.EarlyEnd] = []

    func handshakeOffer() -> HandshakeOffer {
      HandshakeOffer(settingsValue: 0x0001_0001, hello: [])
    }
    func peerShowed(_ certificate: NIOSSLCertificate) {}
    func opened(_ handler: any ServerPipeline.Handler, protocolName: String?) {
      (connection, self.protocolName) = (handler, protocolName)
      if protocolName != nil { count += 1 }
    }
    func failed(_ end: ServerPipeline.EarlyEnd) { ends.append(end) }
    func peerOffered(settingsValue: UInt32) {}
    func peerHello(_ payload: [UInt8]) {}
    func connectionEnded(reason: HTTP2ConnectionEnd) {}
  }
}

/// Lets no write through, and completes none.
private final class DeafPeer: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer

  private var unwritten: [EventLoopPromise<Void>] = []

  func write(
    context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
  ) {
    if let promise { unwritten.append(promise) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    for promise in unwritten { promise.fail(ChannelError.ioOnClosedChannel) }
  }
}

/// Keeps what it gets, and answers when the test says so.
final class TestReceiver: RequestReceiver {
  struct Request {
    var method: String
    var path: String
    var head: HeaderBlock
    var body: [UInt8]
    var exchange: any Exchange

    func answer(_ text: String = "fine", status: Int = 200) {
      exchange.respond(
        ResponseHeaders(status: status, fields: [("x-answer", "yes")]), body: Array(text.utf8))
    }
  }

  var requests: [Request] = []
  var answersAtOnce = true
  /// Called with every request.
  var takesTime: () -> Void = {}
  /// How many requests were ever being taken, one within the other.
  private(set) var depthMax = 0
  private var depth = 0

  func receive(_ head: HeaderBlock, body: [UInt8], exchange: any Exchange) {
    depth += 1
    defer { depth -= 1 }
    depthMax = max(depthMax, depth)
    let request = Request(
      method: head.value(of: ":method") ?? "", path: head.value(of: ":path") ?? "", head: head,
      body: body, exchange: exchange)
    requests.append(request)
    takesTime()
    if answersAtOnce { request.answer() }
  }
}
