import Testing

@testable import LatchkeyClient

/// When a lease is renewed, with a lease of 6 s: the first renewal is due after 2 s, and overdue
/// after 1.
struct RenewalStateTests {
  private let start = Instant.now
  private let bits = ClientEnvironment.evenBits

  private func at(_ seconds: Double) -> Instant { start + .seconds(seconds) }

  /// A state of which the first `count` attempts are in flight, one a second from the second one
  /// on.
  private func state(inFlight count: Int = 0) -> RenewalState {
    var state = RenewalState(lease: .seconds(6))
    if count > 0 { _ = state.due(at: at(2)) }
    for attempt in 1..<max(count, 1) { _ = state.overdue(attempt, at: at(Double(2 + attempt))) }
    return state
  }

  @Test func theFirstIsDueAfterAThird() {
    #expect(state().begin(sentAt: start, randomBits: bits) == [.plan(at(2))])
    var state = state()
    #expect(state.due(at: at(2)) == [.send(1, deadline: at(8))])
  }

  @Test func anAnsweredOneIsFollowedAThirdAfterItWasSent() {
    var state = state(inFlight: 1)
    #expect(
      state.accepted(1, sentAt: at(2), at: at(2.5), randomBits: bits) == [.plan(at(4))])
    #expect(state.inFlight.isEmpty)
  }

  @Test func anOverdueOneIsFollowedAndStaysOnItsWay() {
    var state = state(inFlight: 1)
    #expect(state.overdue(1, at: at(3)) == [.send(2, deadline: at(9))])
    #expect(state.inFlight == [1, 2])
    // The second one is not overdue yet.
    #expect(state.accepted(1, sentAt: at(2), at: at(3.5), randomBits: bits).isEmpty)
    #expect(state.overdue(2, at: at(4)) == [.send(3, deadline: at(10))])
    #expect(state.overdue(1, at: at(4)).isEmpty)
  }

  @Test func thereAreSoManyAndNoMore() {
    var state = state(inFlight: ClientLimits.renewalsInFlightMax)
    #expect(state.inFlight == [1, 2, 3, 4])
    #expect(state.overdue(4, at: at(6)).isEmpty)
    #expect(state.due(at: at(6)).isEmpty)
    // The next one was due all the time.
    #expect(
      state.accepted(1, sentAt: at(2), at: at(6.5), randomBits: bits)
        == [.send(5, deadline: at(12.5))])
  }

  @Test func anOvertakenOneIsOnlyListenedTo() {
    var state = state(inFlight: 3)
    #expect(state.accepted(2, sentAt: at(3), at: at(4.5), randomBits: bits).isEmpty)
    #expect(state.inFlight == [3])
    #expect(state.overtaken == [1])
    #expect(
      state.accepted(3, sentAt: at(4), at: at(5), randomBits: bits) == [.plan(at(6))])
    // It neither extends the lease nor delays or hastens the next one.
    var other = state
    #expect(state.accepted(1, sentAt: at(2), at: at(5.5), randomBits: bits).isEmpty)
    #expect(other.failed(1, isMoving: true, at: at(5.5), randomBits: bits).isEmpty)
    #expect(state.overtaken.isEmpty && other.overtaken.isEmpty)
  }

  @Test func thereAreOnlySoManyOvertakenOnes() {
    var state = state()
    for attempt in stride(from: 1, through: 9, by: 2) {
      let now = at(Double(attempt))
      _ = state.due(at: now)
      _ = state.overdue(attempt, at: now)
      let actions = state.accepted(attempt + 1, sentAt: now, at: now, randomBits: bits)
      #expect(actions.contains(.cancel(1)) == (attempt == 9))
    }
    #expect(state.overtaken == [3, 5, 7, 9])
  }

  /// How many are in flight, which fails, whether the link moves on, when the next is due (ms).
  private static let failures: [(Int, Int, Bool, Int?)] = [
    (1, 1, false, 5_200), (1, 1, true, 5_000), (2, 2, false, 5_200), (2, 1, false, nil),
  ]

  @Test(arguments: failures)
  func aFailureIsFollowedAfterAPause(
    count: Int, failed: Int, isMoving: Bool, next: Int?
  ) {
    var state = state(inFlight: count)
    let actions = state.failed(failed, isMoving: isMoving, at: at(5), randomBits: bits)
    #expect(actions == (next.map { [.plan(start + .milliseconds($0))] } ?? []))
    #expect(state.inFlight == (1...count).filter { $0 != failed })
  }

  @Test func theFailureOfAnOlderOneMakesRoom() {
    var state = state(inFlight: ClientLimits.renewalsInFlightMax)
    _ = state.overdue(4, at: at(6))
    #expect(
      state.failed(2, isMoving: false, at: at(7), randomBits: bits)
        == [.send(5, deadline: at(13))])
  }

  @Test func theEndTakesBackWhatIsOnItsWay() {
    var state = state(inFlight: 2)
    #expect(state.end() == [.cancel(1), .cancel(2)])
    #expect(state.end().isEmpty)
  }
}

