import LockCore
package import Storage
import Exclusion

/// A store that lives in memory, for tests. It shows that nothing in the store protocol rests on SQLite:
/// as ``MemoryDatabase/Concurrency`` has it, its servers keep each other from writing, or meet.
///
/// Every engine made of one ``MemoryDatabase`` is another server's way to the same rows.
package struct MemoryEngine: StoreEngine {
  private let database: MemoryDatabase
  package let shapes: KnownShapes
  private let runs = MemoryRuns()
  /// Where a migration is broken off; nil for nowhere.
  private let faults: FaultPlan?

  package var location: String { "memory:" }

  package init(_ database: MemoryDatabase, _ shapes: KnownShapes, faults: FaultPlan? = nil) {
    self.database = database
    self.shapes = shapes
    self.faults = faults
  }

  package func openWriter(for purpose: WritingPurpose) throws(StoreError) -> any StoreWriter {
    MemoryWriter(database, shapes, runs, try migrate(for: purpose), purpose)
  }

  package func openReader() throws(StoreError) -> any StoreReader {
    MemoryReader(database, shapes, runs)
  }

  package var keepsAccount: Bool { database.concurrency == .optimistic }

  /// Statement by statement, each of which stands by itself: as in an engine that has no transactions
  /// around changes of its tables.
  private func migrate(for purpose: WritingPurpose) throws(StoreError) -> MemoryState.Run {
    try Fence.check(database.snapshot.meta(shapes), self)
    for column in shapes.newerColumnNames where !database.snapshot.columns.contains(column) {
      database.edit(isByServer: true) { $0.columns.insert(column) }
      if faults?.arrive(at: .migrate) != nil { throw Fault.error }
    }
    // Who comes is let in only where nobody has given its shapes up, and is known to whoever does from then
    // on.
    let run = MemoryState.Run(number: runs.change { $0.nextID(for: purpose) })
    let former = runs.now.id(for: purpose).map { MemoryState.Run(number: $0) }
    try database.edit(isByServer: true) { (state) throws(StoreError) in
      let meta = state.meta(shapes)
      try Fence.check(meta, self)
      state.set(.newestShape, to: max(meta.newestShape, shapes.newest))
      let settled = runs.now.settled(for: purpose, now: meta.setbacks)
      runs.change {
        $0.began(
          run.number, for: purpose,
          formerCommits: former.map { state.commits[$0] ?? OwnRuns.unknown })
      }
      state.end(former ?? .nobody)
      state.admit(run, settled: settled)
    }
    return run
  }
}

/// The runs of one server.
final class MemoryRuns: Sendable {
  private let runs = Mutex(OwnRuns())

  var now: OwnRuns { runs.withLock { $0 } }

  func change<R>(_ change: (inout OwnRuns) -> R) -> R { runs.withLock { change(&$0) } }
}

/// The connection that changes rows.
final class MemoryWriter: StoreWriter {
  private let database: MemoryDatabase
  private let shapes: KnownShapes
  private let runs: MemoryRuns
  private let run: MemoryState.Run
  private let purpose: WritingPurpose
  /// What was read, of a transaction that is under way.
  private var snapshot: MemoryState?
  /// What the latest transaction has left; nil where that is not known.
  private var left: MemoryState?
  private var history: Int64?
  private var ownCommits: Int64 = 0
  private var isRunGone = false
  private let connections: Int

  init(
    _ database: MemoryDatabase, _ shapes: KnownShapes, _ runs: MemoryRuns,
    _ run: MemoryState.Run, _ purpose: WritingPurpose
  ) {
    self.database = database
    self.shapes = shapes
    self.runs = runs
    self.run = run
    self.purpose = purpose
    connections = database.connections
  }

  deinit { forget() }

  private var isCut: Bool { connections != database.connections }
  var isUsable: Bool { snapshot == nil && !isRunGone && !isCut }

  func acceptPast() { runs.change { $0.accept() } }

  func read(_ wanted: Wanted) throws(StoreError) -> Facts {
    precondition(snapshot == nil, "a transaction within a transaction")
    if database.concurrency == .locks, !database.lockForWriting() {
      throw StoreError(.unavailable, "the store memory: is locked by another process")
    }
    let state = database.snapshot
    var facts = state.facts(wanted, shapes)
    if database.concurrency == .optimistic {
      guard !isCut else { throw StoreError(.unavailable, "the store memory: is cut off") }
      guard let commits = state.commits[run] else {
        isRunGone = true
        throw StoreError(.unavailable, "the store memory: does not know this server's run any more")
      }
      facts.isBehind = runs.change { $0.saw(commits, for: purpose) }
      facts.settled = state.settled[run]!
      history = database.history
      facts.history = history
      facts.isReplicated = database.isReplicated
    }
    snapshot = state
    return facts
  }

  func goOn() -> Bool {
    guard isUsable, let left, database.concurrency == .optimistic else { return false }
    (snapshot, self.left) = (left, nil)
    return true
  }

  func apply(_ changes: Changes) throws(StoreError) -> Applied {
    guard let snapshot else { preconditionFailure("changes without a transaction") }
    defer { end() }
    left = nil
    if changes.isEmpty, database.concurrency == .optimistic { return .done(ids: []) }
    let ids = database.change { state -> [Int64]? in
      guard database.concurrency == .optimistic else { return state.write(changes, shapes) }
      guard history == database.history, state.isAsDecided(on: snapshot, changes, by: run) else {
        return nil
      }
      let ids = state.write(changes, shapes, by: run)
      left = changes.meta.isEmpty ? state : nil
      return ids
    }
    guard let ids else { return .conflict }
    if database.concurrency == .optimistic {
      let commits = snapshot.commits[run]! + 1
      runs.change { $0.committed(commits, for: purpose) }
    }
    ownCommits += 1
    return .done(ids: ids)
  }

  func forget() {
    left = nil
    end()
  }

  private func end() {
    guard snapshot != nil else { return }
    snapshot = nil
    if database.concurrency == .locks { database.unlockForWriting() }
  }

  func changesByOthers() throws(StoreError) -> Int64 { database.commits - ownCommits }
}

/// A connection that reads.
final class MemoryReader: StoreReader {
  private let database: MemoryDatabase
  private let shapes: KnownShapes
  private let runs: MemoryRuns
  private var moment: MemoryState?

  init(_ database: MemoryDatabase, _ shapes: KnownShapes, _ runs: MemoryRuns) {
    self.database = database
    self.shapes = shapes
    self.runs = runs
  }

  func read(_ wanted: Wanted) throws(StoreError) -> Facts {
    var facts = (moment ?? database.snapshot).facts(wanted, shapes)
    if database.concurrency == .optimistic { facts.history = database.history }
    return facts
  }

  func beginMoment() throws(StoreError) {
    precondition(moment == nil, "a moment within a moment")
    moment = database.snapshot
  }

  func endMoment() { moment = nil }

  func changesByOthers(since mark: ChangeMark?) throws(StoreError) -> ChangesByOthers {
    // Before the snapshot: what is committed after it is not missing.
    let own = runs.now
    let state = database.snapshot
    var changes = state.changes(
      byOthersThan: own.ids.map { MemoryState.Run(number: $0) }, since: mark, shapes)
    let commits = Dictionary(
      uniqueKeysWithValues: state.commits.map { ($0.key.number, $0.value) })
    var facts = Facts(meta: state.meta(shapes))
    facts.history = database.history
    changes.isPastInDoubt = own.isMissingAny(in: commits) || facts.isOfOtherHistory
    changes.setbacks = facts.meta.setbacks
    return changes
  }
}
