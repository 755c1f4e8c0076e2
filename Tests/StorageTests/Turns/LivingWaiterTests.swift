import LockCore
import Exclusion
import TestKit
import Testing

@testable import Storage

/// Nobody who waits is granted anything while it may be suspended.
@Suite struct LivingWaiterTests {
  private static let limits = StoreLimits()
  private static let second: Int64 = 1_000_000_000
  /// As long as it takes until a silent peer is known as one, from when it was last heard.
  private static let untilSilent = 3.25

  /// One connection with any number of calls. It answers questions unless it is frozen.
  final class Peer: Sendable {
    let peer: WaitingPeer
    private let bench: TurnBench
    private let state = Mutex((isFrozen: false, questions: 0))

    init(_ bench: TurnBench) {
      self.bench = bench
      peer = WaitingPeer(heardAt: bench.clock.now)
    }

    var questions: Int { state.withLock { $0.questions } }

    func freeze() { state.withLock { $0.isFrozen = true } }

    /// It reads what was sent to it meanwhile.
    func thaw() {
      let wasAsked = state.withLock { state in
        state.isFrozen = false
        return state.questions > 0
      }
      if wasAsked { showLife() }
    }

    func wasAsked() {
      let isFrozen = state.withLock { state in
        state.questions += 1
        return state.isFrozen
      }
      if !isFrozen { showLife() }
    }

    private func showLife() {
      if peer.showsLife(at: bench.clock.now) { bench.comes(.heard(peer)) }
    }
  }

  final class Waiter: StoreCall {
    private let connection: Peer
    private let bench: TurnBench
    private let kept = Mutex<StoreResult?>(nil)
    private let isOver = Mutex(false)
    private let isToEnd = Mutex(false)

    init(_ connection: Peer, _ bench: TurnBench) {
      (self.connection, self.bench) = (connection, bench)
    }

    var result: StoreResult? { kept.withLock { $0 }.map { $0.map(\.withoutState) } }
    var isGranted: Bool {
      if case .success(.claimed(_, _, isNewGrant: true))? = result { true } else { false }
    }
    var replyTarget: any ReplyTarget { DirectTarget.shared }
    var isWanted: Bool { !isOver.withLock { $0 } }
    var peer: WaitingPeer? { connection.peer }

    func askForSignOfLife() {
      if isToEnd.withLock({ $0 }) { ends() }
      // As the event loop does: the call ends between the store's question and the loop's turn.
      if isWanted { connection.wasAsked() } else { bench.comes(.notAsked(connection.peer)) }
    }

    /// Its deadline has passed, and the store learns of it later.
    func ends() { isOver.withLock { $0 = true } }

    /// It does when it is asked for a sign of life.
    func endsWhenAsked() { isToEnd.withLock { $0 = true } }

    func complete(_ result: StoreResult) {
      kept.withLock {
        precondition($0 == nil, "a call is answered once")
        $0 = result
      }
    }
  }

  private static func wait(
    _ bench: TurnBench, _ owner: String, _ peer: Peer, key: String = "key", seconds: Int64 = 600,
    requestID: String = ""
  ) -> Waiter {
    let waiter = Waiter(peer, bench)
    if peer.peer.showsLife(at: bench.clock.now) { bench.comes(.heard(peer.peer)) }
    let claim = Claim(kind: .lock, owner: owner, lease: Lease(seconds: 600)!)
    let wait = Wait(end: bench.clock.now + seconds * second, requestID: requestID)
    bench.turn(items: [
      .command(.claimWaiting(key: key, claim, wait), deadline: nil, call: waiter)
    ])
    return waiter
  }

  /// Some who are frozen, and one who comes last and lives.
  private static func line(
    _ bench: TurnBench, frozen count: Int
  ) -> (frozen: [(peer: Peer, waiter: Waiter)], living: Waiter) {
    bench.turn(.hold("key", "a", lease: 3_600))
    let frozen = (0..<count).map { number in
      let peer = Peer(bench)
      return (peer, wait(bench, "frozen-\(number)", peer))
    }
    let living = wait(bench, "living", Peer(bench))
    for (peer, _) in frozen { peer.freeze() }
    return (frozen, living)
  }

  @Test(arguments: engines)
  func theFrozenCostNothingWhoeverManyTheyAre(_ engine: EngineUnderTest) throws {
    for count in [1, 6, 100] {
      let bench = try TurnBench(engine.newDatabase())
      let (frozen, living) = Self.line(bench, frozen: count)
      // A hundred are asked in groups while the key is held.
      bench.pass(seconds: 60)
      bench.turn(.release(key: "key", owner: "a"))
      #expect(living.isGranted, "\(count)")
      #expect(frozen.allSatisfy { $0.waiter.result == nil })
      #expect(frozen.allSatisfy { $0.peer.questions == 1 })
    }
  }

