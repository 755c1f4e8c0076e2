import HTTP
import NIOCore
import HTTPServer
import Testing

/// What a peer of HTTP/1.1 keeps of the room for requests that are arriving.
@Suite("Room that HTTP/1.1 takes")
struct HTTP1RoomTests {
  private static let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n"
  private static let bytesMax = 1 << 20

  /// Another connection, which takes all that it can get.
  private final class Greedy {
    private var share: RoomBudget.Share

    init(_ budget: RoomBudget) {
      share = RoomBudget.Share(of: budget, bytesMax: .max)
      while share.take(1_024) {}
    }
  }

  private static func greedy(_ count: Int, _ budget: RoomBudget) -> [Greedy] {
    (0..<count).map { _ in Greedy(budget) }
  }

  @Test("a request that arrives gives way when many others came after it")
  func giveWay() throws {
    let arrivals = RoomBudget(bytesMax: Self.bytesMax)
    let connection = try TestConnection(arrivals: arrivals)
    let half = String(repeating: "x", count: 100_000)
    try connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n\(half)")
    let others = Self.greedy(30, arrivals)
    let used = arrivals.bytesUsed
    connection.advance(by: HTTP1Limits().checkInterval)
    #expect(try connection.takeText().hasPrefix("HTTP/1.1 429 "))
    #expect(!connection.isOpen)
    #expect(arrivals.bytesUsed <= used - 96_000)
    withExtendedLifetime(others) {}
  }

  @Test("what waits behind a request counts with all the room that it is kept in")
  func capacity() throws {
    let arrivals = RoomBudget()
    let connection = try TestConnection(arrivals: arrivals)
    connection.receiver.answersAtOnce = false
    try connection.send(Self.get)
    // 35,100 bytes, for which a buffer of 65,536 is made.
    try connection.send(String(repeating: Self.get, count: 1_300))
    #expect(arrivals.bytesUsed >= 60_000)
  }

  @Test("what waits behind a request is dropped when room becomes scarce")
  func dropAhead() throws {
    let arrivals = RoomBudget(bytesMax: Self.bytesMax)
    let connection = try TestConnection(arrivals: arrivals)
    connection.receiver.answersAtOnce = false
    try connection.send(String(repeating: Self.get, count: 2_000))
    let kept = arrivals.bytesUsed
    #expect(kept >= 48_000)
    let others = Self.greedy(8, arrivals)
    let used = arrivals.bytesUsed
    connection.advance(by: HTTP1Limits().checkInterval)
    #expect(connection.isOpen && arrivals.bytesUsed == used - kept)
    try #require(connection.receiver.requests.first).answer()
    #expect(try connection.takeText().contains("\r\nconnection: close\r\n"))
    #expect(!connection.isOpen && connection.receiver.requests.count == 1)
    withExtendedLifetime(others) {}
  }

  @Test("where room is scarce, only a little is kept behind a request", arguments: [2, 1_000])
  func scarce(_ count: Int) throws {
    let arrivals = RoomBudget(bytesMax: Self.bytesMax)
    let others = Self.greedy(8, arrivals)
    let used = arrivals.bytesUsed
    let connection = try TestConnection(arrivals: arrivals)
    connection.receiver.answersAtOnce = false
    try connection.send(String(repeating: Self.get, count: count))
    #expect(arrivals.bytesUsed == used)
    try #require(connection.receiver.requests.first).answer()
    connection.loop.run()
    #expect(connection.receiver.requests.count == (count == 2 ? 2 : 1))
    #expect(connection.isOpen == (count == 2))
    withExtendedLifetime(others) {}
  }

  // MARK: - Whether an answer got out

  private final class Watcher: ExchangeWatcher {
    private let exchange: any Exchange
    private(set) var sent: [Bool] = []

    init(_ exchange: any Exchange) { self.exchange = exchange }

    func exchangeEnded() { sent.append(exchange.isAnswerSent) }
  }

  @Test("an exchange says whether its answer got out", arguments: [true, false])
  func isAnswerSent(_ isPeerThere: Bool) throws {
    let connection = try TestConnection()
    connection.receiver.answersAtOnce = false
    try connection.send(Self.get)
    let request = try #require(connection.receiver.requests.first)
    let watcher = Watcher(request.exchange)
    request.exchange.tellEnd(to: watcher)
    if !isPeerThere { try connection.stopReading() }
    request.answer()
    connection.loop.run()
    if !isPeerThere {
      #expect(watcher.sent.isEmpty)
      connection.channel.close(promise: nil)
      connection.loop.run()
    }
    #expect(watcher.sent == [isPeerThere])
  }
}
