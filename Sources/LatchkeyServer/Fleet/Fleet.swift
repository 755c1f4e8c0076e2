import Access
import Glibc
import LockContent
import LockCore
import Logging
import NIOCore
import Storage
import Exclusion
import struct Synchronization.Atomic
import TLS
import WireSchema

/// This server among those that share its store: keeps its presence, watches the others', and draws the
/// conclusions (``FleetView``).
///
/// From the rows under the reserved prefix alone, every server learns who lives and what each can do.
final class Fleet: Sendable {
  /// A server that is gone is missed after this many seconds.
  static let leaseSeconds: Int64 = 15
  /// How often the presence is renewed.
  static let renewalNanoseconds: Int64 = 5_000_000_000
  /// How often it is looked who lives, and the presence is claimed until that is done.
  static let look = TimeAmount.seconds(1)

  private let serverID: String
  /// Id and run: a server that was killed and started again shows at once, beside its former run.
  private let owner: String
  private let allowance: RollbackAllowance
  /// How long a shape has to be of no use to anybody until it is given up.
  private let settleNanoseconds: Int64
  private let metrics: ServerMetrics
  private let logger: Logger
  /// Nil where everybody may do everything.
  private let access: AccessControl?
  /// Nil where no TLS is spoken.
  private let tls: TLSMaterial?
  private let settings: [ServerConfiguration.Setting]
  private let clock: @Sendable () -> MonotonicTime
  private let started: (at: MonotonicTime, date: Int64)
  private let hasLeft = Atomic<Bool>(false)
  private let state: Mutex<State>

  private struct State {
    var listen = ""
    var held = (locks: 0, presences: 0)
    var storeID = ""
    /// When the store began to fail, in seconds since 1970; nil where it works.
    var failingSince: Int64?
    var latestFailure: (what: String, at: Int64)?
    /// Since when the shape that is still needed is the same one.
    var needed: (shape: Int64, since: MonotonicTime)?
    var isLooking = false
    /// When the presence was claimed last; nil where that failed.
    var announced: MonotonicTime?
    /// What keeps the policy from being held, as it was said last.
    var remarks: [String] = []
    /// Who has another one, and since when.
    var otherPolicies: [String: MonotonicTime] = [:]
  }

  init(_ configuration: ServerConfiguration, metrics: ServerMetrics) {
    serverID = configuration.serverID
    owner = "\(serverID)/\(String(configuration.random(), radix: 16))"
    allowance = configuration.rollback
    settleNanoseconds = configuration.limits.fleetSettleTime.nanoseconds
    self.metrics = metrics
    logger = configuration.logger
    access = configuration.access
    tls = configuration.tls
    settings = configuration.settings
    clock = configuration.clock
    started = (configuration.clock(), Int64(time(nil)))
    state = Mutex(State())
  }

  /// Says where this server listens, once it does.
  func listens(on address: String) { state.withLock { $0.listen = address } }

  /// Notes what the store holds, for ``status(_:of:offer:)``.
  func note(locks: Int, presences: Int) {
    state.withLock { $0.held = (locks, presences) }
  }

  /// Which store this server is on, as it was seen last; empty before.
  var storeID: String { state.withLock { $0.storeID } }

  // MARK: - Failures

  /// Notes how the store fails, for ``status(_:of:offer:)``.
  func noteFailure(_ error: StoreError) {
    let now = Int64(time(nil))
    state.withLock { state in
      state.failingSince = state.failingSince ?? now
      state.latestFailure = (error.message, now)
    }
  }

  /// It has worked for a while.
  func noteOutageEnded() { state.withLock { $0.failingSince = nil } }

  // MARK: - The own presence

  private var key: String { ReservedKeys.servers + owner }

  private var presence: Latchkey_Fleet_V1_ServerPresence {
    .with {
      $0.software = Release.version
      $0.wireOldest = WireVersions.spoken.oldest
      $0.wireNewest = WireVersions.spoken.newest
      $0.shapeOldest = UInt32(S1.number)
      $0.shapeNewest = UInt32(KnownShapes.all.newest)
      $0.shapeKept = UInt32(allowance.shapeKept)
      $0.listen = state.withLock { $0.listen }
      $0.hasPolicy_p = hasPolicy
      $0.policyDigest = policy?.digest ?? ""
    }
  }

