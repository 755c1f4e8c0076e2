import NIOCore
import Testing

@testable import LatchkeyClient

extension SocketAddress {
  /// 10.0.0.n, port 1.
  static func ip(_ n: Int) -> SocketAddress {
    try! SocketAddress(ipAddress: "10.0.0.\(n)", port: 1)
  }
}

/// A link whose names are looked up at once: each endpoint has the address of its number, unless
/// the book says otherwise.
final class LinkScript {
  var link: LinkState
  var book: [Int: [SocketAddress]]
  /// The endpoints that were looked up.
  private(set) var lookUps: [Int] = []

  init(endpointCount: Int, first: Int = 0, book: [Int: [SocketAddress]] = [:]) {
    link = LinkState(endpointCount: endpointCount, first: first)
    self.book = book
  }

  /// What comes of an event, look-ups aside.
  func callAsFunction(
    _ event: (inout LinkState) -> [LinkState.Action]
  ) -> [LinkState.Action] {
    var actions = event(&link)
    while let index = actions.firstIndex(where: { if case .resolve = $0 { true } else { false } }),
      case .resolve(let endpoint) = actions[index]
    {
      lookUps.append(endpoint)
      let addresses = book[endpoint] ?? [.ip(endpoint)]
      actions.replaceSubrange(index...index, with: link.resolved(endpoint, to: addresses))
    }
    return actions
  }
}

struct LinkStateTests {
  @Test func theFirstWishConnectsAndLaterOnesJoin() {
    let state = LinkScript(endpointCount: 2, first: 0)
    #expect(state { $0.want(1) } == [.connect(1, endpoint: 0, address: .ip(0))])
    #expect(state { $0.want(2) } == [])
    #expect(state { $0.connected(1) } == [.use(1, by: [1, 2])])
    #expect(state { $0.want(3) } == [.use(1, by: [3])])
  }

  @Test func aForgottenWishIsNotServed() {
    let state = LinkScript(endpointCount: 1, first: 0)
    _ = state { $0.want(1) }
    _ = state { $0.want(2) }
    state.link.forget(1)
    #expect(state { $0.connected(1) } == [.use(1, by: [2])])
  }

  /// What failed before nobody was left who wanted a server does not count against the rest.
  @Test func whoeverComesToAnIdleLinkHasEachEndpointTried() {
    let state = LinkScript(endpointCount: 2, first: 0)
    #expect(state { $0.want(1) } == [.connect(1, endpoint: 0, address: .ip(0))])
    state.link.forget(1)
    #expect(state { $0.connectFailed(1) } == [])
    #expect(state { $0.want(2) } == [.connect(2, endpoint: 1, address: .ip(1))])
    #expect(state { $0.connectFailed(2) } == [.connect(3, endpoint: 0, address: .ip(0))])
    #expect(state { $0.connectFailed(3) } == [.pause(isFirst: true)])
  }

  @Test func endpointsAreTriedInTurnAndAPauseFollowsEachRound() {
    let state = LinkScript(endpointCount: 3, first: 1)
    #expect(state { $0.want(1) } == [.connect(1, endpoint: 1, address: .ip(1))])
    #expect(state { $0.connectFailed(1) } == [.connect(2, endpoint: 2, address: .ip(2))])
    #expect(state { $0.connectFailed(2) } == [.connect(3, endpoint: 0, address: .ip(0))])
    #expect(state { $0.connectFailed(3) } == [.pause(isFirst: true)])
    #expect(state { $0.pauseEnded() } == [.connect(4, endpoint: 1, address: .ip(1))])
    #expect(state { $0.connectFailed(4) } == [.connect(5, endpoint: 2, address: .ip(2))])
    #expect(state { $0.connectFailed(5) } == [.connect(6, endpoint: 0, address: .ip(0))])
    #expect(state { $0.connectFailed(6) } == [.pause(isFirst: false)])
  }

  @Test func aUsefulAnswerStartsTheCountAnew() {
    let state = LinkScript(endpointCount: 1, first: 0)
    _ = state { $0.want(1) }
    #expect(state { $0.connectFailed(1) } == [.pause(isFirst: true)])
    _ = state { $0.pauseEnded() }
    _ = state { $0.connected(2) }
    state.link.answered(2)
    #expect(state { $0.unusable(2, isFault: true) } == [.pause(isFirst: true)])
  }

  @Test func connectionsThatOnlyOpenDoNotHideAFailure() {
    let state = LinkScript(endpointCount: 1, first: 0)
    _ = state { $0.want(1) }
    _ = state { $0.connected(1) }
    // No answer came, so this is no graceful end, whatever the server says.
    #expect(state { $0.unusable(1, isFault: false) } == [.pause(isFirst: true)])
    _ = state { $0.want(2) }
    #expect(state { $0.pauseEnded() } == [.connect(2, endpoint: 0, address: .ip(0))])
    _ = state { $0.connected(2) }
    #expect(state { $0.unusable(2, isFault: false) } == [.pause(isFirst: false)])
  }

  @Test func aGracefulEndMovesOnWithoutAPause() {
    let state = LinkScript(endpointCount: 1, first: 0)
    _ = state { $0.want(1) }
    _ = state { $0.connected(1) }
    state.link.answered(1)
    #expect(state { $0.unusable(1, isFault: false) } == [])
    #expect(state.link.phase == .idle)
    #expect(state { $0.want(2) } == [.connect(2, endpoint: 0, address: .ip(0))])
  }

