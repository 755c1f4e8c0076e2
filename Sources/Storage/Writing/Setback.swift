import LockCore

/// What this server does where its database may have gone back in time, such as to a standby that lacked
/// acknowledged commits.
///
/// The store counts setbacks: a server that finds another history than was noted, or less than it knows, says so
/// by another number, and raises the floor of tokens above all that can have been given out. Whoever sees another
/// number than before does nothing for clients, puts back what it knows to be held where the row's token is lower,
/// and says in its run's row that it is settled. When all are settled, or have been silent for a while, they go
/// on: a lock that was granted and lost is held again, under its token, until its lease is over. What its holder
/// had written beside is lost. Tests/Model/setback.pml has the rules as a model.
struct Setback {
  /// A key that somebody holds.
  struct Hold {
    var key: String
    var owner: String
    var kind: Kind
    var lease: Lease
    var identity: String
    var sighting: Sighting
  }

  static let error = StoreError(
    .unavailable,
    "the database may have another history than before, such as after a fail-over; what is held is looked through"
  )
  static let arrivalError = StoreError(
    .unavailable,
    "the server has just come in, and looks for a second whether others know more than the database"
  )
  /// Why commands are not done.
  var refusal: StoreError { isArrival ? Self.arrivalError : Self.error }

  /// Nobody gives out so many tokens of one key in one history of the database.
  static let tokensOfHistoryMax: Int64 = 1 << 32

  /// Say, look through, settle, open; and once more where another server has said something meanwhile.
  static let stepsOfTurnMax = 8

  private let limits: StoreLimits
  /// By the ids of rows.
  private var holds: [Int64: Hold] = [:]
  /// The highest token or floor that was seen.
  private var tokenMax: Int64 = 0
  /// The number that is known; nil before anything was read.
  private(set) var setbacks: Int64?
  /// Whether clients' commands are done.
  private(set) var isOpen: Bool
  /// Whether they never were.
  private var isFirstTime = true
  /// Whether the others have to be waited for though some of them go on. The name of a history tells promotions apart,
  /// and not a copy that was put back.
  private var isHistoryInDoubt = false
  /// Whether it is known that something was lost.
  private var isLoss = false
  /// Whether nothing can have been lost, as far as this server knows: commits waited for standbys.
  private var wasReplicated = false
  /// Since when a history is seen that nobody has noted.
  private var otherHistorySince: MonotonicTime?
  /// Since when ``setbacks`` is known.
  private var since: MonotonicTime
  private var nextLook: MonotonicTime
  /// What is still to be looked at, and put back where it is missing; and how much was.
  private var lookingThrough: [Hold] = []
  private var countPutBack = 0
  /// What runs have been as they are, and since when.
  private var runs: [Int64: (state: RunState, since: MonotonicTime)] = [:]

  /// - Parameter isPossible: Whether the database may go back in time.
  init(limits: StoreLimits, isPossible: Bool, now: MonotonicTime) {
    self.limits = limits
    isOpen = !isPossible
    (since, nextLook) = (now, now)
  }

  // MARK: - What is known

  /// What was read some time ago may be noted after what has come since.
  mutating func note(_ hold: Hold, of id: Int64) {
    guard Self.isCredible(hold.sighting.token) else { return }
    if let known = holds[id], !hold.sighting.isLater(than: known.sighting) { return }
    holds[id] = hold
  }

  /// Nobody holds the row with `id` any more, or it is gone, as of `token`.
  mutating func forget(_ id: Int64, asOf token: Int64) {
    if let known = holds[id], known.sighting.token <= token { holds[id] = nil }
  }

  /// - Returns: The key of the row that is gone, where it was known to be held.
  mutating func forgetGone(_ id: Int64) -> String? { holds.removeValue(forKey: id)?.key }

  mutating func note(token: Int64) {
    if Self.isCredible(token) { tokenMax = max(tokenMax, token) }
  }

