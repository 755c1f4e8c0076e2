import HTTP
import NIOCore
import NIOEmbedded
import HTTPServer
import Testing

/// How what has come on a connection is passed on while others wait.
@Suite("Paced reads")
struct PacedReadsTests {
  /// Takes notes of what is passed on.
  private final class Reader: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never

    private(set) var pieces: [[UInt8]] = []
    private(set) var readEnds = 0
    private(set) var isInputClosed = false
    private(set) var errors: [String] = []
    /// Called with each piece.
    var whilePassing: () -> Void = {}
    var wantsMore = true

    var bytes: [UInt8] { pieces.flatMap { $0 } }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      pieces.append(Array(unwrapInboundIn(data).readableBytesView))
      whilePassing()
    }

    func channelReadComplete(context: ChannelHandlerContext) { readEnds += 1 }

    func read(context: ChannelHandlerContext) { if wantsMore { context.read() } }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { errors.append("\(error)") }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if event as? ChannelEvent == .inputClosed { isInputClosed = true }
    }
  }

  /// Stands for the socket.
  private final class Socket: ChannelOutboundHandler {
    typealias OutboundIn = Never
    private(set) var reads = 0
    func read(context: ChannelHandlerContext) { reads += 1 }
  }

  private final class Scene {
    let loop = EmbeddedEventLoop()
    let channel: EmbeddedChannel
    let turns: Turns
    let arrivals: RoomBudget
    let reader = Reader()
    let socket = Socket()

    init(roomBytes: Int = RoomBudget.serverBytesMax) throws {
      channel = EmbeddedChannel(loop: loop)
      turns = Turns(eventLoop: loop)
      arrivals = RoomBudget(bytesMax: roomBytes)
      try channel.pipeline.syncOperations.addHandlers([
        socket, PacedReads(turns: turns, arrivals: arrivals), reader,
      ])
      channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    /// Somebody else has to wait.
    func others() { turns.wait(Turns.Account()) {} }

    /// What one look at the socket brings.
    func come(_ bytes: [UInt8]) {
      channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes))
      channel.pipeline.fireChannelReadComplete()
      channel.pipeline.read()
    }

    /// The next ones go on.
    func turn() { loop.advanceTime(by: Turns.pause) }
  }

  private static let piece = Turns.littleBytes
  /// All bytes differ from their neighbours.
  private static let much = (0..<(10 * piece + 7)).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }

  @Test("much is passed on at once where nobody waits")
  func alone() throws {
    let scene = try Scene()
    scene.come(Self.much)
    #expect(scene.reader.pieces == [Self.much])
    #expect(scene.reader.readEnds == 1)
    #expect(scene.socket.reads == 1)
  }

  @Test("little is passed on at once though others wait")
  func little() throws {
    let scene = try Scene()
    scene.others()
    let little = Array(Self.much.prefix(Self.piece))
    scene.come(little)
    #expect(scene.reader.pieces == [little])
    #expect(scene.socket.reads == 1)
  }

  @Test("much that comes while others wait is passed on in pieces, when it is its turn")
  func turns() throws {
    let scene = try Scene()
    scene.others()
    scene.come(Self.much)
    #expect(scene.reader.pieces.isEmpty)
    #expect(scene.socket.reads == 0)
    #expect(scene.arrivals.bytesUsed == 0, "so little is free")
    scene.turn()
    #expect(scene.reader.bytes == Self.much)
    #expect(scene.reader.pieces.allSatisfy { $0.count <= Self.piece })
    // Of nothing, and of all.
    #expect(scene.reader.readEnds == 2)
    #expect(scene.socket.reads == 1)
    scene.come(Self.much)
    #expect(scene.reader.bytes == Self.much + Self.much)
  }

  @Test("nothing is passed on while those behind want nothing")
  func backPressure() throws {
    let scene = try Scene()
    scene.others()
    scene.reader.wantsMore = false
    scene.come(Self.much)
    for _ in 0..<3 { scene.turn() }
    #expect(scene.reader.pieces.isEmpty)
    scene.reader.whilePassing = { scene.reader.wantsMore = scene.reader.pieces.count < 3 }
    scene.reader.wantsMore = true
    scene.channel.pipeline.read()
    scene.turn()
    #expect(scene.reader.pieces.count == 3)
    for _ in 0..<3 { scene.turn() }
    #expect(scene.reader.pieces.count == 3)
    scene.reader.whilePassing = {}
    scene.reader.wantsMore = true
    scene.channel.pipeline.read()
    scene.turn()
    #expect(scene.reader.bytes == Self.much)
  }

  @Test("the end of what the peer sends comes behind its last bytes")
  func inputClosed() throws {
    let scene = try Scene()
    scene.others()
    // The end is read together with all that came before, and nothing is asked for after it.
    for part in [Self.much, Self.much] {
      scene.channel.pipeline.fireChannelRead(ByteBuffer(bytes: part))
    }
    scene.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    scene.channel.pipeline.fireChannelReadComplete()
    #expect(!scene.reader.isInputClosed)
    scene.reader.whilePassing = { #expect(!scene.reader.isInputClosed) }
    scene.turn()
    #expect(scene.reader.bytes == Self.much + Self.much)
    #expect(scene.reader.isInputClosed)
  }

  @Test("it comes at once where nothing is kept")
  func inputClosedAtOnce() throws {
    let scene = try Scene()
    scene.come(Self.much)
    scene.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    #expect(scene.reader.isInputClosed)
  }

  @Test("what is kept counts, and is given back", arguments: [false, true])
  func room(isClosed: Bool) throws {
    let scene = try Scene()
    scene.others()
    let bytes = [UInt8](repeating: 1, count: 100_000)
    scene.come(bytes)
    #expect(scene.arrivals.bytesUsed >= bytes.count - RoomBudget.freeBytes)
    if isClosed {
      scene.channel.pipeline.fireChannelInactive()
    } else {
      scene.turn()
      #expect(scene.reader.bytes.count == bytes.count)
    }
    #expect(scene.arrivals.bytesUsed == 0)
  }

  @Test("where there is no room for it the connection is closed", arguments: [true, false])
  func noRoom(isScarce: Bool) throws {
    let scene = isScarce ? try Scene(roomBytes: 65_536) : try Scene()
    scene.others()
    let bytes = [UInt8](
      repeating: 1, count: isScarce ? 65_536 : PacedReads.keptBytesMax + 1)
    scene.come(bytes)
    // What still comes must not be taken for what follows.
    scene.come(Self.much)
    scene.turn()
    #expect(scene.reader.pieces.isEmpty)
    #expect(scene.reader.errors.count == 1)
    #expect(!scene.channel.isActive)
    #expect(scene.arrivals.bytesUsed == 0)
  }

  @Test("who is closed by what was passed on gets nothing more")
  func closedMeanwhile() throws {
    let scene = try Scene()
    scene.others()
    scene.come(Self.much)
    scene.reader.whilePassing = { scene.channel.pipeline.fireChannelInactive() }
    scene.turn()
    scene.turn()
    #expect(scene.reader.pieces.count == 1)
    #expect(scene.arrivals.bytesUsed == 0)
  }
}
