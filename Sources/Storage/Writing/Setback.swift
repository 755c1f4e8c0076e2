import LockCore

/// What this server does when its database may have gone back in time, such as to a standby that lacked
/// acknowledged commits.
///
/// Wherever the database's history is not the one that was noted last, servers do nothing for a moment, in
/// which each of them looks whether something is missing that it has committed. Who misses something says so
/// and raises the floor of tokens far above all that can have been given out. Then all put back what they
/// know to be held, and go on: a lock that was granted and lost is held again, under its token, until its
/// lease is over. What its holder had written beside is lost.
struct Setback {
  /// A key that somebody holds.
  struct Hold {
    var key: String
    var owner: String
    var kind: Kind
    var lease: Lease
    var sighting: Sighting
  }

  static let error = StoreError(
    .unavailable,
    "the database has another history than before, such as after a fail-over; what is held is looked through"
  )
  /// Nobody has given out so many tokens of a key that this server knows nothing of.
  private static let tokensUnknownMax: Int64 = 1 << 32

  private let limits: StoreLimits
  /// By the ids of rows.
  private var holds: [Int64: Hold] = [:]
  private var tokenMax: Int64 = 0
  /// How often servers have said that something is missing; nil before anything was read.
  private var setbacks: Int64?
  /// Until when nothing is done; nil where all is as before.
  private var graceEnd: MonotonicTime?
  /// Whether that is since something is missing.
  private var isSetback = false
  private var toBeSaid: ToBeSaid?
  /// What is still to be looked at, and put back where it is missing.
  private var lookingThrough: [Hold] = []

  init(limits: StoreLimits) { self.limits = limits }

  // MARK: - What is known

  /// What was read some time ago may be noted after what has come since.
  mutating func note(_ hold: Hold, of id: Int64) {
    if let known = holds[id], !hold.sighting.isLater(than: known.sighting) { return }
    holds[id] = hold
  }
  mutating func forget(_ id: Int64) { holds[id] = nil }

  mutating func note(token: Int64) {
    // As the floor a damaged row's token would leave no numbers to any key.
    if token <= Collector.collectableTokenMax { tokenMax = max(tokenMax, token) }
  }

  private enum ToBeSaid {
    /// That something is missing.
    case setback
    /// That others are right who have said so.
    case agreement
  }

  // MARK: - What has happened

  /// Whether nothing is to be done but to look through what is held.
  var isUnderWay: Bool { graceEnd != nil }

  /// When there is something to be done for that.
  func due(at now: MonotonicTime) -> MonotonicTime? {
    toBeSaid != nil || !lookingThrough.isEmpty ? graceEnd.map { _ in now } : graceEnd
  }

  enum News {
    /// The database has another history, and nothing is known to be missing.
    case otherHistory
    /// So many are held as far as this server knows, and may be missing.
    case setback(holds: Int)
  }

  func isNews(setbacks now: Int64) -> Bool { setbacks.map { $0 != now } ?? false }

  /// Looks whether the database is another one than before. Nil where it is not, or that is known.
  mutating func look(at facts: Facts, at now: MonotonicTime) -> News? {
    note(token: facts.meta.tokenFloor)
    let isSaidAnew = isNews(setbacks: facts.meta.setbacks)
    setbacks = facts.meta.setbacks
    if facts.isBehind, toBeSaid == nil { toBeSaid = .setback }
    guard facts.isBehind && !isSetback || isSaidAnew else {
      guard facts.isOfOtherHistory, graceEnd == nil else { return nil }
      graceEnd = now + limits.setbackGraceNanoseconds
      return .otherHistory
    }
    defer { isSetback = true }
    graceEnd = now + limits.setbackGraceNanoseconds
    if isSaidAnew, toBeSaid != nil { toBeSaid = .agreement }
    lookingThrough.insert(contentsOf: holds.values, at: 0)
    holds = [:]
    return isSetback ? nil : .setback(holds: lookingThrough.count)
  }

  /// What is to be looked at next.
  func part(max: Int) -> ArraySlice<Hold> { lookingThrough.suffix(max) }

  /// What is to be written beside what is put back.
  func changes(_ changes: inout Changes, _ facts: Facts, at now: MonotonicTime) {
    let meta = facts.meta
    if let toBeSaid {
      // Where the floor is damaged, there is no number above it.
      let unknown = toBeSaid == .setback ? Self.tokensUnknownMax : 0
      let floor = max(meta.tokenFloor, tokenMax).addingReportingOverflow(unknown)
      if !floor.overflow {
        changes.meta.append(
          .set(.tokenFloor, from: meta.tokenFloor, to: floor.partialValue))
      }
      let count = toBeSaid == .setback ? meta.setbacks &+ 1 : meta.setbacks
      changes.meta.append(.set(.setbacks, from: meta.setbacks, to: count))
    }
    if isOver(at: now), facts.isOfOtherHistory { changes.meta.append(.noteHistory) }
  }

  private func isOver(at now: MonotonicTime) -> Bool {
    toBeSaid == nil && lookingThrough.isEmpty && graceEnd.map { $0 <= now } ?? true
  }

  /// What ``changes(_:_:at:)`` gave is written, and with it what was missing of a part.
  mutating func done(_ part: Int, at now: MonotonicTime) {
    if isOver(at: now) { (graceEnd, isSetback) = (nil, false) }
    lookingThrough.removeLast(part)
    if toBeSaid == .setback { setbacks = setbacks.map { $0 &+ 1 } }
    toBeSaid = nil
  }
}
