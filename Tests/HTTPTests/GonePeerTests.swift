import HTTP
import NIOCore
import NIOEmbedded
import Testing

/// Peers that are gone, or have closed their side of the connection only.
@Suite struct GonePeerTests {
  private static func data(_ stream: UInt32) -> Frame {
    Frame(
      type: Frame.data, flags: Frame.endStream, stream: stream,
      payload: [UInt8](repeating: 1, count: 300))
  }

  @Test func aPeerThatIsSilentWhileItWaitsIsAskedAndThenGivenUp() throws {
    let client = try RawClient()
    try client.send([client.openStream(1, endStream: true)])
    try client.advance(by: .seconds(18))
    #expect(pings(client).isEmpty)
    try client.advance(by: .seconds(8))
    #expect(pings(client).count == 1)
    #expect(client.channel.isActive)
    try client.advance(by: .seconds(20))
    #expect(!client.channel.isActive)
    #expect(client.goAwayCode == 0)
    #expect(client.events.ends.map(\.code) == [.silent])
    #expect(!client.receiver.received[0].exchange.isOpen)
  }

  @Test func aPeerThatAnswersIsKept() throws {
    let client = try RawClient()
    try client.send([client.openStream(1, endStream: true)])
    var answered = 0
    for _ in 0..<100 {
      try client.advance(by: .seconds(5))
      for ping in pings(client).dropFirst(answered) {
        try client.send([Frame(type: Frame.ping, flags: Frame.ack, payload: ping.payload)])
        answered += 1
      }
    }
    #expect(client.channel.isActive)
    #expect((15...25).contains(answered))
  }

  @Test func aPeerWithoutRequestsIsNotAsked() throws {
    let client = try RawClient()
    client.receiver.echo()
    try client.send([client.openStream(1, endStream: true)])
    try client.advance(by: .minutes(5))
    #expect(client.channel.isActive && pings(client).isEmpty)
  }

  @Test func aClientThatHasClosedItsSideGetsItsAnswers() throws {
    let client = try RawClient()
    try client.send([
      client.openStream(1, endStream: true), client.openStream(3), client.openStream(5),
      Self.data(5),
    ])
    try closeInput(client)
    #expect(client.channel.isActive)
    #expect(client.resetCode(3) == 8)
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [1])
    try client.settle()
    #expect(client.status(1) == 200)
    #expect(client.channel.isActive)
    client.receiver.received[1].exchange.respond(TestReceiver.ok, body: [1])
    try client.settle()
    #expect(client.frames.contains { $0.type == Frame.data && $0.stream == 5 })
    #expect(!client.channel.isActive)
    #expect(client.goAwayCode == 0)
    #expect(client.events.ends.map(\.code) == [.closed])
  }

  @Test func whoWaitsIsToldThen() throws {
    let client = try RawClient()
    let watcher = LineWatcher()
    try client.send([
      client.openStream(1, endStream: true), client.openStream(3, endStream: true),
    ])
    client.receiver.received[0].exchange.tellEnd(to: watcher)
    try closeInput(client)
    #expect(watcher.events == ["input ended"])
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [])
    try client.settle()
    #expect(watcher.events == ["input ended", "ended"])
    #expect(client.receiver.received[1].exchange.isOpen)
    client.receiver.received[1].exchange.respond(TestReceiver.ok, body: [1])
    try client.settle()
    #expect(client.status(3) == 200)
    #expect(!client.channel.isActive)
  }

  @Test(arguments: [true, false])
  func aClientThatClosesWithoutARequestIsClosed(hasBegun: Bool) throws {
    let client = try RawClient(sendsPreface: hasBegun)
    try closeInput(client)
    #expect(!client.channel.isActive)
    #expect(client.events.ends.map(\.code) == [.closed])
  }

  @Test func anAnswerThatWaitsForTheChannelGetsOut() throws {
    let client = try RawClient()
    try client.send([client.openStream(1, endStream: true)])
    client.channel.isWritable = false
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [1])
    try closeInput(client)
    #expect(client.channel.isActive && client.status(1) == nil)
    client.channel.isWritable = true
    client.channel.pipeline.fireChannelWritabilityChanged()
    try client.settle()
    #expect(client.status(1) == 200)
    #expect(!client.channel.isActive)
  }

  @Test func whoBeginsToWaitOnlyThenLearnsItAsWell() throws {
    let client = try RawClient()
    try client.send([client.openStream(1, endStream: true)])
    try closeInput(client)
    let watcher = LineWatcher()
    client.receiver.received[0].exchange.tellEnd(to: watcher)
    #expect(watcher.events.isEmpty)
    client.loop.run()
    #expect(watcher.events == ["input ended"])
  }

  private func closeInput(_ client: RawClient) throws {
    client.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    try client.settle()
  }

  private func pings(_ client: RawClient) -> [Frame] {
    client.frames.filter { $0.type == Frame.ping && $0.flags & Frame.ack == 0 }
  }

  private final class LineWatcher: ExchangeWatcher {
    private(set) var events: [String] = []
    func exchangeEnded() { events.append("ended") }
    func inputEnded() { events.append("input ended") }
  }
}