  @Test(arguments: [1, 6, 200])
  func theTimeDoesNotGrowWithThem(count: Int) throws {
    var limits = StoreLimits()
    // Nobody was asked before.
    limits.frontLooksMax = 0
    let bench = try TurnBench(limits: limits)
    let (frozen, living) = Self.line(bench, frozen: count)
    bench.pass(seconds: 10)
    #expect(frozen.allSatisfy { $0.peer.questions == 0 })
    bench.turn(.release(key: "key", owner: "a"))
    #expect(!living.isGranted)
    bench.pass(seconds: Self.untilSilent - 1)
    #expect(living.isGranted)
    #expect(frozen.allSatisfy { $0.waiter.result == nil && $0.peer.questions == 1 })
  }

  @Test func whoLivesIsGrantedInTheTransactionOfTheRelease() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 3_600))
    let waiters = (0..<20).map { Self.wait(bench, "w\($0)", Peer(bench)) }
    bench.pass(seconds: 60)
    for (number, owner) in (["a"] + (0..<19).map { "w\($0)" }).enumerated() {
      bench.turn(.release(key: "key", owner: owner))
      #expect(waiters[number].isGranted)
    }
  }

  /// A transaction may take longer than a sign of life counts.
  @Test func aSlowDiskKeepsNobodyFromItsTurn() throws {
    var limits = StoreLimits()
    limits.frontLooksMax = 0
    let bench = try TurnBench(limits: limits)
    bench.turn(.hold("key", "a", lease: 3_600))
    let waiter = Self.wait(bench, "b", Peer(bench))
    bench.clock.advance(nanoseconds: Self.limits.lifeCountsNanoseconds)
    bench.turn(.release(key: "key", owner: "a"))
    #expect(!waiter.isGranted)
    bench.clock.advance(nanoseconds: 2 * Self.limits.lifeCountsNanoseconds)
    bench.turn()
    #expect(waiter.isGranted)
  }

  @Test func onlyTheFrontIsAskedAndNobodyMoreThanOnceASecond() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 3_600))
    let peers = (0..<20).map { _ in Peer(bench) }
    for (number, peer) in peers.enumerated() {
      // Two calls of each.
      for call in 0..<2 { _ = Self.wait(bench, "w\(number)-\(call)", peer) }
    }
    bench.pass(seconds: 60)
    let asked = peers.map(\.questions)
    #expect(asked.prefix(4).allSatisfy { (25...60).contains($0) }, "\(asked)")
    #expect(asked.dropFirst(4).allSatisfy { $0 == 0 }, "\(asked)")
  }

  @Test func whoThawsHasItsPlace() throws {
    let bench = try TurnBench()
    let (frozen, living) = Self.line(bench, frozen: 3)
    bench.pass(seconds: 10)
    frozen[1].peer.thaw()
    bench.turn()
    bench.turn(.release(key: "key", owner: "a"))
    #expect(frozen[1].waiter.isGranted && !living.isGranted)
    frozen[2].peer.thaw()
    frozen[0].peer.thaw()
    bench.turn()
    bench.turn(.release(key: "key", owner: "frozen-1"))
    #expect(frozen[0].waiter.isGranted)
    bench.turn(.release(key: "key", owner: "frozen-0"))
    #expect(frozen[2].waiter.isGranted && !living.isGranted)
    bench.turn(.release(key: "key", owner: "frozen-2"))
    #expect(living.isGranted)
  }

  @Test func aKeyThatNobodyLivingWaitsForIsFreeAndGoesToTheFirstWhoThaws() throws {
    let bench = try TurnBench()
    let (frozen, living) = Self.line(bench, frozen: 2)
    bench.turn(items: [.abandoned(living)])
    bench.pass(seconds: 10)
    bench.turn(.release(key: "key", owner: "a"))
    #expect(try bench.owner(of: "key") == nil)
    frozen[1].peer.thaw()
    bench.turn()
    #expect(frozen[1].waiter.isGranted)
    // Who comes while nobody else lives does not wait for them.
    bench.turn(.release(key: "key", owner: "frozen-1"))
    #expect(bench.turn(.hold("key", "new")) == [.granted(token: 3, revision: 5)])
  }

  @Test func nobodyGetsInBetweenWhileTheFirstIsAsked() throws {
    var limits = StoreLimits()
    limits.frontLooksMax = 0
    let bench = try TurnBench(limits: limits)
    let (frozen, living) = Self.line(bench, frozen: 1)
    bench.pass(seconds: 10)
    #expect(
      bench.turn(.release(key: "key", owner: "a"), .hold("key", "d"))
        == [.released, .heldByAnother])
    let later = Self.wait(bench, "later", Peer(bench))
    #expect(bench.turn(.hold("key", "d")) == [.heldByAnother])
    // It was only slow.
    frozen[0].peer.thaw()
    bench.turn()
    #expect(frozen[0].waiter.isGranted)
    #expect(living.result == nil && later.result == nil)
  }

  @Test func whoLeavesWhileItIsAskedMakesRoomForTheNext() throws {
    var limits = StoreLimits()
    limits.frontLooksMax = 0
    let bench = try TurnBench(limits: limits)
    let (frozen, living) = Self.line(bench, frozen: 1)
    bench.pass(seconds: 10)
    bench.turn(.release(key: "key", owner: "a"))
    #expect(!living.isGranted)
    bench.turn(items: [.abandoned(frozen[0].waiter)])
    #expect(living.isGranted)
  }

  /// A suspended client has two calls, of which one is over just when it is asked through.
  @Test func aQuestionThatIsLostIsAskedAgainThroughAnotherCall() throws {
    var limits = StoreLimits()
    limits.frontLooksMax = 0
    let bench = try TurnBench(limits: limits)
    bench.turn(.hold("key", "a", lease: 3_600), .hold("other", "a", lease: 3_600))
    let (suspended, slow) = (Peer(bench), Peer(bench))
    let ended = Self.wait(bench, "ended", suspended)
    let waits = Self.wait(bench, "waits", suspended, key: "other")
    let behind = Self.wait(bench, "behind", slow, key: "other")
    bench.pass(seconds: 10)
    suspended.freeze()
    // The release is decided on while the call is wanted; it is over when the question is to go out.
    ended.endsWhenAsked()
    bench.turn(.release(key: "key", owner: "a"))
    bench.turn(.release(key: "other", owner: "a"))
    bench.turn(items: [.abandoned(ended)])
    #expect(waits.result == nil && behind.result == nil)
    bench.turn()
    #expect(suspended.questions == 1)
    bench.pass(seconds: Self.untilSilent)
    #expect(waits.result == nil && ended.result == nil && behind.isGranted)
  }

  @Test func whoMayBeSuspendedAtTheEndOfItsWaitIsNotGrantedAnything() throws {
    var limits = StoreLimits()
    limits.frontLooksMax = 0
    let bench = try TurnBench(limits: limits)
    bench.turn(.hold("key", "a", lease: 3_600))
    let suspended = Peer(bench)
    let waiter = Self.wait(bench, "b", suspended, seconds: 10)
    suspended.freeze()
    bench.pass(seconds: 9.5)
    bench.turn(.release(key: "key", owner: "a"))
    #expect(waiter.result == nil && suspended.questions == 1)
    // It is not silent for long enough yet.
    bench.pass(seconds: 0.5)
    #expect(waiter.result == .heldByAnother)
    #expect(try bench.owner(of: "key") == nil)
  }

  @Test func aRetryOfOneWhoWasPassedOverHasItsPlace() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 3_600))
    let connection = Peer(bench)
    let former = Self.wait(bench, "b", connection, requestID: "r")
    let living = Self.wait(bench, "living", Peer(bench))
    connection.freeze()
    bench.pass(seconds: 10)
    let again = Self.wait(bench, "b", Peer(bench), requestID: "r")
    #expect(former.result == .success(.refused(.superseded, nil)))
    bench.turn(.release(key: "key", owner: "a"))
    #expect(again.isGranted && !living.isGranted)
  }

  @Test func aServerThatStoodStillDoesNotTakeSilenceForDeath() throws {
    let bench = try TurnBench()
    let (frozen, living) = Self.line(bench, frozen: 1)
    bench.pass(seconds: 1.5)
    #expect(frozen[0].peer.questions == 1)
    // The answer lies in its socket.
    bench.clock.advance(seconds: 30)
    #expect(bench.turn(.release(key: "key", owner: "a")) == [.released])
    #expect(bench.observer.totals.stalls == 1)
    #expect(!living.isGranted)
    frozen[0].peer.thaw()
    bench.turn()
    #expect(frozen[0].waiter.isGranted)
  }

  @Test func whoCannotBeAskedIsGrantedAsEver() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 3_600))
    let peer = Peer(bench)
    let waiter = Self.wait(bench, "b", peer)
    peer.freeze()
    #expect(!peer.peer.cannotBeAsked())
    bench.pass(seconds: 60)
    bench.turn(.release(key: "key", owner: "a"))
    #expect(waiter.isGranted && peer.questions == 0)
  }

  @Test func aWaitThatEndsInSilenceIsNotAGrant() throws {
    let bench = try TurnBench()
    bench.turn(.hold("key", "a", lease: 3_600))
    let peer = Peer(bench)
    let waiter = Self.wait(bench, "b", peer, seconds: 30)
    peer.freeze()
    bench.pass(seconds: 10)
    bench.turn(.release(key: "key", owner: "a"))
    bench.pass(seconds: 30)
    #expect(waiter.result == .heldByAnother)
    #expect(try bench.owner(of: "key") == nil)
  }

  @Test(arguments: engines)
  func aFailureCostsNobodyThePlace(_ engine: EngineUnderTest) throws {
    let bench = try TurnBench(engine.newDatabase())
    let (frozen, living) = Self.line(bench, frozen: 2)
    bench.pass(seconds: 10)
    frozen[1].peer.thaw()
    bench.turn()
    bench.faults.fail(.apply, .notDone)
    #expect(bench.turn(.release(key: "key", owner: "a")) == [.failed])
    #expect(frozen[1].waiter.result == nil)
    bench.pass(seconds: 4)
    bench.turn(.release(key: "key", owner: "a"))
    #expect(frozen[1].waiter.isGranted && !living.isGranted)
  }
}
