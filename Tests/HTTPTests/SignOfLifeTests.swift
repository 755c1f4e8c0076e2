import HTTP
import NIOCore
import NIOEmbedded
import Testing

/// Asking a client whether it is there.
@Suite struct SignOfLifeTests {
  @Test func aPeerThatAnswersGivesASign() throws {
    let pair = try Pair()
    pair.send()
    try pair.settle()
    let signs = Signs()
    pair.receiver.received[0].exchange.askForSignOfLife(signs.note)
    #expect(signs.all.isEmpty)
    try pair.settle()
    #expect(signs.all == [.given])
  }

  @Test func aSignIsYoungerThanItsQuestion() throws {
    let client = try RawClient()
    try client.send([client.openStream(1, endStream: true)])
    let exchange = client.receiver.received[0].exchange
    let (first, second) = (Signs(), Signs())
    exchange.askForSignOfLife(first.note)
    try client.settle()
    for _ in 0..<3 { exchange.askForSignOfLife(second.note) }
    try client.settle()
    #expect(pings(client).count == 1)
    try client.send([acknowledgement(of: pings(client)[0])])
    #expect((first.all, second.all) == ([.given], []))
    #expect(pings(client).count == 2)
    try client.send([acknowledgement(of: pings(client)[1])])
    #expect(second.all == [.given, .given, .given])
    // One answer too many is nobody's.
    try client.send([acknowledgement(of: pings(client)[1])])
    #expect(client.channel.isActive && pings(client).count == 2)
  }

  @Test func theEndOfTheConnectionIsTold() throws {
    let client = try RawClient()
    try client.send([client.openStream(1, endStream: true)])
    let exchange = client.receiver.received[0].exchange
    let signs = Signs()
    exchange.askForSignOfLife(signs.note)
    exchange.askForSignOfLife(signs.note)
    try client.settle()
    try client.send([Frame(type: Frame.ping, flags: Frame.ack, payload: Array(1...8))])
    #expect(signs.all.isEmpty)
    client.channel.close(promise: nil)
    try client.settle()
    #expect(signs.all == [.gone, .gone])
    exchange.askForSignOfLife(signs.note)
    #expect(signs.all == [.gone, .gone, .gone])
  }

  @Test func aSignMayBeAskedForRightAfterTheAnswer() throws {
    let pair = try Pair()
    let signs = Signs()
    pair.receiver.answer = { request in
      request.exchange.respond(TestReceiver.ok, body: [1])
      request.exchange.askForSignOfLife(signs.note)
    }
    let outcome = pair.send()
    try pair.settle()
    #expect(outcome.response?.body == [1])
    #expect(signs.all == [.given])
  }

  @Test func moreQuestionsThanAllowedAreLeftOpen() throws {
    var limits = HTTP2Limits()
    limits.signsOfLifeMax = 2
    let client = try RawClient(limits: limits)
    try client.send([client.openStream(1, endStream: true)])
    let signs = Signs()
    for _ in 0..<3 { client.receiver.received[0].exchange.askForSignOfLife(signs.note) }
    #expect(signs.all == [.untold])
  }

  private func pings(_ client: RawClient) -> [Frame] {
    client.frames.filter { $0.type == Frame.ping && $0.flags & Frame.ack == 0 }
  }

  private func acknowledgement(of ping: Frame) -> Frame {
    Frame(type: Frame.ping, flags: Frame.ack, payload: ping.payload)
  }

  private final class Signs {
    var all: [SignOfLife] = []
    func note(_ sign: SignOfLife) { all.append(sign) }
  }
}
