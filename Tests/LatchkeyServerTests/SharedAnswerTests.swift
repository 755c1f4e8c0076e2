import NIOEmbedded
import Testing

@testable import LatchkeyServer

/// What takes long to make is made once for many.
@Suite struct SharedAnswerTests {
  @Test func itIsMadeAtOnceAndThenOnceForAllWhoAsked() {
    let loop = EmbeddedEventLoop()
    let shared = SharedAnswer(eventLoop: loop)
    var answered: [[WaitingExchange]] = []
    func ask() -> WaitingExchange {
      let exchange = WaitingExchange()
      shared.add(exchange) { readers in answered.append(readers.map { $0 as! WaitingExchange }) }
      return exchange
    }
    let first = ask()
    #expect(answered.map { $0.map(ObjectIdentifier.init) } == [[ObjectIdentifier(first)]])
    let (second, gone, third) = (ask(), ask(), ask())
    gone.isOpen = false
    loop.run()
    #expect(answered.count == 1)
    loop.advanceTime(by: SharedAnswer.pause)
    #expect(answered.count == 2)
    #expect(
      answered.last.map { $0.map(ObjectIdentifier.init) }
        == [second, third].map(ObjectIdentifier.init))
    // Nobody asked: nothing is made, and the next one need not wait.
    loop.advanceTime(by: SharedAnswer.pause)
    #expect(answered.count == 2)
    _ = ask()
    #expect(answered.count == 3)
  }

  /// As who pipelines does over HTTP/1.1.
  @Test func whoAsksAgainWhenItIsAnsweredHasToWait() {
    let loop = EmbeddedEventLoop()
    let shared = SharedAnswer(eventLoop: loop)
    var count = 0
    func ask() {
      shared.add(WaitingExchange()) { readers in
        count += readers.count
        ask()
      }
    }
    ask()
    for turn in 1...5 {
      #expect(count == turn)
      loop.advanceTime(by: SharedAnswer.pause)
    }
  }
}
