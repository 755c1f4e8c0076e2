import LockCore
import TestKit
import Testing

@testable import Storage

/// A server that could not do its work first serves what waited meanwhile.
@Suite struct StallTests {
  @Test func afterASuspensionRenewalsComeBeforeEnds() throws {
    let bench = try TurnBench()
    bench.turn(.hold("renewed", "a", lease: 5), .hold("dead", "a", lease: 5))
    bench.clock.advance(seconds: 60)
    bench.turn()
    #expect(bench.observer.totals.stalls == 1)
    bench.pass(seconds: 1.75)
    #expect(bench.observer.totals.expiries == 0)
    #expect(bench.turn(.hold("renewed", "a", lease: 5)) == [.renewed(token: 1, revision: 2)])
    bench.pass(seconds: 0.25)
    #expect(try bench.owner(of: "dead") == nil)
    #expect(try bench.owner(of: "renewed") == "a")
    #expect(bench.observer.totals.stalls == 1)
  }

  @Test func aTurnThatIsALittleLateIsNoStall() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 1))
    bench.clock.advance(nanoseconds: 1_250_000_000)
    bench.turn()
    #expect(bench.observer.totals.stalls == 0)
    #expect(try bench.owner(of: "key") == nil)
  }

  @Test func whileAServingThreadIsSilentNoLeaseEnds() throws {
    let bench = try TurnBench()
    let pulse = Pulse(at: bench.clock.now)
    bench.watch(pulse)
    bench.turn(.hold("key", "a", lease: 5))
    bench.pass(seconds: 60)
    #expect(try bench.owner(of: "key") == "a")
    // Said once, however many turns it takes.
    #expect(bench.observer.totals.stallBeginnings == 1 && bench.observer.totals.stalls == 0)

    // The thread is back: what waited in its sockets gets the grace to arrive.
    func beatAndPass(seconds: Double) {
      for _ in 0..<Int(seconds * 4) {
        pulse.beat(at: bench.clock.now)
        bench.pass(seconds: 0.25)
      }
    }
    beatAndPass(seconds: 1.75)
    #expect(try bench.owner(of: "key") == "a")
    #expect(bench.observer.totals.stallBeginnings == 1 && bench.observer.totals.stalls == 1)
    beatAndPass(seconds: 0.5)
    #expect(try bench.owner(of: "key") == nil)
  }

  /// What is told of a stall, and for how long it was.
  @Test func aStallIsToldOnceWithItsLength() {
    let start = MonotonicTime(nanoseconds: 0)
    let limits = StoreLimits()
    var watch = StallWatch(limits: limits, now: start)
    let pulse = Pulse(at: start)
    let tick = limits.tickNanoseconds
    var now = start
    var news: [StallWatch.News] = []
    func turn(after nanoseconds: Int64, beats: Bool) {
      now = now + nanoseconds
      if beats { pulse.beat(at: now) }
      if let told = watch.turn(at: now, pulses: [pulse]) { news.append(told) }
    }
    for _ in 0..<4 { turn(after: tick, beats: true) }
    #expect(news.isEmpty)
    for _ in 0..<40 { turn(after: tick, beats: false) }
    let silence = 40 * tick - Pulse.intervalNanoseconds
    for _ in 0..<4 { turn(after: tick, beats: true) }
    #expect(news.count == 2)
    guard case .began(let soFar) = news.first else {
      Issue.record("not begun: \(news)")
      return
    }
    #expect(soFar > limits.stallNanoseconds && soFar <= limits.stallNanoseconds + tick)
    #expect(news.last == .ended(nanoseconds: silence, isOfStore: false))

    // The watching thread itself: it is over when it is seen.
    news = []
    turn(after: 9_000_000_000, beats: true)
    turn(after: tick, beats: true)
    #expect(news == [.ended(nanoseconds: 9_000_000_000 - tick, isOfStore: false)])

    // Where most of it was spent on a transaction, that is said; and of that one only.
    news = []
    watch.waited(nanoseconds: 5_000_000_000)
    turn(after: 9_000_000_000, beats: true)
    turn(after: 9_000_000_000, beats: true)
    #expect(
      news == [true, false].map { .ended(nanoseconds: 9_000_000_000 - tick, isOfStore: $0) })
  }

  @Test func afterAnOutageOfTheStoreRenewalsComeBeforeEnds() throws {
    let bench = try TurnBench()
    bench.turn(.hold("renewed", "a", lease: 5), .hold("dead", "a", lease: 5))
    bench.faults.fail(.facts, times: 40)
    #expect(bench.turn(.hold("renewed", "a", lease: 5)) == [.failed])
    bench.pass(seconds: 9.5)
    #expect(bench.health == .failing(Fault.error))
    #expect(try bench.owner(of: "dead") == "a")

    // Nobody asks for anything; the store finds out by itself that it works again.
    bench.pass(seconds: 0.5)
    #expect(bench.health == .working)
    #expect(bench.observer.totals.recoveries == 1)
    bench.pass(seconds: 1.5)
    #expect(bench.turn(.hold("renewed", "a", lease: 5)) == [.renewed(token: 1, revision: 2)])
    #expect(bench.observer.totals.expiries == 0)
    bench.pass(seconds: 0.75)
    #expect(try bench.owner(of: "dead") == nil)
    #expect(try bench.owner(of: "renewed") == "a")
  }

  @Test func aStoreThatCanOnlyBeReadHasNotRecovered() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a"))
    bench.faults.fail(.apply, times: 10)
    #expect(bench.turn(.hold("key", "a")) == [.failed])
    for _ in 1...9 { #expect(bench.turn(.hold("key", "b")) == [.failed]) }
    #expect(bench.observer.totals.recoveries == 0)
    #expect(bench.turn(.hold("key", "b")) == [.heldByAnother])
    #expect(bench.observer.totals.recoveries == 1)
  }

  /// A full disk: small transactions go in between large ones.
  @Test func anOutageIsOverOnlyAfterTheStoreHasWorkedForAWhile() throws {
    let bench = try TurnBench()
    for _ in 1...10 {
      bench.faults.fail(.apply)
      #expect(bench.turn(.hold("key", "a")) == [.failed])
      bench.pass(seconds: 1)
      #expect(bench.health == .working)
    }
    #expect(bench.observer.totals.recoveries == 10)
    #expect(bench.observer.totals.outagesEnded == 0)
    bench.pass(seconds: 5)
    #expect(bench.observer.totals.outagesEnded == 1)
    bench.pass(seconds: 10)
    #expect(bench.observer.totals.outagesEnded == 1)
  }

  @Test func aWriteThatHangsIsNoHealth() async throws {
    let node = try StoreNode(MemoryDatabase())
    defer { node.close() }
    let gate = node.faults.hold(.apply)
    async let grant = node.claim("key", "a")
    await gate.arrival()
    #expect(node.store.health == .working)
    node.clock.advance(seconds: 60)
    #expect(
      node.store.health
        == .failing(
          StoreError(.unavailable, "the store memory: has not finished a write for 60 s")))
    gate.open()
    _ = try await grant
    await node.nextTurn()
    #expect(node.store.health == .working)
  }

  @Test func aConnectionThatIsLostIsReplacedAfterAPause() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a"))
    bench.faults.fail(.apply, .connectionLost)
    bench.faults.fail(.openWriter)
    #expect(bench.turn(.hold("key", "a")) == [.failed])
    // Until the pause is over nothing is even tried.
    #expect(bench.turn(.hold("key", "a")) == [.failed])
    #expect(bench.faults.injected == 1)
    bench.clock.advance(nanoseconds: bench.limits.reopenNanoseconds)
    #expect(bench.turn(.hold("key", "a")) == [.failed])
    #expect(bench.faults.injected == 2)
    bench.clock.advance(nanoseconds: bench.limits.reopenNanoseconds)
    #expect(bench.turn(.hold("key", "a")) == [.renewed(token: 1, revision: 2)])
    #expect(bench.observer.totals.recoveries == 1)
  }

  @Test func theWaitForTheNextTurnIsNoLongerAndNoShorterThanItNeedsToBe() throws {
    let bench = try TurnBench()
    let tick = bench.limits.tickNanoseconds
    #expect(bench.waitNanoseconds == 0)
    bench.turn()
    bench.pass(seconds: 1)
    #expect(bench.waitNanoseconds == tick)
    bench.turn(.hold("key", "a", lease: 1))
    bench.pass(seconds: 0.75)
    bench.clock.advance(nanoseconds: 100_000_000)
    #expect(bench.waitNanoseconds == 150_000_000)

    // While the store fails nothing is gained by looking all the time, whatever is due.
    bench.faults.fail(.facts, times: 1_000)
    bench.turn(.hold("key", "a"))
    bench.clock.advance(nanoseconds: bench.limits.epochNanoseconds)
    bench.turn()
    #expect(bench.waitNanoseconds == tick)
  }

  @Test func aServerThatStartsOnAFailingStoreDoesNotSpin() throws {
    let bench = try TurnBench()
    bench.faults.fail(.facts, times: 10)
    bench.turn()
    #expect(bench.waitNanoseconds == bench.limits.tickNanoseconds)
  }
}