  @Test func aServerThatCannotServeIsLeftForAnother() {
    let state = LinkScript(endpointCount: 2, first: 0)
    _ = state { $0.want(1) }
    _ = state { $0.connected(1) }
    #expect(state { $0.unavailable(1) } == [.drain(1)])
    #expect(state { $0.want(1) } == [.connect(2, endpoint: 1, address: .ip(1))])
    // More answers of the old one change nothing.
    #expect(state { $0.unavailable(1) } == [])
    _ = state { $0.connected(2) }
    #expect(state { $0.unavailable(2) } == [.drain(2), .pause(isFirst: true)])
  }

  @Test func theOnlyServerIsKeptThroughThePause() {
    let state = LinkScript(endpointCount: 1, first: 0)
    _ = state { $0.want(1) }
    _ = state { $0.connected(1) }
    #expect(state { $0.unavailable(1) } == [.pause(isFirst: true)])
    #expect(state { $0.want(2) } == [])
    #expect(state { $0.pauseEnded() } == [.use(1, by: [2])])
    #expect(state { $0.unavailable(1) } == [.pause(isFirst: false)])
    // It closes during the pause.
    #expect(state { $0.unusable(1, isFault: false) } == [])
    #expect(state { $0.want(3) } == [])
    #expect(state { $0.pauseEnded() } == [.connect(2, endpoint: 0, address: .ip(0))])
  }

  @Test func aSilentServerIsLeft() {
    let state = LinkScript(endpointCount: 2, first: 0)
    _ = state { $0.want(1) }
    _ = state { $0.connected(1) }
    state.link.answered(1)
    #expect(state { $0.silent(1) } == [.drain(1)])
    #expect(state { $0.want(2) } == [.connect(2, endpoint: 1, address: .ip(1))])
    #expect(state { $0.silent(1) } == [])
  }

  @Test func aConnectionThatComesTooLateIsDrained() {
    let state = LinkScript(endpointCount: 1, first: 0)
    _ = state { $0.want(1) }
    state.link.close()
    #expect(state { $0.connected(1) } == [.drain(1)])
    #expect(state { $0.want(2) } == [])
    #expect(state.link.phase == .closed)
  }

  @Test func nobodyIsConnectedForWhenTheLastOneLeft() {
    let state = LinkScript(endpointCount: 1, first: 0)
    _ = state { $0.want(1) }
    state.link.forget(1)
    #expect(state { $0.connectFailed(1) } == [.pause(isFirst: true)])
    #expect(state { $0.pauseEnded() } == [])
    #expect(state.link.phase == .idle)
  }
}

struct PeerWatchTests {
  private let start = Instant.now
  /// Of a peer that has said its first word.
  private var spokenWatch: PeerWatch {
    var watch = PeerWatch(openedAt: start, firstWordWithin: .seconds(2))
    watch.heardSomething(at: start)
    return watch
  }

  @Test func aBusyPeerIsAskedSoonAndAnIdleOneLate() {
    var watch = spokenWatch
    #expect(watch.nextLook == start + ClientLimits.silentMax)
    watch.sent(at: start + .seconds(3))
    #expect(watch.nextLook == start + .seconds(3) + ClientLimits.unansweredMax)
    watch.heard(at: start + .seconds(3.5), isBusy: false)
    #expect(watch.nextLook == start + .seconds(3.5) + ClientLimits.silentMax)
  }

  @Test func anUnansweredPingMeansDeath() {
    var watch = spokenWatch
    watch.sent(at: start)
    let asked = start + ClientLimits.unansweredMax
    let dead = asked + ClientLimits.pingTimeout
    #expect(watch.look(at: start) == .fine(nextLook: asked))
    #expect(watch.look(at: asked) == .ping(nextLook: dead))
    #expect(watch.look(at: asked + .seconds(1)) == .fine(nextLook: dead))
    #expect(watch.look(at: dead) == .dead)
  }

  @Test func anAnsweredPingBuysTime() {
    var watch = spokenWatch
    watch.sent(at: start)
    let asked = start + ClientLimits.unansweredMax
    _ = watch.look(at: asked)
    watch.heard(at: asked, isBusy: true)
    #expect(watch.look(at: asked + .milliseconds(999)) == .fine(nextLook: asked + .seconds(1)))
  }

  @Test func aRequestThatWasGivenUpIsNotWaitedFor() {
    var watch = spokenWatch
    watch.sent(at: start)
    watch.becameIdle()
    #expect(watch.nextLook == start + ClientLimits.silentMax)
  }

  /// It accepts connections, as the kernel does for a process that is suspended.
  @Test func aPeerThatNeverSaysAWordIsDeadWithoutAPing() {
    var watch = PeerWatch(openedAt: start, firstWordWithin: .seconds(2))
    watch.sent(at: start)
    #expect(watch.look(at: start + .seconds(1.9)) == .fine(nextLook: start + .seconds(2)))
    #expect(watch.look(at: start + .seconds(2)) == .dead)
    watch.heardSomething(at: start + .seconds(1))
    #expect(watch.nextLook == start + .seconds(1) + ClientLimits.unansweredMax)
  }

  @Test func theFirstWordIsNotWaitedForLongerThanAPing() {
    let watch = PeerWatch(openedAt: start, firstWordWithin: .seconds(60))
    #expect(watch.nextLook == start + ClientLimits.unansweredMax + ClientLimits.pingTimeout)
  }
}