  /// Claims or renews the presence where it is time to, on the event loop of `loop`.
  func announce(_ loop: EventLoopContext) {
    guard !hasLeft.load(ordering: .relaxed) else { return }
    let now = loop.clock()
    let isDue = state.withLock { state in
      if let announced = state.announced, now - announced < Self.renewalNanoseconds {
        return false
      }
      state.announced = now
      return true
    }
    guard isDue else { return }
    // A message of strings and numbers always encodes.
    let value = (try? presence.jsonString()) ?? "{}"
    let claim = Claim(
      kind: .presence, owner: owner, lease: Lease(seconds: Self.leaseSeconds)!,
      content: Content(text: value))
    // What the store fails at, the store reports.
    let call = InternalCall(loop) { [self] result in
      if case .failure = result { state.withLock { $0.announced = nil } }
    }
    loop.store.submit(.claim(key: key, claim), call: call)
  }

  /// Gives the presence up for good, or leaves it to the end of its lease where the store does not
  /// answer by `deadline`.
  func leave(_ loop: EventLoopContext, by deadline: MonotonicTime, done: @escaping () -> Void) {
    hasLeft.store(true, ordering: .relaxed)
    loop.store.submit(
      .release(key: key, GrantName(owner: owner)), deadline: deadline,
      call: InternalCall(loop, deadline: deadline) { _ in done() })
  }

  // MARK: - The others

  /// Looks who lives, on the event loop of `loop`, and gives up what nobody needs any more.
  ///
  /// - Parameter looked: Told the wire versions to be offered; nil where the store did not answer.
  func look(
    _ loop: EventLoopContext,
    _ looked: @escaping ((range: WireRange, reason: String)?) -> Void
  ) {
    // A store that hangs is asked once.
    let wasLooking = state.withLock { state in
      defer { state.isLooking = true }
      return state.isLooking
    }
    guard !wasLooking else { return looked(nil) }
    let deadline = loop.clock() + Operations.storeMillisecondsMax * 1_000_000
    loop.ask(.prefix(ReservedKeys.servers), by: deadline) { [self] servers in
      loop.ask(.meta, by: deadline) { [self] meta in
        state.withLock { $0.isLooking = false }
        guard case .success(.records(let records)) = servers,
          case .success(.meta(let meta, let lastRow)) = meta
        else { return looked(nil) }
        if let birth = meta.birth { state.withLock { $0.storeID = birth.id } }
        let view = FleetView(records)
        let others = view.without(owner)
        metrics.note(view, meta: meta, lastRow: lastRow)
        // Who did not fit into the answer may need anything.
        if records.count < StoreLimits().prefixRowsMax { giveUpShapes(others, meta, loop) }
        say(policyRemarks(others) + lasting(otherPolicies(others), at: loop.clock()))
        looked(others.offer(of: WireVersions.spoken))
      }
    }
  }

  private func giveUpShapes(_ others: FleetView, _ meta: StoreMeta, _ loop: EventLoopContext) {
    let needed = others.shapeNeeded(allowance, newest: KnownShapes.all.newest).shape
    let now = loop.clock()
    let since = state.withLock { state in
      // A server that is just being replaced is missing for a moment.
      if state.needed?.shape != needed { state.needed = (needed, now) }
      return state.needed!.since
    }
    guard needed > meta.oldestShape, now - since >= settleNanoseconds else { return }
    let release = RollbackAllowance.firstRelease(knowing: needed)
    loop.store.giveUpShapes(
      before: needed, neededRelease: "\(release) or newer",
      deadline: now + Self.look.nanoseconds)
  }

  // MARK: - The policy

  private var policy: Policy? { access?.current.policy }
  private var hasPolicy: Bool { policy != nil }

  /// What keeps the policy from being held, in words for a person.
  private func policyRemarks(_ others: FleetView) -> [String] {
    others.policyRemarks(isHeldHere: hasPolicy)
  }

  private func otherPolicies(_ others: FleetView) -> [String] {
    policy.map { others.otherPolicies(than: $0.digest) } ?? []
  }

  /// Those of them that do not seem to pass by themselves.
  private func lasting(_ remarks: [String], at now: MonotonicTime) -> [String] {
    state.withLock { state in
      let known = state.otherPolicies
      state.otherPolicies = Dictionary(
        remarks.map { ($0, known[$0] ?? now) }, uniquingKeysWith: { first, _ in first })
      return remarks.filter { now - state.otherPolicies[$0]! >= settleNanoseconds }
    }
  }

