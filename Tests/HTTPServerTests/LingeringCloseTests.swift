import NIOCore
import HTTPServer
import Testing

/// What a connection does after an answer that its peer has not read yet.
@Suite("Lingering close")
struct LingeringCloseTests {
  /// Stands for a socket that can be closed for one direction.
  private final class HalfClosing: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    var isOutputClosed = false

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
      guard mode == .output else { return context.close(mode: mode, promise: promise) }
      isOutputClosed = true
      promise?.succeed()
    }
  }

  private static let tooLarge = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999\r\n\r\n"
  private static let piece = [UInt8](repeating: 0x61, count: 1 << 20)

  private func refused(_ connection: TestConnection, _ text: String = tooLarge) throws {
    let socket = HalfClosing()
    try connection.channel.pipeline.syncOperations.addHandler(socket, position: .first)
    try connection.send(text)
    #expect(try connection.takeText().hasPrefix("HTTP/1.1 4"))
    #expect(socket.isOutputClosed && connection.isOpen)
  }

  @Test(
    "what comes after a refusal is read and dropped, up to a bound",
    arguments: [tooLarge, "GET / HTTP/9.9.9\r\n\r\n"])
  func bytes(_ text: String) throws {
    let connection = try TestConnection()
    try refused(connection, text)
    let pieces = HTTP1Limits().lingerBytesMax / Self.piece.count
    for _ in 0..<pieces { try connection.send(Self.piece) }
    #expect(connection.isOpen)
    try connection.send([0x61])
    #expect(!connection.isOpen)
    #expect(try connection.takeBytes().isEmpty)
    #expect(connection.receiver.requests.isEmpty)
  }

  @Test("the connection ends when the peer closes its side")
  func peerCloses() throws {
    let connection = try TestConnection()
    try refused(connection)
    try connection.send(Self.piece)
    connection.endInput()
    #expect(!connection.isOpen)
  }

  @Test("or when time is over, sooner where the server shuts down", arguments: [false, true])
  func time(isDraining: Bool) throws {
    let limits = HTTP1Limits()
    let connection = try TestConnection()
    try refused(connection)
    let time = isDraining ? limits.lingerDrainTimeout : limits.lingerTimeout
    if isDraining { connection.beginDrain() }
    connection.advance(by: time - .milliseconds(1))
    try connection.send(Self.piece)
    #expect(connection.isOpen)
    connection.advance(by: .milliseconds(1))
    #expect(!connection.isOpen)
  }

  @Test("so it is where more was sent ahead than is kept")
  func ahead() throws {
    let connection = try TestConnection()
    let socket = HalfClosing()
    try connection.channel.pipeline.syncOperations.addHandler(socket, position: .first)
    connection.receiver.answersAtOnce = false
    try connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    try connection.send([UInt8](repeating: 0x61, count: HTTP1Limits().aheadBytesMax + 1))
    connection.receiver.requests[0].answer()
    #expect(try connection.takeText().hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(socket.isOutputClosed && connection.isOpen)
    connection.endInput()
    #expect(!connection.isOpen)
  }

  @Test(
    "so it is where the connection ends with requests behind the last one",
    arguments: [false, true])
  func pipelined(isDraining: Bool) throws {
    let connection = try TestConnection()
    let socket = HalfClosing()
    try connection.channel.pipeline.syncOperations.addHandler(socket, position: .first)
    let get = "GET / HTTP/1.1\r\nhost: a\r\n"
    if isDraining { connection.receiver.answersAtOnce = false }
    try connection.send(get + (isDraining ? "\r\n" : "connection: close\r\n\r\n") + get + "\r\n")
    if isDraining {
      connection.beginDrain()
      connection.receiver.requests[0].answer()
    }
    #expect(try connection.takeText().ranges(of: "HTTP/1.1 200 OK\r\n").count == 1)
    #expect(socket.isOutputClosed && connection.isOpen)
    if isDraining {
      connection.advance(by: HTTP1Limits().lingerDrainTimeout)
    } else {
      connection.endInput()
    }
    #expect(!connection.isOpen)
    #expect(connection.receiver.requests.count == 1)
  }
}
