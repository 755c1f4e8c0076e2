import Glibc
package import LockCore
package import Storage
import Exclusion
import struct Synchronization.Atomic

/// A database across a network that servers on several machines use at once, as far as it differs from others.
package protocol NetworkEngine: StoreEngine {
  associatedtype Host: Sendable
  associatedtype Connection: SQLConnection
  associatedtype Statements: SetStatements where Statements.Statement == Connection.Statement

  /// Whether no store is made where there is none: it may be another place.
  var mustExist: Bool { get }
  var statements: Statements { get }
  var account: DatabaseAccount { get }
  /// The places that the database may be at.
  var hosts: HostRace<Host, Connection> { get }
  /// What says that nothing can be written there.
  var isReadOnly: StoreError { get }

  func error(_ failure: SQLFailure) -> StoreError
  /// A connection was opened, to the host that it says.
  func opened(_ connection: Connection)
  /// The same few statements come again and again on this connection.
  func keepStatements(_ connection: Connection) throws(StoreError)
  /// Brings the database to this server's shape.
  func migrate(_ connection: Connection) throws(StoreError)
}

/// What an engine knows of its database: of the runs that use it (``ServerRuns``), and of its settings.
package final class DatabaseAccount: Sendable {
  private let risks = Mutex<[WritingPurpose: [String]]>([:])
  private let runs = Mutex((own: OwnRuns(), watch: RunWatch()))
  private let latestCommits = Mutex<[WritingPurpose: Int64]>([:])
  private let highestHistory = Atomic<Int64>(0)
  private let clock: @Sendable () -> MonotonicTime

  private let timeWithSuspensions: @Sendable () -> Int64

  package init(
    clock: @escaping @Sendable () -> MonotonicTime,
    timeWithSuspensions: @escaping @Sendable () -> Int64 = DatabaseAccount.timeWithSuspensions
  ) {
    self.clock = clock
    self.timeWithSuspensions = timeWithSuspensions
  }

  var own: OwnRuns { runs.withLock { $0.own } }

  func withOwn<R>(_ body: (inout OwnRuns) -> R) -> R { runs.withLock { body(&$0.own) } }

  /// By which settings what was acknowledged may be lost, as they were looked at last where each connection leads.
  var knownRisks: [String] {
    let known = risks.withLock(\.self)
    let commands = known[.commands] ?? []
    return commands + (known[.upkeep] ?? []).filter { !commands.contains($0) }
  }

  func note(risks found: [String], for purpose: WritingPurpose) {
    risks.withLock { $0[purpose] = found }
  }

  /// Notes what each run has changed, and committed, by now.
  func saw(_ counts: [Int64: RunWatch.Counts]) {
    runs.withLock { $0.watch.saw(counts, at: clock()) }
  }

  /// The highest number of a history that was seen; 0 where they have none.
  package var latestHistory: Int64 { highestHistory.load(ordering: .relaxed) }

  func note(history: Int64) {
    if history > latestHistory { highestHistory.store(history, ordering: .relaxed) }
  }

  /// Notes that something of this server's run was committed, or that it has begun.
  package func noteCommit(for purpose: WritingPurpose) {
    let now = timeWithSuspensions()
    latestCommits.withLock { $0[purpose] = now }
  }

  /// Whether this server's run was silent for so long that others may have taken it away: the machine may have been
  /// suspended.
  package func mayHaveBeenTakenAway(_ purpose: WritingPurpose) -> Bool {
    let latest = latestCommits.withLock { $0[purpose] } ?? 0
    return timeWithSuspensions() - latest >= RunWatch.silenceNanosecondsMax / 2
  }

  /// In nanoseconds.
  package static func timeWithSuspensions() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  /// Some that are to be taken away, with what they have changed.
  func takeDead() -> [(run: Int64, changes: Int64)] {
    runs.withLock { $0.watch.takeDead(max: Self.deadMax) }
  }

  /// Each of them may have as many changes as are kept.
  private static let deadMax = 16
}

extension NetworkEngine {
  /// How often something is tried that others keep from being done: each time one of them got on.
  package static var triesMax: Int { 5 }
  /// Between two tries to change a table that somebody keeps: others, who wait behind each try, get on meanwhile.
  package static var migrationPauseNanoseconds: Int64 { 500_000_000 }
  package var keepsAccount: Bool { true }
  package func opened(_ connection: Connection) {}
  package func keepStatements(_ connection: Connection) throws(StoreError) {}

  package func remarks() -> [String] {
    account.knownRisks.map { "the store \(location) \($0)" }
  }

  package func connect() throws(StoreError) -> Connection {
    do throws(StoreError) {
      let (connection, index) = try hosts.connect()
      connection.hostIndex = index
      opened(connection)
      return connection
    } catch {
      throw StoreError(error.code, "cannot open the store \(location): \(error.message)")
    }
  }

  /// What connects next begins with another host than that of `connection`, which failed, or gave no answer: it may
  /// answer who connects, and nothing more, as a primary does in whose place a standby was promoted.
  func leave(_ connection: Connection) { hosts.leave(connection.hostIndex) }