  /// Put back, or as the floor, a damaged row's token would leave no numbers to a key, or to any.
  private static func isCredible(_ token: Int64) -> Bool { token <= Collector.collectableTokenMax }

  // MARK: - What has happened

  /// What becomes of the past as this server knew it.
  enum Verdict {
    case asBefore
    /// It is not what it was, and nobody has said so yet.
    case toBeSaid
    /// It has to be looked through.
    case toBeLookedThrough
  }

  /// Looks whether the database is what it was.
  ///
  /// - Parameter isNewConnection: Whether the connection before was lost, or there was none, so that it may be another
  ///   database than those know who were connected before.
  mutating func look(
    at facts: Facts, isNewConnection: Bool, at now: MonotonicTime
  ) -> Verdict {
    note(token: facts.meta.tokenFloor)
    let said = facts.meta.setbacks
    let isAnew = setbacks != said
    let isBelow = setbacks.map { said < $0 } ?? false
    // Where the number is above the one that is known, somebody has said so already.
    let isBehind = facts.isBehind && (!isAnew || isBelow)
    if isBelow || (facts.isBehind && setbacks != nil) { isLoss = true }
    otherHistorySince = facts.isOfOtherHistory ? otherHistorySince ?? now : nil
    if isBehind || isBelow { wasReplicated = false }
    if isBehind || isBelow || facts.isOfOtherHistory {
      isOpen = false
      nextLook = now
      return .toBeSaid
    }
    wasReplicated = facts.isReplicated
    let isInDoubt = isNewConnection || setbacks == nil
    if isInDoubt { isHistoryInDoubt = true }
    let isNotOpened = facts.settled != said || facts.meta.opened != said
    guard isAnew || isInDoubt || (isOpen && isNotOpened) else { return .asBefore }
    lookThrough(said, at: now)
    return .toBeLookedThrough
  }

  private mutating func lookThrough(_ said: Int64, at now: MonotonicTime) {
    setbacks = said
    isOpen = false
    (since, nextLook) = (now, now)
    runs = [:]
    countPutBack = 0
    // Before what is being looked at, which may have been read already.
    lookingThrough.insert(contentsOf: holds.values, at: 0)
    holds = [:]
  }

  /// Whether nothing is known to have gone wrong: this server has just come in, and looks what others have to say.
  var isArrival: Bool { isFirstTime && otherHistorySince == nil && !isLoss }

  // MARK: - What is to be done

  /// When there is something to be done for that; nil where clients' commands are done.
  var due: MonotonicTime? { isOpen ? nil : nextLook }

  enum Step {
    /// Say that the past is not what it was.
    case say
    /// Put back what is missing of ``part(max:)``.
    case putBack
    case settle
    case open
    /// Others are not settled yet.
    case wait
  }

  /// What is to be looked at next.
  func part(max: Int) -> ArraySlice<Hold> { lookingThrough.suffix(max) }

  /// - Parameter facts: As they were looked at, with ``Wanted/wantsRuns``.
  mutating func step(_ verdict: Verdict, _ facts: Facts, at now: MonotonicTime) -> Step {
    note(facts.runs, at: now)
    if verdict == .toBeSaid {
      if !isLeftToOthers(at: now) { return .say }
      nextLook = now + limits.setbackLookNanoseconds
      return .wait
    }
    if !lookingThrough.isEmpty { return .putBack }
    if facts.settled != facts.meta.setbacks { return .settle }
    if isToBeOpened(facts.meta, at: now) { return .open }
    nextLook = now + limits.setbackLookNanoseconds
    return .wait
  }

  /// Whoever has just started knows less of what was before than who has lived through it.
  private func isLeftToOthers(at now: MonotonicTime) -> Bool {
    guard setbacks == nil, let since = otherHistorySince else { return false }
    return now - since < limits.setbackGraceNanoseconds
  }

