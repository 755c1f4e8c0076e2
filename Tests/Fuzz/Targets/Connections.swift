import HTTP
import NIOCore
import NIOEmbedded
import NIOSSL
import HTTPServer

/// The first byte says into how large pieces the rest is cut: a state of a parser may only be reached
/// where one piece ends within something.
func fuzzHTTP1(_ input: UnsafeRawBufferPointer) { fuzzConnection(input, opening: []) }

/// Behind the preface, so that all of the input is frames.
func fuzzHTTP2(_ input: UnsafeRawBufferPointer) {
  fuzzConnection(input, opening: Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8))
}

private func fuzzConnection(_ input: UnsafeRawBufferPointer, opening: [UInt8]) {
  guard let first = input.first else { return }
  let loop = EmbeddedEventLoop()
  let channel = EmbeddedChannel(loop: loop)
  let pipeline = ServerPipeline(grease: .none) { refusal in
    Rejections.Rejection(
      headers: ResponseHeaders(status: refusal.status, fields: [("latchkey-wire", "1-3")]),
      body: Array(refusal.message.utf8))
  }
  do {
    try pipeline.configure(
      channel, tls: nil, receiver: Answering(), turns: Turns(eventLoop: loop),
      handshakes: Handshakes(), events: NoEvents())
    channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
  } catch {
    preconditionFailure("a connection cannot be set up: \(error)")
  }
  loop.run()
  let size = max(1, Int(first) * Int(first))
  var rest = opening[...] + Array(input.dropFirst())
  while !rest.isEmpty, channel.isActive {
    let piece = rest.prefix(max(size, opening.count))
    rest = rest.dropFirst(piece.count)
    // What it throws, it has thrown to the peer as well.
    _ = try? channel.writeInbound(ByteBuffer(bytes: piece))
    loop.run()
    while (try? channel.readOutbound(as: ByteBuffer.self)) != nil {}
  }
  loop.advanceTime(by: .hours(1))
  precondition(!channel.isActive || rest.isEmpty, "a connection that is idle for an hour is closed")
  _ = try? channel.finish(acceptAlreadyClosed: true)
  loop.run()
}

/// Answers every other request at once, and the rest when the next one comes.
private final class Answering: RequestReceiver {
  private var waiting: [any Exchange] = []

  func receive(_ head: HeaderBlock, body: [UInt8], exchange: any Exchange) {
    waiting.append(exchange)
    guard waiting.count > 1 else { return }
    for exchange in waiting.reversed() {
      exchange.respond(ResponseHeaders(status: 200, fields: [("x-answer", "yes")]), body: body)
    }
    waiting = []
  }
}

private final class NoEvents: ServerPipeline.Events {
  func handshakeOffer() -> HandshakeOffer {
    HandshakeOffer(settingsValue: 0x0003_0001, hello: [1, 2, 3])
  }
  func peerShowed(_ certificate: NIOSSLCertificate) {}
  func opened(_ handler: any ServerPipeline.Handler, protocolName: String?) {}
  func failed(_ end: ServerPipeline.EarlyEnd) {}
  func peerOffered(settingsValue: UInt32) {}
  func peerHello(_ payload: [UInt8]) {}
  func connectionEnded(reason: HTTP2ConnectionEnd) {}
}
