import LockContent
import LockCore
import StorageSQL
import TestKit
import Testing

@testable import Storage

/// Servers that do not wait for each other: what one of them has decided is done only where nothing that it was
/// decided on has changed since. Each kind of change beside each thing that may keep it from being done.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ExpectationTests {
  /// With others, whoever is second waits.
  static let optimistic = engines.filter { !["memory", "SQLite"].contains($0.description) }

  typealias Decision = @Sendable (_ facts: Facts, _ changes: inout Changes) -> Void

  /// A server's connection.
  private struct Server {
    let engine: any StoreEngine
    let writer: any StoreWriter

    init(_ database: any TestDatabase) throws {
      engine = database.engine()
      writer = try engine.openWriter()
    }

    @discardableResult
    func write(
      _ decide: Decision, isExclusive: Bool = false, meanwhile: () throws -> Void = {}
    ) throws -> Applied {
      var wanted = Wanted(keys: [ExpectationTests.key])
      wanted.isExclusive = isExclusive
      let facts = try writer.read(wanted)
      try meanwhile()
      var changes = Changes(maintaining: facts.meta.oldestShape)
      decide(facts, &changes)
      return try writer.apply(changes)
    }
  }

  private static let key = "key"

  private static func record(
    _ owner: String?, _ token: Int64, _ revision: Int64, key: String = key
  ) -> LockRecord {
    let holder = owner.map {
      Holder(
        kind: .lock, owner: $0, content: Content(text: #"{"n":1}"#), lease: Lease(seconds: 60)!)
    }
    return LockRecord(key: key, holder: holder, token: token, revision: revision)
  }

  private static func insert(
    _ owner: String, token: Int64 = 1, key: String = key
  ) -> Decision {
    { _, changes in
      changes.rows = [
        RowChange(id: nil, expected: nil, record: record(owner, token, 1, key: key), epoch: 0)
      ]
    }
  }

  private static func set(
    _ owner: String?, _ token: Int64, _ revision: Int64
  ) -> Decision {
    { facts, changes in
      let row = facts.byKey[0]!
      changes.rows = [
        RowChange(
          id: row.id, expected: row.record.sighting, record: record(owner, token, revision),
          epoch: 0)
      ]
    }
  }

  /// Nothing but the revision is another one.
  private static func renew(_ facts: Facts, _ changes: inout Changes) {
    let row = facts.byKey[0]!
    var next = row.record
    next.revision += 1
    var change = RowChange(
      id: row.id, expected: row.record.sighting, record: next, epoch: 0)
    change.isRenewal = true
    changes.rows = [change]
  }

  private static func delete(_ facts: Facts, _ changes: inout Changes) {
    let row = facts.byKey[0]!
    changes.deletions = [Changes.Deletion(id: row.id, expected: row.record.sighting)]
  }

  private static func refill(_ facts: Facts, _ changes: inout Changes) {
    changes.refills = [facts.byKey[0]!]
  }

  private static func set(
    _ name: StoreMeta.Name, from: Int64, to: Int64
  ) -> Decision {
    { _, changes in changes.meta = [.set(name, from: from, to: to)] }
  }

  private static func giveUp(_ facts: Facts, _ changes: inout Changes) {
    changes.meta = [.giveUpShapes(before: KnownShapes.all.newest + 1, neededRelease: "9.0.0")]
  }

  struct Meeting: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// What there is before.
    var before: [Decision] = [insert("a")]
    /// What the first one decides, and what the second one does before it is done.
    var first: Decision
    var second: Decision
    /// Whether it is something that nothing may be done beside.
    var isOfAll = false
  }

  static let meetings = [
    Meeting(
      testDescription: "a renewal and a renewal", first: set("a", 1, 2), second: set("b", 1, 2)),
    Meeting(
      testDescription: "a renewal that says nothing new and another one", first: renew,
      second: renew),
    Meeting(
      testDescription: "a renewal that says nothing new and a release", first: renew,
      second: set(nil, 1, 2)),
    Meeting(
      testDescription: "a renewal and another grant", first: set("a", 1, 2),
      second: set("b", 2, 1)),
    Meeting(
      testDescription: "a release and a renewal", first: set(nil, 1, 2), second: set("a", 1, 2)),
    Meeting(
      testDescription: "the end of a row and a grant", before: [insert("a"), set(nil, 1, 2)],
      first: delete, second: set("b", 2, 3)),
    Meeting(
      testDescription: "a grant and the end of its row", before: [insert("a"), set(nil, 1, 2)],
      first: set("b", 2, 3), second: delete),
    Meeting(
      testDescription: "the first grant twice", before: [], first: insert("a"),
      second: insert("b")),
    Meeting(testDescription: "a refill and a renewal", first: refill, second: set("b", 1, 2)),
    Meeting(
      testDescription: "a refill of what is free and a grant",
      before: [insert("a"), set(nil, 1, 2)], first: refill, second: set("b", 2, 3)),
    Meeting(
      testDescription: "the floor twice", first: set(.tokenFloor, from: 0, to: 5),
      second: set(.tokenFloor, from: 0, to: 7)),
    Meeting(
      testDescription: "what is missing said twice", first: set(.setbacks, from: 1, to: 3),
      second: set(.setbacks, from: 1, to: 7)),
    Meeting(
      testDescription: "a renewal and the end of its shape", first: set("a", 1, 2),
      second: giveUp, isOfAll: true),
    Meeting(
      testDescription: "a first grant and the end of its shape", before: [], first: insert("a"),
      second: giveUp, isOfAll: true),
    Meeting(
      testDescription: "a renewal, and what is said of the past", first: set("a", 1, 2),
      second: set(.setbacks, from: 1, to: 3), isOfAll: true),
    Meeting(
      testDescription: "a first grant and a new epoch", before: [], first: insert("a"),
      second: set(.epoch, from: 0, to: 1), isOfAll: true),
  ]

  @Test(arguments: optimistic, meetings)
  func whatWasDecidedOnSomethingElseIsNotDone(
    _ engine: EngineUnderTest, _ meeting: Meeting
  ) throws {
    let database = try engine.newDatabase()
    let (first, second) = (try Server(database), try Server(database))
    for change in meeting.before { #expect(try second.write(change) != .conflict) }
    var after = ""
    let applied = try first.write(meeting.first) {
      let done = try second.write(meeting.second)
      #expect(done != .conflict)
      after = try state(database)
    }
    #expect(applied == .conflict)
    // All is as the second one left it.
    #expect(try state(database) == after)
  }

  /// The same of what is decided on what the transaction before has left.
  @Test(arguments: optimistic, meetings)
  func whatWasDecidedWithoutAQuestionIsComparedAsWell(
    _ engine: EngineUnderTest, _ meeting: Meeting
  ) throws {
    let database = try engine.newDatabase()
    let (first, second) = (try Server(database), try Server(database))
    let other = Self.insert("b", key: "other")
    for change in meeting.before + [other] { #expect(try first.write(change) != .conflict) }
    let facts = try second.writer.read(Wanted(keys: [Self.key]))
    second.writer.forget()
    #expect(first.writer.goOn())
    #expect(try second.write(meeting.second) != .conflict)
    var changes = Changes(maintaining: facts.meta.oldestShape)
    meeting.first(facts, &changes)
    let after = try state(database)
    #expect(try first.writer.apply(changes) == .conflict)
    #expect(try state(database) == after && !first.writer.goOn())
  }

  /// What may not be done beside what others have decided is not, though they keep their rows from everybody.
  @Test(arguments: optimistic, meetings.filter { $0.isOfAll })
  func nobodyIsKeptFromWhatIsForAll(_ engine: EngineUnderTest, _ meeting: Meeting) throws {
    let database = try engine.newDatabase()
    let (first, second) = (try Server(database), try Server(database))
    for change in meeting.before { #expect(try second.write(change) != .conflict) }
    let applied = try first.write(meeting.first, isExclusive: true) {
      let done = try second.write(meeting.second)
      #expect(done != .conflict)
    }
    #expect(applied == .conflict)
  }

  /// Who has lost before does not lose again where the engine can keep rows from others: those wait.
  @Test(arguments: optimistic.filter { $0.description.hasPrefix("PostgreSQL") })
  func whoKeepsRowsFromOthersDoesNotLose(_ engine: EngineUnderTest) async throws {
    let database = try engine.newDatabase()
    let (first, second) = (try Server(database), try Server(database))
    try first.write(Self.insert("a"))
    // It has read what there was before the other one has changed it.
    let facts = try second.writer.read(Wanted(keys: [Self.key]))
    var changes = Changes(maintaining: facts.meta.oldestShape)
    Self.set("b", 1, 2)(facts, &changes)
    nonisolated(unsafe) let other = second.writer
    let decided = changes
    var waiting: ThreadWork<Result<Applied, StoreError>>?
    let applied = try first.write(Self.set("a", 1, 2), isExclusive: true) {
      waiting = ThreadWork { Result { () throws(StoreError) in try other.apply(decided) } }
    }
    #expect(applied != .conflict)
    #expect(try await waiting?.value.get() == .conflict)
    #expect(try database.row(forKey: Self.key)?.owner == "a")
    // What is given up keeps nobody.
    var wanted = Wanted(keys: [Self.key])
    wanted.isExclusive = true
    _ = try first.writer.read(wanted)
    first.writer.forget()
    #expect(try second.write(Self.set("b", 1, 3)) != .conflict)
  }

  private func state(_ database: any TestDatabase) throws -> String {
    "\(try database.row(forKey: Self.key).map { "\($0)" } ?? "no row"), \(try database.meta)"
  }

  @Test(arguments: optimistic)
  func whatNobodyElseHasTouchedIsDone(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    let (first, second) = (try Server(database), try Server(database))
    let other = Self.insert("b", key: "other")
    let applied = try first.write(Self.insert("a")) {
      let done = try second.write(other)
      #expect(done != .conflict)
    }
    #expect(applied != .conflict)
    #expect(try first.write(Self.set("a", 1, 2)) != .conflict)
    #expect(try first.write(Self.set(nil, 1, 3)) != .conflict)
    #expect(try first.write(Self.delete) != .conflict)
    #expect(try database.row(forKey: Self.key) == nil)
    #expect(try database.row(forKey: "other")?.owner == "b")
  }

  /// A server that has opened another connection does nothing on the one before.
  @Test(arguments: optimistic)
  func whatIsLeftOfTheRunBeforeIsNotDone(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    let server = try Server(database)
    let applied = try server.write(Self.insert("a")) { _ = try server.engine.openWriter() }
    #expect(applied == .conflict)
    #expect(try database.row(forKey: Self.key) == nil)
  }

  /// A run that is replaced takes with it what it has said of its changes.
  @Test(arguments: optimistic)
  func whatARunHasDoneBeforeItWasReplacedIsNotMissed(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    let (first, second) = (try Server(database), try Server(database))
    try first.write(Self.insert("other", key: "other"))
    let reader = try second.engine.openReader()
    let mark = try reader.changesByOthers(since: nil).mark
    try first.write(Self.insert("a"))
    _ = try first.engine.openWriter()
    let rows = try reader.changesByOthers(since: mark).rows
    // Who is told of none looks at everything.
    #expect(rows?.contains { $0.key == Self.key } ?? true)
    if let network = database as? any NetworkDatabase {
      func count() throws -> Int64 {
        try network.ask("SELECT count(*) FROM \(ServerRuns.changesTable)").first!.integer(0)
      }
      #expect(try count() == 0)
    }
  }

  /// A row that was freed and collected before others have heard of either.
  @Test(arguments: optimistic)
  func whatIsGoneIsTold(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    let (first, second) = (try Server(database), try Server(database))
    try first.write(Self.insert("a"))
    try first.write(Self.insert("b", key: "other"))
    let id = try database.row(forKey: Self.key)!.id
    let reader = try second.engine.openReader()
    let mark = try reader.changesByOthers(since: nil).mark
    try first.write(Self.set(nil, 1, 2))
    try first.write(Self.delete)
    let news = try reader.changesByOthers(since: mark)
    #expect(news.rows == [] && news.gone == [id])
  }

  /// What a server's other connection commits says nothing of a run that others may have taken away.
  @Test func eachRunIsSilentByItself() {
    let time = ManualClock()
    let account = DatabaseAccount(
      clock: time.reading, timeWithSuspensions: { time.now.nanoseconds })
    account.noteCommit(for: .upkeep)
    account.noteCommit(for: .commands)
    time.advance(nanoseconds: 299_000_000_000)
    account.noteCommit(for: .commands)
    #expect(!account.mayHaveBeenTakenAway(.upkeep))
    time.advance(nanoseconds: 2_000_000_000)
    #expect(account.mayHaveBeenTakenAway(.upkeep) && !account.mayHaveBeenTakenAway(.commands))
  }

  @Test func onlyARunThatIsSilentForLongIsDeadAndNotAllAtOnce() {
    let time = ManualClock()
    var watch = RunWatch()
    func see(_ commits: Int64) {
      watch.saw([1: (changes: 9, commits: commits), 2: (7, 4), 3: (8, 4)], at: time.now)
    }
    see(1)
    time.advance(nanoseconds: 599_000_000_000)
    see(2)
    #expect(watch.takeDead(max: 9).isEmpty)
    time.advance(nanoseconds: 2_000_000_000)
    see(2)
    let (first, second) = (watch.takeDead(max: 1), watch.takeDead(max: 9))
    #expect(first.count == 1 && second.count == 1)
    #expect(Set((first + second).map(\.run)) == [2, 3])
    #expect(Set((first + second).map(\.changes)) == [7, 8])
  }

  // MARK: - Coming in

  /// What its run says, and whether the database has less of it than the server has committed.
  private func past(_ writer: any StoreWriter) throws -> (settled: Int64, isBehind: Bool) {
    let facts = try writer.read(Wanted())
    writer.forget()
    return (facts.settled, facts.isBehind)
  }

  @Test(arguments: optimistic)
  func whoHasLostItsConnectionHasStillToLookWhatIsMissing(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    let server = try Server(database)
    let upkeep = try server.engine.openWriter(for: .upkeep)
    #expect(try past(server.writer) == (1, false))
    #expect(try past(upkeep) == (RunState.exempt, false))
    try server.write(Self.insert("a"))
    #expect(try past(server.engine.openWriter()) == (RunState.never, false))
    #expect(try past(server.engine.openWriter(for: .upkeep)) == (RunState.exempt, false))
    var wanted = Wanted()
    wanted.wantsRuns = true
    let runs = try server.engine.openReader().read(wanted).runs
    #expect(Set(runs.map(\.settled)) == [RunState.never, RunState.exempt])
  }

  /// As on a standby that lacks what it has committed last.
  @Test(arguments: optimistic)
  func whoseRunIsGoneHasLostSomething(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    guard let network = database as? any NetworkDatabase else { return }
    let server = try Server(database)
    try server.write(Self.insert("a"))
    try network.run("DELETE FROM \(ServerRuns.table)")
    #expect(throws: StoreError.self) { try server.writer.read(Wanted()) }
    let back = try server.engine.openWriter()
    #expect(try past(back) == (RunState.never, true))
    back.acceptPast()
    var changes = Changes(maintaining: try back.read(Wanted()).meta.oldestShape)
    changes.settled = 7
    #expect(try back.apply(changes) != .conflict)
    #expect(try past(back) == (7, false))
  }

  @Test(arguments: optimistic)
  func whoHasFewerCommitsThanItHasMadeHasLostSomething(_ engine: EngineUnderTest) throws {
    let database = try engine.newDatabase()
    guard let network = database as? any NetworkDatabase else { return }
    let server = try Server(database)
    try server.write(Self.insert("a"))
    try network.run("UPDATE \(ServerRuns.table) SET commits = 0")
    let news = try server.engine.openReader().changesByOthers(since: nil)
    #expect(news.isPastInDoubt && news.setbacks == 1)
    #expect(try past(server.writer) == (1, true))
    server.writer.acceptPast()
    #expect(try past(server.writer) == (1, false))
  }
}
