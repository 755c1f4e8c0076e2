import HTTP
import NIOCore
import NIOEmbedded
import Testing

/// What requests take that are still arriving, over all connections of a server.
@Suite struct ArrivalTests {
  /// A header list of some 16,000 bytes, of which all but a few refer to an entry of HPACK's
  /// dynamic table: 24 bytes on the wire.
  static let references = PlainHPACK.request + [0xBE, 0xBE, 0xBE, 0xBE]
  /// The same, with the entry.
  static let entry =
    PlainHPACK.request + [0x40]
    + PlainHPACK.block([("x", String(repeating: "v", count: 3_900))]).dropFirst()

  private static func unfinished(_ stream: UInt32, _ block: [UInt8]) -> Frame {
    Frame(type: Frame.headers, flags: Frame.endHeaders, stream: stream, payload: block)
  }

  @Test func allConnectionsShareOneBudget() throws {
    let bytesMax = 4 << 20
    let budget = RoomBudget(bytesMax: bytesMax)
    var greedy: [RawClient] = []
    for _ in 0..<50 {
      let client = try RawClient(arrivals: budget)
      try client.send([Self.unfinished(1, Self.entry)])
      try client.send((1...100).map { Self.unfinished(1 + 2 * $0, Self.references) })
      #expect(budget.bytesUsed <= bytesMax)
      greedy.append(client)
    }
    #expect(budget.bytesUsed > bytesMax / 2)
    for client in greedy {
      #expect(client.channel.isActive)
      let answered = client.frames.filter { $0.type == Frame.headers }
      #expect(answered.first?.status == 429)
      #expect(answered.last?.stream == 201)
      #expect(client.receiver.received.isEmpty)
    }
    // An ordinary request is served all the same.
    let other = try RawClient(arrivals: budget)
    other.receiver.echo()
    func upload(_ stream: UInt32, _ count: Int) throws {
      try other.send([other.openStream(stream)])
      let chunk = [UInt8](repeating: 1, count: count)
      try other.send([
        Frame(type: Frame.data, flags: Frame.endStream, stream: stream, payload: chunk)
      ])
    }
    try upload(1, 1_000)
    #expect(other.status(1) == 200)
    // And so is one that is not small, at the latest when the greedy had to make room.
    for client in greedy { try client.advance(by: .seconds(6)) }
    try upload(3, 15_000)
    #expect(other.frames.filter { $0.type == Frame.data && $0.stream == 3 }.count > 0)
    #expect(other.receiver.received.map(\.body.count) == [1_000, 15_000])

    greedy = []
    #expect(budget.bytesUsed == 0)
    #expect(budget.takePeak() > bytesMax / 2)
  }

  @Test func bodiesCountUntilTheirRequestIsComplete() throws {
    let budget = RoomBudget()
    let client = try RawClient(arrivals: budget)
    let chunk = [UInt8](repeating: 1, count: 16_000)
    for stream in [1, 3, 5] as [UInt32] {
      try client.send([client.openStream(stream)])
      for _ in 0..<10 {
        try client.send([Frame(type: Frame.data, stream: stream, payload: chunk)])
      }
    }
    #expect(budget.bytesUsed > 3 * 150_000)
    try client.send([Frame(type: Frame.data, flags: Frame.endStream, stream: 1)])
    #expect(client.receiver.received.map(\.body.count) == [160_000])
    // It is the room for each that counts, which doubles.
    #expect(budget.bytesUsed < 550_000)
    try client.send([Frame(type: Frame.reset, stream: 3, payload: Frame.number(8))])
    #expect(budget.bytesUsed < 280_000)
    try client.advance(by: .seconds(40))
    #expect(client.status(5) == 408)
    #expect(budget.bytesUsed == 0)
  }

  @Test func aHeaderListCountsBeforeItHasEnded() throws {
    let budget = RoomBudget()
    let client = try RawClient(arrivals: budget)
    try client.send([Frame(type: Frame.headers, stream: 1, payload: Self.entry)])
    try client.send([Frame(type: Frame.continuation, stream: 1, payload: [0xBE, 0xBE])])
    #expect(budget.bytesUsed > 0)
  }

  /// What is refused is not stored, but read: the peer's later requests refer to it.
  @Test func theHeaderTableStaysInStepWithWhatIsRefused() throws {
    let budget = RoomBudget(bytesMax: 0)
    let client = try RawClient(arrivals: budget)
    let padding = PlainHPACK.block([("x-padding", String(repeating: "p", count: 5_000))])
    let named: [UInt8] = [0x40, 1] + Array("n".utf8) + [5] + Array("value".utf8)
    try client.send([Self.unfinished(1, PlainHPACK.request + padding + named)])
    #expect(client.status(1) == 429)
    #expect(client.resetCode(1) == 0)
    try client.send([
      Frame(type: Frame.headers, flags: 5, stream: 3, payload: PlainHPACK.request + [0xBE])
    ])
    #expect(client.receiver.received.first?.head.value(of: "n") == "value")
  }
}
