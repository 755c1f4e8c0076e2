import Testing
import WireSchema

@testable import LatchkeyClient

struct LeaseStateTests {
  private let sent = Instant.now
  private let length = Duration.seconds(15)

  @Test func theLeaseCountsFromWhenTheRequestWasSent() {
    var state = LeaseState(length: length, sentAt: sent)
    #expect(state.deadline(at: sent + .seconds(14.999)) == sent + length)
    #expect(state.deadline(at: sent + length) == nil)
    #expect(state.phase == .lost(.expired))
  }

  @Test func aRenewalMovesTheDeadlineAndOnlyForward() {
    var state = LeaseState(length: length, sentAt: sent)
    state.accepted(sentAt: sent + .seconds(5), at: sent + .seconds(6))
    #expect(state.phase == .held(until: sent + .seconds(20)))
    state.accepted(sentAt: sent + .seconds(4), at: sent + .seconds(7))
    #expect(state.phase == .held(until: sent + .seconds(20)))
  }

  @Test func whatIsLostStaysLost() {
    var state = LeaseState(length: length, sentAt: sent)
    // Sent in time, answered too late: the holder may know already that it is over.
    state.accepted(sentAt: sent + .seconds(14), at: sent + .seconds(15))
    #expect(state.phase == .lost(.expired))
    // A clock is not asked twice.
    #expect(state.deadline(at: sent) == nil)
    let wasHeld = state.end(at: sent)
    #expect(!wasHeld)
    state.taken(at: sent)
    #expect(state.phase == .lost(.expired))
  }

  @Test func takenIsLostAtOnce() {
    var state = LeaseState(length: length, sentAt: sent)
    state.taken(at: sent + .seconds(1))
    #expect(state.deadline(at: sent + .seconds(1)) == nil)
    #expect(state.phase == .lost(.taken))
  }

  @Test func whatIsGivenBackInTimeIsNotLost() {
    var state = LeaseState(length: length, sentAt: sent)
    let wasHeld = state.end(at: sent + .seconds(14))
    #expect(wasHeld)
    #expect(state.deadline(at: sent + .seconds(14)) == nil)
    #expect(state.phase == .ended)
  }
}

struct DelayTests {
  @Test func pausesDoubleUpToTheLongest() {
    var delay = DoublingDelay(.init(min: .milliseconds(50), max: .milliseconds(300)))
    let taken = (0..<5).map { _ in delay.take(randomBits: ClientEnvironment.evenBits) }
    #expect(taken == [50, 100, 200, 300, 300].map { .milliseconds($0) })
    delay.reset()
    #expect(delay.take(randomBits: 0) == .milliseconds(25))
    #expect(delay.take(randomBits: 100) == .milliseconds(150))
  }

  @Test(arguments: [
    (Duration.seconds(1), Int64(1)), (.milliseconds(1_001), 2), (.milliseconds(1_999), 2),
    (.nanoseconds(3_000_000_001), 4), (.seconds(31_536_000), 31_536_000),
  ])
  func leasesAreRoundedUpForV1(lease: Duration, seconds: Int64) throws {
    let resource = Resource(key: "k", kind: .lock, owner: "o", value: "")
    guard case .lock(let message) = try V1.lowerFromNewest(.acquire(resource, lease: lease)) else {
      Issue.record("not a claim")
      return
    }
    #expect(message.ttlInSeconds == seconds)
  }
}
