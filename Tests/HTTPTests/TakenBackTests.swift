import HTTP
import NIOCore
import Testing

/// Many streams that end early at once, as those of a proxy with many clients do.
@Suite struct TakenBackTests {
  private static let cancel = Frame.number(8)

  private final class Waiter: ExchangeWatcher {
    var isWaiting: Bool { true }

    func exchangeEnded() {}
  }

  private static func reset(_ stream: UInt32) -> Frame {
    Frame(type: Frame.reset, stream: stream, payload: cancel)
  }

  /// A client of which all requests wait.
  private static func waiting() throws -> RawClient {
    let client = try RawClient()
    client.receiver.answer = { $0.exchange.tellEnd(to: Waiter()) }
    return client
  }

  @Test func manyThatWaitMayBeTakenBackSoon() throws {
    let client = try Self.waiting()
    let streams = (0..<1_000 as Range<UInt32>).map { 1 + 2 * $0 }
    try client.send(streams.map { client.openStream($0, endStream: true) })
    try client.advance(by: .milliseconds(300))
    try client.send(streams.prefix(999).map(Self.reset))
    #expect(client.channel.isActive && client.goAwayCode == nil)
    #expect(client.receiver.received.last?.exchange.isOpen == true)
  }

  @Test func waitsThatAreTakenBackAtOnceHaveABound() throws {
    let client = try Self.waiting()
    let bound = UInt32(HTTP2Limits().longWaitsEnded.burst)
    func round(_ number: UInt32) throws {
      let stream = 1 + 2 * number
      try client.send([client.openStream(stream, endStream: true), Self.reset(stream)])
    }
    for number in 0..<bound { try round(number) }
    #expect(client.channel.isActive)
    try round(bound)
    #expect(client.goAwayCode == 11)
    #expect(client.events.ends.map(\.code) == [.resetFlood])
  }

  @Test func aClientMayOvershootTheLimitOfStreams() throws {
    let client = try Self.waiting()
    let most = UInt32(HTTP2Limits().concurrentStreamsMax)
    let bound = UInt32(HTTP2Limits().refusedStreams.burst)
    func open(_ numbers: Range<UInt32>) throws {
      try client.send(numbers.map { client.openStream(1 + 2 * $0, endStream: true) })
    }
    for first in stride(from: 0, to: most + bound, by: 1_024) { try open(first..<first + 1_024) }
    #expect(client.channel.isActive && client.goAwayCode == nil)
    #expect(client.receiver.received.count == Int(most))
    #expect(client.receiver.received.allSatisfy { $0.exchange.isOpen })
    #expect(client.resetCode(1 + 2 * most) == 7)
    try open(most + bound..<most + bound + 2)
    #expect(client.goAwayCode == 11)
    #expect(client.events.ends.map(\.code) == [.resetFlood])
  }

  @Test func aRefusedStreamIsRememberedOnce() throws {
    var limits = HTTP2Limits()
    limits.concurrentStreamsMax = 2
    let client = try RawClient(limits: limits)
    try client.send([client.openStream(1, endStream: true), client.openStream(3)])
    try client.send([Self.reset(3), client.openStream(5, endStream: true)])
    try client.send((0..<200 as Range<UInt32>).map { client.openStream(7 + 2 * $0) })
    #expect(client.resetCode(405) == 7)
    // The reset of stream 3 is not forgotten, nor that of the refused ones.
    try client.send([Frame(type: Frame.data, stream: 405), Frame(type: Frame.data, stream: 3)])
    #expect(client.channel.isActive)
    #expect(client.resetCode(3) == 5)
  }
}