  private func say(_ remarks: [String]) {
    let before = state.withLock { state in
      defer { state.remarks = remarks }
      return state.remarks
    }
    for remark in remarks where !before.contains(remark) {
      logger.warning("the policy is not held by every server", metadata: ["why": "\(remark)"])
    }
    if remarks.isEmpty, !before.isEmpty {
      logger.notice("the policy is held by every server from now on")
    }
  }

  // MARK: - Status

  /// What the store says of itself and of who lives.
  struct Sight {
    var meta: StoreMeta
    var lastRow: Int64
    var servers: [LockRecord]
  }

  /// The answer to /status.
  func status(
    _ found: Result<Sight, StoreError>, of database: Store, offer: WireOffer
  ) -> Latchkey_Fleet_V1_Status {
    .with { status in
      status.serverID = serverID
      status.server = presence
      status.wireOfferedOldest = offer.range.oldest
      status.wireOfferedNewest = offer.range.newest
      status.wireReason = offer.reason
      status.access.hasPolicy_p = hasPolicy
      status.access.refusals = access?.refusals ?? []
      if let certificate = tls?.current.certificate {
        status.certificate = .with {
          $0.name = certificate.name
          $0.validUntil = UTC.text(certificate.notAfter)
          $0.daysLeft = certificate.daysLeft(at: Int64(time(nil)))
          $0.refusal = tls?.refusal ?? ""
        }
      }
      status.startedAt = UTC.text(started.date)
      status.uptimeSeconds = (clock() - started.at) / 1_000_000_000
      status.settings = settings.map { setting in
        .with { ($0.name, $0.value, $0.source) = (setting.name, setting.value, setting.source) }
      }
      status.store.location = database.location
      status.store.remarks = database.remarks
      switch found {
      case .success(let sight): tell(sight, offer, &status)
      case .failure(let error): status.store.failure = error.message
      }
      // It has come from who has waited longer.
      if case .failing(let error) = database.health { status.store.failure = error.message }
      let (since, latest) = state.withLock { ($0.failingSince, $0.latestFailure) }
      if !status.store.failure.isEmpty, let since { status.store.failingSince = UTC.text(since) }
      if let latest {
        (status.store.latestFailure, status.store.latestFailureAt) = (
          latest.what, UTC.text(latest.at)
        )
      }
    }
  }

  private func tell(
    _ sight: Sight, _ offer: WireOffer, _ status: inout Latchkey_Fleet_V1_Status
  ) {
    let (view, meta) = (FleetView(sight.servers), sight.meta)
    status.fleet = view.members.map { member in
      .with {
        $0.serverID = member.serverID
        $0.run = member.run
        $0.presence = member.presence
      }
    }
    status.store.newestShape = UInt32(clamping: meta.newestShape)
    status.store.oldestShape = UInt32(clamping: meta.oldestShape)
    status.store.filledShape = UInt32(clamping: meta.filledShape)
    status.store.backfillRow = meta.backfill.row == BackfillState.done ? 0 : meta.backfill.row
    status.store.lastRow = sight.lastRow
    status.store.tokenFloor = meta.tokenFloor
    if let birth = meta.birth {
      status.store.id = birth.id
      status.store.madeAt = birth.seconds > 0 ? UTC.text(birth.seconds) : ""
    }
    let others = view.without(owner)
    status.access.remarks = policyRemarks(others) + otherPolicies(others)
    let held = state.withLock { $0.held }
    status.store.locks = Int64(held.locks)
    status.store.presences = Int64(held.presences)
    status.store.waiting = waiting(others, meta, offer)
  }

  /// What is kept for whom.
  private func waiting(_ others: FleetView, _ meta: StoreMeta, _ offer: WireOffer) -> [String] {
    var waiting: [String] = []
    let needed = others.shapeNeeded(allowance, newest: KnownShapes.all.newest)
    if meta.oldestShape < KnownShapes.all.newest {
      waiting.append(
        needed.shape > meta.oldestShape
          ? "shapes before s\(needed.shape) are given up soon: nobody needs them"
          : "shape s\(meta.oldestShape) is kept \(needed.reason)")
    }
    if meta.backfill.row != BackfillState.done || meta.backfill.since < meta.oldestShape {
      waiting.append(
        "rows are brought into shape s\(KnownShapes.all.newestWhole) in the background")
    }
    if offer.range.newest < WireVersions.spoken.newest {
      waiting.append(
        "wire v\(WireVersions.spoken.newest) is not offered yet: \(offer.reason)")
    }
    return waiting
  }
}
