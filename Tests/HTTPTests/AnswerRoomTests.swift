import HTTP
import NIOCore
import Testing

/// What answers take that nobody reads, over all connections of a server.
@Suite struct AnswerRoomTests {
  private static let bytesMax = 1 << 20

  private static let openWindows = [
    Frame(type: Frame.settings, payload: Frame.setting(4, 65_535)),
    Frame(type: Frame.windowUpdate, payload: Frame.number(1 << 30)),
  ]

  private static func client(_ budget: RoomBudget, answering count: Int) throws -> RawClient {
    let client = try RawClient(answers: budget)
    client.receiver.answer = {
      $0.exchange.respond(TestReceiver.ok, body: [UInt8](repeating: 1, count: count))
    }
    return client
  }

  /// A client that lets no answer out, and sends `count` requests.
  private static func greedy(
    _ budget: RoomBudget, answering bytes: Int, count: Int
  ) throws -> RawClient {
    let client = try client(budget, answering: bytes)
    try client.send([Frame(type: Frame.settings, payload: Frame.setting(4, 0))])
    for index in 0..<count {
      try client.send([client.openStream(UInt32(1 + 2 * index), endStream: true)])
    }
    return client
  }

  @Test(arguments: [1, 100, 4_000, 30_000])
  func allConnectionsShareOneBudget(answerBytes: Int) throws {
    let budget = RoomBudget(bytesMax: Self.bytesMax)
    var greedy: [RawClient] = []
    for _ in 0..<50 {
      greedy.append(try Self.greedy(budget, answering: answerBytes, count: 90))
      // Of the last answer of each connection there may be too much.
      #expect(budget.bytesUsed <= Self.bytesMax + greedy.count * RoomBudget.chunkBytes)
    }
    #expect(budget.bytesUsed > Self.bytesMax / 2)
    for client in greedy {
      // The request is refused and may be tried again, elsewhere perhaps (RFC 9113 8.7), or its answer
      // is too long for what is left.
      #expect(client.channel.isActive && [7, 11].contains(client.resetCode(179)))
      try client.advance(by: .seconds(6))
    }
    let other = try Self.client(budget, answering: answerBytes)
    try other.send(Self.openWindows)
    for stream in 0..<10 as Range<UInt32> {
      try other.send([other.openStream(1 + 2 * stream, endStream: true)])
      #expect(other.status(1 + 2 * stream) == 200)
    }
    greedy = []
    #expect(budget.bytesUsed == 0)
    #expect(budget.takePeak() > Self.bytesMax / 2)
  }

  @Test func whoGoesOnWithoutRoomIsDisconnected() throws {
    let client = try RawClient(answers: RoomBudget(bytesMax: 0))
    // As many as a client may have asked for before it hears of it, and more.
    try client.send((0..<1_024).map { client.openStream(1 + 2 * $0, endStream: true) })
    #expect(client.goAwayCode == nil && client.channel.isActive)
    try client.send((1_024..<1_100).map { client.openStream(1 + 2 * $0, endStream: true) })
    #expect(client.goAwayCode == 11 && !client.channel.isActive)
    #expect(client.events.ends.map(\.code) == [.resetFlood])
    #expect(client.receiver.received.count <= 2)
  }

  /// A request may wait for an hour, and takes as much as one whose answer nobody reads.
  @Test func requestsThatAreNotAnsweredHaveTheSameBudget() throws {
    let budget = RoomBudget(bytesMax: Self.bytesMax)
    var clients: [RawClient] = []
    for _ in 0..<50 {
      let client = try RawClient(answers: budget)
      try client.send((0..<90).map { client.openStream(1 + 2 * $0, endStream: true) })
      #expect(client.resetCode(179) == 7 && client.channel.isActive)
      clients.append(client)
    }
    let open = clients.map { client in client.receiver.received.count(where: \.exchange.isOpen) }
    #expect(open.allSatisfy { $0 >= 1 })
    // Besides those that each may have in any case.
    let most = (Self.bytesMax + clients.count * RoomBudget.freeBytes) / 3_072
    #expect(open.reduce(0, +) <= most)
  }

  @Test func whatIsReadMakesRoom() throws {
    let budget = RoomBudget(bytesMax: Self.bytesMax)
    let client = try Self.greedy(budget, answering: 4_000, count: 90)
    #expect([7, 11].contains(client.resetCode(179)))
    try client.send(Self.openWindows)
    #expect(budget.bytesUsed == 0)
    try client.send([client.openStream(601, endStream: true)])
    #expect(client.status(601) == 200)
  }

  @Test func whatWasDoneIsToldWithoutRoomAndALongAnswerIsReset() throws {
    let budget = RoomBudget(bytesMax: 0)
    let client = try RawClient(answers: budget)
    try client.send([Frame(type: Frame.settings, payload: Frame.setting(4, 0))])
    for (stream, count) in [(1, 6_000), (3, 1_000)] as [(UInt32, Int)] {
      try client.send([client.openStream(stream, endStream: true)])
      let exchange = try #require(client.receiver.received.last?.exchange)
      exchange.respond(TestReceiver.ok, body: [UInt8](repeating: 1, count: count))
      try client.settle()
    }
    #expect(client.receiver.received.count == 2)
    #expect(client.resetCode(1) == 11 && client.status(1) == nil)
    #expect(client.status(3) == 200)
  }

  @Test func whatIsCountedElsewhereIsNotCountedTwice() throws {
    let budget = RoomBudget(bytesMax: 1 << 20)
    let client = try RawClient(answers: budget)
    client.receiver.answer = {
      let body = [UInt8](repeating: 1, count: 1 << 20)
      $0.exchange.respond(TestReceiver.ok, body: body, isBodyCounted: true)
    }
    try client.send([Frame(type: Frame.settings, payload: Frame.setting(4, 0))])
    try client.send([client.openStream(1, endStream: true)])
    #expect(client.status(1) == 200 && budget.bytesUsed == 0)
  }
}
