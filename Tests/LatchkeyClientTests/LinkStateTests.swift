import Testing

@testable import LatchkeyClient

struct LinkStateTests {
  @Test func theFirstWishConnectsAndLaterOnesJoin() {
    var state = LinkState(endpointCount: 2, first: 0)
    #expect(state.want(1) == [.connect(1, endpoint: 0)])
    #expect(state.want(2) == [])
    #expect(state.connected(1) == [.use(1, by: [1, 2])])
    #expect(state.want(3) == [.use(1, by: [3])])
  }

  @Test func aForgottenWishIsNotServed() {
    var state = LinkState(endpointCount: 1, first: 0)
    _ = state.want(1)
    _ = state.want(2)
    state.forget(1)
    #expect(state.connected(1) == [.use(1, by: [2])])
  }

  @Test func endpointsAreTriedInTurnAndAPauseFollowsEachRound() {
    var state = LinkState(endpointCount: 3, first: 1)
    #expect(state.want(1) == [.connect(1, endpoint: 1)])
    #expect(state.connectFailed(1) == [.connect(2, endpoint: 2)])
    #expect(state.connectFailed(2) == [.connect(3, endpoint: 0)])
    #expect(state.connectFailed(3) == [.pause(isFirst: true)])
    #expect(state.pauseEnded() == [.connect(4, endpoint: 1)])
    #expect(state.connectFailed(4) == [.connect(5, endpoint: 2)])
    #expect(state.connectFailed(5) == [.connect(6, endpoint: 0)])
    #expect(state.connectFailed(6) == [.pause(isFirst: false)])
  }

  @Test func aUsefulAnswerStartsTheCountAnew() {
    var state = LinkState(endpointCount: 1, first: 0)
    _ = state.want(1)
    #expect(state.connectFailed(1) == [.pause(isFirst: true)])
    _ = state.pauseEnded()
    _ = state.connected(2)
    state.answered(2)
    #expect(state.unusable(2, isFault: true) == [.pause(isFirst: true)])
  }

  @Test func connectionsThatOnlyOpenDoNotHideAFailure() {
    var state = LinkState(endpointCount: 1, first: 0)
    _ = state.want(1)
    _ = state.connected(1)
    // No answer came, so this is no graceful end, whatever the server says.
    #expect(state.unusable(1, isFault: false) == [.pause(isFirst: true)])
    _ = state.want(2)
    #expect(state.pauseEnded() == [.connect(2, endpoint: 0)])
    _ = state.connected(2)
    #expect(state.unusable(2, isFault: false) == [.pause(isFirst: false)])
  }

  @Test func aGracefulEndMovesOnWithoutAPause() {
    var state = LinkState(endpointCount: 1, first: 0)
    _ = state.want(1)
    _ = state.connected(1)
    state.answered(1)
    #expect(state.unusable(1, isFault: false) == [])
    #expect(state.phase == .idle)
    #expect(state.want(2) == [.connect(2, endpoint: 0)])
  }

  @Test func aServerThatCannotServeIsLeftForAnother() {
    var state = LinkState(endpointCount: 2, first: 0)
    _ = state.want(1)
    _ = state.connected(1)
    #expect(state.unavailable(1) == [.drain(1)])
    #expect(state.want(1) == [.connect(2, endpoint: 1)])
    // More answers of the old one change nothing.
    #expect(state.unavailable(1) == [])
    _ = state.connected(2)
    #expect(state.unavailable(2) == [.drain(2), .pause(isFirst: true)])
  }

  @Test func theOnlyServerIsKeptThroughThePause() {
    var state = LinkState(endpointCount: 1, first: 0)
    _ = state.want(1)
    _ = state.connected(1)
    #expect(state.unavailable(1) == [.pause(isFirst: true)])
    #expect(state.want(2) == [])
    #expect(state.pauseEnded() == [.use(1, by: [2])])
    #expect(state.unavailable(1) == [.pause(isFirst: false)])
    // It closes during the pause.
    #expect(state.unusable(1, isFault: false) == [])
    #expect(state.want(3) == [])
    #expect(state.pauseEnded() == [.connect(2, endpoint: 0)])
  }

  @Test func aSilentServerIsLeft() {
    var state = LinkState(endpointCount: 2, first: 0)
    _ = state.want(1)
    _ = state.connected(1)
    state.answered(1)
    #expect(state.silent(1) == [.drain(1)])
    #expect(state.want(2) == [.connect(2, endpoint: 1)])
    #expect(state.silent(1) == [])
  }

  @Test func aConnectionThatComesTooLateIsDrained() {
    var state = LinkState(endpointCount: 1, first: 0)
    _ = state.want(1)
    state.close()
    #expect(state.connected(1) == [.drain(1)])
    #expect(state.want(2) == [])
    #expect(state.phase == .closed)
  }

  @Test func nobodyIsConnectedForWhenTheLastOneLeft() {
    var state = LinkState(endpointCount: 1, first: 0)
    _ = state.want(1)
    state.forget(1)
    #expect(state.connectFailed(1) == [.pause(isFirst: true)])
    #expect(state.pauseEnded() == [])
    #expect(state.phase == .idle)
  }
}

struct PeerWatchTests {
  private let start = Instant.now

  @Test func aBusyPeerIsAskedSoonAndAnIdleOneLate() {
    var watch = PeerWatch(openedAt: start)
    #expect(watch.nextLook == start + ClientLimits.silentMax)
    watch.sent(at: start + .seconds(3))
    #expect(watch.nextLook == start + .seconds(3) + ClientLimits.unansweredMax)
    watch.heard(at: start + .seconds(3.5), isBusy: false)
    #expect(watch.nextLook == start + .seconds(3.5) + ClientLimits.silentMax)
  }

  @Test func anUnansweredPingMeansDeath() {
    var watch = PeerWatch(openedAt: start)
    watch.sent(at: start)
    let asked = start + ClientLimits.unansweredMax
    let dead = asked + ClientLimits.pingTimeout
    #expect(watch.look(at: start) == .fine(nextLook: asked))
    #expect(watch.look(at: asked) == .ping(nextLook: dead))
    #expect(watch.look(at: asked + .seconds(1)) == .fine(nextLook: dead))
    #expect(watch.look(at: dead) == .dead)
  }

  @Test func anAnsweredPingBuysTime() {
    var watch = PeerWatch(openedAt: start)
    watch.sent(at: start)
    let asked = start + ClientLimits.unansweredMax
    _ = watch.look(at: asked)
    watch.heard(at: asked, isBusy: true)
    #expect(watch.look(at: asked + .milliseconds(999)) == .fine(nextLook: asked + .seconds(1)))
  }

  @Test func aRequestThatWasGivenUpIsNotWaitedFor() {
    var watch = PeerWatch(openedAt: start)
    watch.sent(at: start)
    watch.becameIdle()
    #expect(watch.nextLook == start + ClientLimits.silentMax)
  }
}
