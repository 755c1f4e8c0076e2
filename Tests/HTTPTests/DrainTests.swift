import HTTP
import NIOCore
import NIOEmbedded
import Testing

@Suite struct DrainTests {
  static let everyStream: UInt32 = 0x7fff_ffff

  @Test func requestsInFlightAreAnsweredBeforeTheServerCloses() throws {
    let pair = try Pair()
    let first = pair.send("/first")
    let second = pair.send("/second")
    try pair.settle()
    pair.server.beginDrain()
    pair.server.beginDrain()
    try pair.settle()
    #expect(pair.clientEvents.goAways == [Int32(bitPattern: Self.everyStream), 3])
    #expect(!pair.client.isUsable)
    let late = pair.send("/late")
    #expect(late.error?.code == .refusedBeforeProcessing)

    pair.receiver.received[1].exchange.respond(TestReceiver.ok, body: [2])
    try pair.settle()
    #expect(second.response?.body == [2])
    #expect(pair.serverChannel.isActive)
    pair.receiver.received[0].exchange.respond(TestReceiver.ok, body: [1])
    try pair.settle()
    #expect(first.response?.body == [1])
    #expect(!pair.serverChannel.isActive)
    #expect(pair.serverEvents.ends.map(\.code) == [.drained])
    #expect(pair.clientEvents.ends.map(\.code) == [.goAway])
  }

  @Test func aRequestThatCrossesTheFirstGoAwayIsAnswered() throws {
    let client = try RawClient()
    client.receiver.echo()
    client.server.beginDrain()
    try client.settle()
    let ping = try #require(client.frames.last { $0.type == Frame.ping })
    #expect(goAways(client) == [Self.everyStream])
    try client.send([client.openStream(1, endStream: true)])
    #expect(client.status(1) == 200)
    #expect(client.channel.isActive)
    try client.send([Frame(type: Frame.ping, flags: Frame.ack, payload: ping.payload)])
    #expect(goAways(client) == [Self.everyStream, 1])
    #expect(!client.channel.isActive)
    #expect(client.events.ends.map(\.code) == [.drained])
  }

  @Test func aRequestAfterTheLastGoAwayIsIgnored() throws {
    let client = try RawClient()
    try client.send([client.openStream(1, endStream: true)])
    client.server.beginDrain()
    try client.advance(by: .seconds(2))
    #expect(goAways(client) == [Self.everyStream, 1])
    try client.send([client.openStream(3, endStream: true)])
    #expect(client.receiver.received.count == 1)
    client.receiver.received[0].exchange.respond(TestReceiver.ok, body: [])
    try client.settle()
    #expect(client.status(1) == 200)
    #expect(!client.channel.isActive)
  }

  @Test func aPeerThatDoesNotAnswerThePingIsNotWaitedFor() throws {
    let client = try RawClient()
    client.server.beginDrain()
    try client.advance(by: .milliseconds(900))
    #expect(client.channel.isActive)
    try client.advance(by: .milliseconds(200))
    #expect(goAways(client) == [Self.everyStream, 0])
    #expect(!client.channel.isActive)
  }

  @Test func aForeignPingAnswerDoesNotEndTheRound() throws {
    let client = try RawClient()
    client.server.beginDrain()
    try client.send([Frame(type: Frame.ping, flags: Frame.ack, payload: Array(1...8))])
    #expect(goAways(client) == [Self.everyStream])
  }

  @Test func aDrainBeforeTheStartEndsTheConnectionAfterIt() throws {
    let loop = EmbeddedEventLoop()
    let events = ServerRecorder()
    let server = HTTP2ServerHandler(
      receiver: TestReceiver(), offer: Fixtures.serverOffer, limits: HTTP2Limits(), grease: .none,
      rejections: Fixtures.rejections, events: events)
    server.beginDrain()
    let channel = try EmbeddedChannel.active(server, loop: loop)
    loop.advanceTime(by: .seconds(2))
    #expect(!channel.isActive)
    #expect(events.ends.map(\.code) == [.drained])
  }

  @Test func aClientDrainsWhenItsRequestsAreComplete() throws {
    let pair = try Pair()
    let outcome = pair.send()
    try pair.settle()
    pair.client.beginDrain()
    #expect(!pair.client.isUsable)
    try pair.settle()
    #expect(pair.clientChannel.isActive)
    pair.receiver.received[0].exchange.respond(TestReceiver.ok, body: [1])
    try pair.settle()
    #expect(outcome.response?.body == [1])
    #expect(!pair.clientChannel.isActive)
    #expect(pair.clientEvents.ends.map(\.code) == [.drained])
    #expect(pair.serverEvents.ends.map(\.code) == [.goAway])
  }

  @Test func aClientWithoutRequestsDrainsAtOnce() throws {
    let pair = try Pair()
    try pair.settle()
    pair.client.beginDrain()
    try pair.settle()
    #expect(!pair.clientChannel.isActive)
    #expect(pair.clientEvents.ends.map(\.code) == [.drained])
  }

  private func goAways(_ client: RawClient) -> [UInt32] {
    client.frames.filter { $0.type == Frame.goAway }.map { $0.number() }
  }
}
