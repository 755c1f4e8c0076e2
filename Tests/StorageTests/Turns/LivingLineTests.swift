import LockCore
import Exclusion
import TestKit
import Testing

@testable import Storage

/// Lines of waiters whose peers fall silent and come back, at random: nobody who lives is forgotten.
@Suite struct LivingLineTests {
  /// A key that is free goes to who lives after this at the latest: some of those before it may fall
  /// silent one after the other, each just when its turn has come.
  private static let handOverMax: Int64 = 8_000_000_000
  /// Who has lived for so long, and could be heard, is not passed over.
  private static let provenAfter: Int64 = 3_000_000_000
  private static let answerMax: Int64 = 900_000_000
  private static let peerCount = 6

  /// One connection. It answers a question after a while, unless it is suspended.
  private final class Peer: Sendable {
    let peer: WaitingPeer
    private let state: Mutex<(question: MonotonicTime?, livesSince: MonotonicTime?)>

    init(at now: MonotonicTime) {
      peer = WaitingPeer(heardAt: now)
      state = Mutex((nil, now))
    }

    /// Nil while it is suspended.
    var livesSince: MonotonicTime? { state.withLock { $0.livesSince } }

    func suspend() { state.withLock { $0.livesSince = nil } }

    func resume(at now: MonotonicTime) {
      state.withLock { $0.livesSince = $0.livesSince ?? now }
    }

    func wasAsked(at now: MonotonicTime) { state.withLock { $0.question = $0.question ?? now } }

    /// Whether there is a question to be answered, and it is.
    func answers(at now: MonotonicTime, mayWait: Bool) -> Bool {
      state.withLock { state in
        guard state.livesSince != nil, let question = state.question,
          !mayWait || now - question >= LivingLineTests.answerMax
        else { return false }
        state.question = nil
        return true
      }
    }
  }

  private final class Waiter: StoreCall {
    let key: String
    let owner: String
    let end: MonotonicTime
    let connection: Peer
    private let bench: TurnBench
    private let kept = Mutex<StoreResult?>(nil)
    private let isOver = Mutex(false)

    init(_ key: String, _ owner: String, end: MonotonicTime, _ connection: Peer, _ bench: TurnBench)
    {
      (self.key, self.owner, self.end) = (key, owner, end)
      (self.connection, self.bench) = (connection, bench)
    }

    var result: StoreResult? { kept.withLock { $0 } }
    var replyTarget: any ReplyTarget { DirectTarget.shared }
    var isWanted: Bool { !isOver.withLock { $0 } }
    var peer: WaitingPeer? { connection.peer }

    func askForSignOfLife() {
      if isWanted {
        connection.wasAsked(at: bench.clock.now)
      } else {
        bench.comes(.notAsked(connection.peer))
      }
    }

    func ends() { isOver.withLock { $0 = true } }

    func complete(_ result: StoreResult) {
      kept.withLock {
        precondition($0 == nil, "a call is answered once")
        $0 = result
      }
    }
  }

  /// What a run did, so that it is known to have met what it is for.
  private struct Count {
    var grants = 0
    var passedOver = 0
    var silentEnds = 0
    var lostQuestions = 0
    var failures = 0
    var stalls = 0
  }

  private final class Run {
    let bench: TurnBench
    var generator: SeededGenerator
    var peers: [Peer] = []
    /// In the order of arrival.
    var waiters: [Waiter] = []
    var holders: [String: String] = [:]
    var freeSince: [String: MonotonicTime] = [:]
    /// When everybody was last kept from being heard, or from being granted anything.
    var disturbance: MonotonicTime
    var latestFailure: MonotonicTime
    var tokens: [String: Int64] = [:]
    var count = Count()
    private var latestOwner = 0
    private let seed: UInt64

    static let keys = ["one", "two"]

    init(seed: UInt64) throws {
      self.seed = seed
      generator = SeededGenerator(seed: seed)
      bench = try TurnBench()
      disturbance = bench.clock.now
      latestFailure = bench.clock.now
      peers = (0..<LivingLineTests.peerCount).map { _ in Peer(at: bench.clock.now) }
      for key in Self.keys {
        bench.turn(.hold(key, "first", lease: 3_600))
        (holders[key], tokens[key]) = ("first", 1)
      }
    }

    var now: MonotonicTime { bench.clock.now }

    func chance(_ percent: Double) -> Bool {
      Double.random(in: 0..<100, using: &generator) < percent
    }

    /// One who comes to wait, with a request that shows life.
    func arrives() -> CommandWriter.Item {
      latestOwner += 1
      let key = Self.keys.randomElement(using: &generator)!
      let peer = peers.filter { $0.livesSince != nil }.randomElement(using: &generator)
      guard let peer else { return .lookEnded(nanoseconds: 0, isComplete: true) }
      if peer.peer.showsLife(at: now) { bench.comes(.heard(peer.peer)) }
      let range: ClosedRange<Int64> = chance(50) ? 1...20 : 300...600
      let seconds = Int64.random(in: range, using: &generator)
      let wait = Wait(end: now + seconds * 1_000_000_000)
      let waiter = Waiter(key, "owner-\(latestOwner)", end: wait.end, peer, bench)
      waiters.append(waiter)
      let claim = Claim(kind: .lock, owner: waiter.owner, lease: Lease(seconds: 3_600)!)
      return .command(.claimWaiting(key: key, claim, wait), deadline: nil, call: waiter)
    }