  package func openReader() throws(StoreError) -> any StoreReader {
    NetworkReader(self, try connect())
  }

  package func openWriter(for purpose: WritingPurpose) throws(StoreError) -> any StoreWriter {
    let connection = try connect()
    try lookAtSettings(connection, for: purpose)
    let isNew = try existingColumns(connection).isEmpty
    if isNew, mustExist {
      throw StoreError(
        .missing,
        "the store \(location) is missing: the database has no tables of Latchkey's, and --store-must-exist makes none"
      )
    }
    try migrate(connection)
    if try meta(connection).birth == nil {
      let noting = statements.transaction(
        [Statements.setBirth(.random(isStoreNew: isNew))], isSessionSet: connection.isSessionSet,
        isBegun: false)
      _ = try run(noting, on: connection, isRepeated: true)
    }
    if purpose == .commands { try keepStatements(connection) }
    return NetworkWriter(
      self, connection, run: try admit(connection, for: purpose), for: purpose, hasMadeStore: isNew)
  }

  func lookAtSettings(
    _ connection: Connection, for purpose: WritingPurpose
  ) throws(StoreError) {
    let risks = try run([Statements.risks], on: connection)[0]
    account.note(risks: risks.rows.compactMap { $0.text(0) }, for: purpose)
  }

  /// Runs what is not to be decided anew.
  ///
  /// - Parameter isRepeated: Whether it is done again, some times, where others keep it from being done.
  package func run(
    _ statements: [Connection.Statement], on connection: Connection, isRepeated: Bool = false
  ) throws(StoreError) -> [Connection.Result] {
    var triesLeft = isRepeated ? Self.triesMax : 1
    while true {
      do throws(SQLFailure) {
        return try connection.run(statements)
      } catch {
        triesLeft -= 1
        if error.isConflict, triesLeft > 0 { continue }
        let said = self.error(error)
        if !connection.isUsable || said == isReadOnly { leave(connection) }
        throw said
      }
    }
  }

  /// Runs what only reads, in a transaction of its own.
  func inSnapshot(
    _ asked: [Connection.Statement], on connection: Connection
  ) throws(StoreError) -> ArraySlice<Connection.Result> {
    let begin = Statements.beginReading
    return try run(begin + asked + [Statements.commit], on: connection, isRepeated: true)
      .dropFirst(begin.count).dropLast()
  }

  // MARK: - Coming in

  package func existingColumns(_ connection: Connection) throws(StoreError) -> Set<String> {
    let result = try run([Statements.existingColumns], on: connection)
    return Set(result[0].rows.compactMap { $0.text(0) })
  }

  package func meta(_ connection: Connection) throws(StoreError) -> StoreMeta {
    shapes.meta(try run([Statements.meta], on: connection)[0].rows)
  }

  /// - Throws: ``isReadOnly``.
  func facts(ofMeta result: Connection.Result) throws(StoreError) -> Facts {
    guard result.rows.allSatisfy({ $0.integer(3) == 0 }) else { throw isReadOnly }
    var facts = Facts(meta: shapes.meta(result.rows))
    facts.history = result.first.flatMap { $0.isNull(4) ? nil : $0.integer(4) }
    if let history = facts.history { account.note(history: history) }
    return facts
  }

  /// A row for this server's run, which all of its transactions change. Whoever gives shapes up changes
  /// what is changed here first: so one of the two comes before the other.
  private func admit(
    _ connection: Connection, for purpose: WritingPurpose
  ) throws(StoreError) -> Int64 {
    let former = account.own.id(for: purpose)
    for _ in 0..<Self.triesMax {
      let new = account.withOwn { $0.nextID(for: purpose) }
      let known = try inSnapshot(
        [Statements.meta, Statements.own(former ?? 0), Statements.own(new)], on: connection)
      let meta = shapes.meta(known.first!.rows)
      try Fence.check(meta, self)
      let formerRow = known.dropFirst().first!.first
      var formerCommits = formerRow?.integer(1)
      if former != nil, formerCommits == nil, !account.mayHaveBeenTakenAway(purpose) {
        formerCommits = OwnRuns.unknown
      }
      let settled = account.own.settled(for: purpose, now: meta.setbacks)
      let admission = Statements.admission(
        of: new, inPlaceOf: former ?? 0, settled: settled, maintaining: meta.oldestShape)
      let coming = statements.transaction(
        admission, isSessionSet: connection.isSessionSet, isBegun: false)
      do throws(SQLFailure) {
        if known.last!.count > 0 {
          // It was done the last time, when there was no answer.
          formerCommits = nil
        } else {
          let results = try connection.run(coming + [Statements.own(new)])
          // It is done when it can be seen.
          guard results.last!.count > 0 else { continue }
        }
        account.withOwn { $0.began(new, for: purpose, formerCommits: formerCommits) }
        account.noteCommit(for: purpose)
        return new
      } catch {
        guard error.isConflict else {
          leave(connection)
          throw self.error(error)
        }
      }
    }
    throw StoreError.conflict
  }
}
