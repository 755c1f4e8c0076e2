import LockCore
import Exclusion
import TestKit

@testable import Storage

/// The writing side of a store without its threads: a test says when its turn comes, and what time
/// it is then. Scans, and looks at what is waited for, are read between two turns.
///
/// `@unchecked Sendable`: a test uses it on one thread; those who answer what it asks only add items.
final class TurnBench: @unchecked Sendable {
  let clock: ManualClock
  let database: any TestDatabase
  let limits: StoreLimits
  let observer = RecordingObserver()
  let faults = FaultPlan()
  let logGate = LogGate()
  private(set) var health = StoreHealth.working
  private(set) var scans = 0
  /// Whether the engine tells which rows others have changed.
  let keepsAccount: Bool
  /// How many waited-for keys a reader was asked to look at.
  private(set) var keysLookedAt = 0

  private let queue = BatchQueue<CommandWriter.Item>(capacity: 10_000)
  private let looks = BatchQueue<SnapshotReader.Item>(capacity: 1)
  private let reader: SnapshotReader
  private var writer: CommandWriter!
  /// Nil where the writer does the upkeep.
  private var caretaker: Caretaker?
  private var isScanWaiting = false

  convenience init(
    _ database: any TestDatabase = MemoryDatabase(), clock: ManualClock = ManualClock(),
    limits: StoreLimits = StoreLimits()
  ) throws {
    try self.init(engine: database.engine(), database: database, clock: clock, limits: limits)
  }

  /// - Parameters:
  ///   - engine: A way to `database`.
  ///   - setbackGraceNanoseconds: In place of the one in `limits`. Mostly there was nobody before who could know more
  ///     than the database.
  init(
    engine: any StoreEngine, database: any TestDatabase, clock: ManualClock, limits: StoreLimits,
    setbackGraceNanoseconds: Int64 = 0
  ) throws {
    var limits = limits
    limits.setbackGraceNanoseconds = setbackGraceNanoseconds
    self.clock = clock
    self.database = database
    self.limits = limits
    let engine = FaultyEngine(engine, plan: faults)
    keepsAccount = engine.keepsAccount
    let opened = try engine.openWriter()
    if keepsAccount {
      caretaker = Caretaker(
        engine: engine, limits: limits, clock: clock.reading, observer: observer)
    }
    reader = SnapshotReader(
      engine: engine, reader: try engine.openReader(),
      open: { () throws(StoreError) in try engine.openReader() }, limits: limits,
      clock: clock.reading, observer: observer, damage: DamageReports())
    writer = CommandWriter(
      engine: engine, writer: opened,
      open: { () throws(StoreError) in try engine.openWriter() }, limits: limits,
      clock: clock.reading, observer: observer,
      logGate: logGate, startScan: { [unowned self] in isScanWaiting = true },
      startLook: { [unowned self] keys in
        keysLookedAt += keys.count
        looks.appendAlways(.look(WaitedLook(keys: keys[...], writer: queue, queue: looks)))
      },
      askForNews: { [unowned self] mark in
        looks.appendAlways(.news(since: mark, writer: queue))
      },
      noteHealth: { [unowned self] in health = $0 }, sleep: { _ in })
  }

  var waitNanoseconds: Int64 { writer.waitNanoseconds }

  /// One turn: first what a scan found, then `commands`. Returns their results, in their order.
  @discardableResult
  func turn(_ commands: [Command], deadline: MonotonicTime? = nil) -> [StoreResult] {
    let calls = commands.map { _ in KeptCall() }
    turn(items: zip(commands, calls).map { .command($0, deadline: deadline, call: $1) })
    return calls.map { $0.result!.map(\.withoutState) }
  }

  /// One turn with `items` as they are, after what has come before.
  func turn(items: [CommandWriter.Item]) {
    let before = queue.count > 0 ? queue.take(max: .max, waitNanoseconds: 0) : []
    let items = before + items
    writer.turn(items)
    caretaker?.turn(
      items.compactMap { if case .giveUpShapes(let order) = $0 { order } else { nil } })
    if isScanWaiting {
      isScanWaiting = false
      scans += 1
      _ = reader.advance(.scan(writer: queue))
    }
    while looks.count > 0 { reader.turn(looks.take(max: 1, waitNanoseconds: 0)) }
  }

  @discardableResult
  func turn(_ commands: Command...) -> [StoreResult] { turn(commands) }

  /// `item` is taken in with the next turn.
  func comes(_ item: CommandWriter.Item) { queue.appendAlways(item) }

  func watch(_ pulse: Pulse) { writer.turn([.pulse(pulse)]) }

  /// Lets time pass as it does: with a turn at every tick.
  func pass(seconds: Double) {
    var rest = Int64(seconds * 1_000_000_000)
    while rest > 0 {
      let step = min(rest, limits.tickNanoseconds)
      clock.advance(nanoseconds: step)
      rest -= step
      turn()
    }
  }

  /// What a reader says of a key: its owner, nil where it is free.
  func read(_ key: String) -> Result<String?, StoreError> {
    let call = KeptCall()
    reader.turn([.query(.fetch(key: key), deadline: nil, call: call)])
    return call.result!.map { outcome in
      if case .found(let record) = outcome { record?.holder?.owner } else { "?" }
    }
  }

  func owner(of key: String) throws -> String? { try database.row(forKey: key)?.owner }
}

final class KeptCall: StoreCall {
  private let kept = Mutex<StoreResult?>(nil)
  private let wanted = Mutex(true)

  var isWanted: Bool {
    get { wanted.withLock { $0 } }
    set { wanted.withLock { $0 = newValue } }
  }
  var result: StoreResult? { kept.withLock { $0 } }
  var replyTarget: any ReplyTarget { DirectTarget.shared }

  func complete(_ result: StoreResult) {
    kept.withLock {
      precondition($0 == nil, "a call is answered once")
      $0 = result
    }
  }
}

extension StoreResult {
  static func granted(token: Int64, revision: Int64) -> StoreResult {
    .success(.claimed(token: token, revision: revision, isNewGrant: true))
  }

  static func renewed(token: Int64, revision: Int64) -> StoreResult {
    .success(.claimed(token: token, revision: revision, isNewGrant: false))
  }

  static let released = StoreResult.success(.released)
  static let heldByAnother = StoreResult.success(.heldByAnother)
  static let notTheHolder = StoreResult.success(.notTheHolder)
  static let failed = StoreResult.failure(Fault.error)
}