    func step(_ number: Int, isAtEnd: Bool) {
      // Who comes has a key looked at, and so has a failure: for most of the time there is neither.
      let isLively = !isAtEnd && number % 300 < 60
      if isLively, chance(3) {
        bench.clock.advance(seconds: 4)
        disturbance = now
        count.stalls += 1
      } else {
        bench.clock.advance(nanoseconds: .random(in: 1_000_000...250_000_000, using: &generator))
      }
      for peer in peers {
        if isAtEnd {
          peer.resume(at: now)
        } else if chance(0.2) {
          if peer.livesSince == nil { peer.resume(at: now) } else { peer.suspend() }
        }
        if peer.answers(at: now, mayWait: !chance(40)), peer.peer.showsLife(at: now) {
          bench.comes(.heard(peer.peer))
        }
      }
      var items: [CommandWriter.Item] = []
      if isLively, waiters.count < 30, chance(40) { items.append(arrives()) }
      if !isAtEnd, chance(4), let gone = chance(50) ? waiters.first : waiters.last {
        // Its deadline passes: the question of this turn may still go through it.
        gone.ends()
        count.lostQuestions += 1
        bench.turn()
        check()
        items.append(.abandoned(gone))
        waiters.removeAll { $0 === gone }
      }
      var released: (key: String, call: KeptCall)?
      if chance(8),
        let (key, owner) = holders.sorted(by: { $0.key < $1.key })
          .randomElement(using: &generator)
      {
        released = (key, KeptCall())
        let release = Command.release(key: key, owner: owner)
        items.append(.command(release, deadline: nil, call: released!.call))
      }
      items.shuffle(using: &generator)
      let fails = isLively && chance(3)
      if fails { bench.faults.fail(.apply, .notDone) }
      bench.turn(items: items)
      if let released, case .success? = released.call.result {
        holders[released.key] = nil
        freeSince[released.key] = now
      }
      bench.faults.clear()
      if fails {
        (disturbance, latestFailure) = (now, now)
        count.failures += 1
      }
      check()
    }

    /// Looks at who was granted what, and at who should have been.
    private func check() {
      let lineBefore = waiters
      for waiter in lineBefore {
        guard let result = waiter.result else { continue }
        waiters.removeAll { $0 === waiter }
        switch result {
        case .success(.claimed(let token, _, isNewGrant: true)):
          granted(waiter, token, among: lineBefore)
        case .success(.refused(.heldByAnother, _)):
          #expect(waiter.end <= now, "seed \(seed)")
          if waiter.connection.livesSince == nil { count.silentEnds += 1 }
        case .failure(.unwanted): #expect(!waiter.isWanted, "seed \(seed)")
        case .failure:
          // The store is opened anew after a failure, which takes a while.
          #expect(now - latestFailure <= 1_000_000_000, "seed \(seed)")
        default: Issue.record("seed \(seed): \(result)")
        }
      }
      for (key, since) in freeSince {
        let forgotten = waiters.first { waiter in
          guard waiter.key == key, waiter.isWanted, let lives = waiter.connection.livesSince else {
            return false
          }
          return now - max(since, lives, disturbance) > LivingLineTests.handOverMax
        }
        #expect(forgotten == nil, "seed \(seed): \(forgotten?.owner ?? "") is never granted \(key)")
        if forgotten != nil { freeSince[key] = now }
      }
    }

    private func granted(_ waiter: Waiter, _ token: Int64, among line: [Waiter]) {
      count.grants += 1
      let key = waiter.key
      #expect(holders[key] == nil, "seed \(seed): two hold \(key)")
      #expect(token > tokens[key]!, "seed \(seed)")
      (holders[key], tokens[key], freeSince[key]) = (waiter.owner, token, nil)
      let silence = now - waiter.connection.peer.lastHeard
      #expect(silence <= StoreLimits().lifeCountsNanoseconds, "seed \(seed): \(waiter.owner)")
      let before = line.prefix { $0 !== waiter }.filter {
        $0.key == key && $0.result == nil && $0.isWanted
      }
      count.passedOver += before.count
      for other in before {
        guard let lives = other.connection.livesSince else { continue }
        #expect(
          now - max(lives, disturbance) < LivingLineTests.provenAfter,
          "seed \(seed): \(other.owner) lives and was before \(waiter.owner)")
      }
    }
  }

  @Test func whoLivesIsGrantedInItsTurnWhoeverFallsSilent() throws {
    var total = Count()
    for seed in UInt64(1)...40 {
      let run = try Run(seed: seed)
      for number in 0..<1_200 { run.step(number, isAtEnd: false) }
      var rest = 4_000
      while !run.waiters.isEmpty, rest > 0 {
        run.step(0, isAtEnd: true)
        rest -= 1
      }
      #expect(run.waiters.isEmpty, "seed \(seed): \(run.waiters.map(\.owner)) wait for ever")
      total.grants += run.count.grants
      total.passedOver += run.count.passedOver
      total.silentEnds += run.count.silentEnds
      total.lostQuestions += run.count.lostQuestions
      total.failures += run.count.failures
      total.stalls += run.count.stalls
    }
    #expect(total.grants > 1_000 && total.passedOver > 100 && total.silentEnds > 50, "\(total)")
    #expect(total.lostQuestions > 100 && total.failures > 100 && total.stalls > 100, "\(total)")
  }
}