struct RenewalPlanTests {
  private let now = Instant.now

  @Test(arguments: [
    // lease, earliest and latest renewal, when it is overdue
    (Duration.milliseconds(500), Duration.milliseconds(149), Duration.milliseconds(184), 0.1666),
    (.seconds(1), .milliseconds(299), .milliseconds(367), 0.2),
    (.seconds(15), .milliseconds(4_500), .milliseconds(5_500), 2.5),
    (.seconds(3_600), .seconds(1_080), .seconds(1_320), 600),
  ])
  func renewalsLeaveTimeForMore(
    lease: Duration, earliest: Duration, latest: Duration, overdue: Double
  ) {
    let plan = RenewalPlan(lease: lease)
    for bits in UInt64(0)..<42 {
      let wait = plan.next(after: now, randomBits: bits) - now
      #expect((earliest...latest).contains(wait))
    }
    #expect(abs(plan.overdueAfter / .seconds(1) - overdue) < 0.001)
    #expect(plan.overdueAfter >= ClientLimits.suspicionMin)
    #expect(plan.pause(randomBits: 100) <= ClientLimits.renewPauseMax * 1.5)
    // Some ten tries in a lease, however long it is.
    #expect(plan.pauseOfDenied >= plan.lease / 10)
    var state = RenewalState(lease: lease)
    guard case .send(let attempt, _)? = state.due(at: now).first else {
      return #expect(Bool(false), "nothing is sent when it is due")
    }
    let actions = state.failed(
      attempt, isMoving: false, isDenied: true, at: now, randomBits: 0)
    guard case .plan(let next)? = actions.first else {
      return #expect(Bool(false), "what was denied is not tried again")
    }
    #expect(next - now >= plan.lease / 20)
  }
}

struct RetryStateTests {
  private func failure(
    _ code: LatchkeyError.Code, _ retry: AttemptFailure.Retry = .never, uncertain: Bool = false
  ) -> AttemptFailure {
    AttemptFailure(
      error: LatchkeyError(code, "away"), mayHaveHappened: uncertain, retry: retry)
  }

  @Test func whatMayHaveHappenedIsNotForgotten() {
    var state = RetryState(hasFallback: false, isRepeated: true)
    #expect(
      state.next(after: failure(.unavailable, .again, uncertain: true), isWanted: true)
        == .question)
    #expect(state.next(after: failure(.unavailable, .again), isWanted: true) == .question)
    #expect(state.mayHaveHappened)
    #expect(state.next(after: failure(.unavailable, .again), isWanted: false) == .fail)
  }

  @Test func contradictoryServersAreNotAskedForEver() {
    var state = RetryState(hasFallback: false, isRepeated: false)
    let move = failure(.noCommonVersion, .inAnotherVersion)
    let answers = (0...ClientLimits.versionMovesMax).map { _ in
      state.next(after: move, isWanted: true)
    }
    #expect(answers == [.question, .question, .question, .fail])
  }

  @Test func theFallbackIsForServersThatNeedIt() {
    var state = RetryState(hasFallback: true, isRepeated: true)
    #expect(state.next(after: failure(.requiresNewerPeer), isWanted: true) == .fallback)
    #expect(state.usesFallback)
    // The next server may be a newer one.
    #expect(state.next(after: failure(.unavailable, .again), isWanted: true) == .question)
    #expect(state.next(after: failure(.requiresNewerPeer), isWanted: true) == .fallback)
    #expect(state.next(after: failure(.requiresNewerPeer), isWanted: true) == .fail)
    var without = RetryState(hasFallback: false, isRepeated: true)
    #expect(without.next(after: failure(.requiresNewerPeer), isWanted: true) == .fail)
  }

  @Test func whatItsCallerRepeatsIsNotRepeated() {
    var state = RetryState(hasFallback: false, isRepeated: false)
    #expect(state.next(after: failure(.unavailable, .again), isWanted: true) == .fail)
  }
}