  private mutating func note(_ states: [RunState], at now: MonotonicTime) {
    for state in states where runs[state.id]?.state != state { runs[state.id] = (state, now) }
    let ids = Set(states.map(\.id))
    runs = runs.filter { ids.contains($0.key) }
  }

  /// Whether nobody has anything to put back any more. Whoever comes later than that is too late: what it has
  /// granted keeps its place only where nobody else was granted the key.
  private func isToBeOpened(_ meta: StoreMeta, at now: MonotonicTime) -> Bool {
    if meta.opened == meta.setbacks, !isHistoryInDoubt { return true }
    let grace = limits.setbackGraceNanoseconds
    return now - since >= grace
      && runs.values.allSatisfy { run in
        run.state.settled == meta.setbacks || run.state.settled == RunState.exempt
          || now - run.since >= grace
      }
  }

  /// What is to be written for a step, beside what is put back.
  func change(_ changes: inout Changes, for step: Step, _ facts: Facts) {
    let meta = facts.meta
    switch step {
    case .say:
      let floor = floorAboveAll(facts)
      changes.meta = [
        // It never comes to a number that was there in a history that is lost.
        .set(
          .setbacks, from: meta.setbacks,
          to: max(meta.setbacks, setbacks ?? 0) &+ .random(in: 1...Self.stepMax)),
        .set(.tokenFloor, from: meta.tokenFloor, to: floor),
      ]
      // Where nothing can have been lost, whoever holds something holds it as before.
      if !wasReplicated {
        changes.meta.append(.set(.setbackFloor, from: meta.setbackFloor, to: floor))
      }
      if let history = facts.history, let noted = meta.history {
        changes.meta.append(.set(.history, from: noted, to: history))
      }
    case .settle:
      changes.settled = meta.setbacks
      if tokenMax > meta.tokenFloor {
        changes.meta = [.set(.tokenFloor, from: meta.tokenFloor, to: tokenMax)]
      }
    case .open where meta.opened != meta.setbacks:
      // Where somebody says something else meanwhile, it is of no account.
      changes.meta = [.set(.opened, from: meta.opened, to: meta.setbacks)]
    case .putBack:
      // Though nothing of it may be missing: whoever commits nothing is not waited for.
      changes.settled = facts.settled
    case .open, .wait: break
    }
  }

  private static let stepMax: Int64 = 1 << 31

  /// Above all that this server knows of, and all that can have been given out in the histories before.
  private func floorAboveAll(_ facts: Facts) -> Int64 {
    let known = max(facts.meta.tokenFloor, tokenMax)
    let (above, isOver) = known.addingReportingOverflow(Self.tokensOfHistoryMax)
    // Where the floor is damaged, there is no number above it.
    guard !isOver else { return facts.meta.tokenFloor }
    let room = (facts.history ?? 0).multipliedReportingOverflow(by: 2 * Self.tokensOfHistoryMax)
    return room.overflow ? above : max(above, room.partialValue)
  }

  /// What ``change(_:for:_:)`` gave is written.
  ///
  /// - Parameter part: How much was looked at.
  /// - Returns: How many that were held have been put back, where that is all, and something was lost.
  mutating func done(
    _ step: Step, _ changes: Changes, part: Int, at now: MonotonicTime
  ) -> Int? {
    switch step {
    case .say:
      for case .set(.setbacks, _, let said) in changes.meta { lookThrough(said, at: now) }
    case .putBack:
      lookingThrough.removeLast(part)
      countPutBack += changes.rows.count
    case .settle:
      guard isLoss || countPutBack > 0 else { return nil }
      isLoss = false
      return countPutBack
    case .open: (isOpen, isFirstTime, isHistoryInDoubt) = (true, false, false)
    case .wait: break
    }
    return nil
  }

  /// A step could not be done.
  mutating func failed(at now: MonotonicTime) { nextLook = now + limits.setbackLookNanoseconds }
}
