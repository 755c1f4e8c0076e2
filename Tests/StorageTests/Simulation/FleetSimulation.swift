import LockContent
import LockCore
import TestKit

@testable import Storage

/// A fleet of servers of four shapes on one database, in virtual time, as a seed has it: servers start,
/// are killed, suspended, upgraded and rolled back; transactions fail; migrations are broken off after
/// any statement; shapes are given up. A model knows what every client was told, and every server's view
/// is held to it.
///
/// One thread: whatever is random comes from the seed, so a schedule that fails fails again.
struct FleetSimulation {
  /// A server, as its process: what it knows is gone with it.
  private struct Server {
    let newest: Int64
    let bench: TurnBench
    /// It does nothing until then, and others take it for gone.
    var suspendedUntil: MonotonicTime?
  }

  /// What clients know of a key.
  private struct Known {
    var owner: String?
    /// The token of the latest grant.
    var token: Int64 = 0
    /// As the holder said it last, in the words of whoever took it.
    var holder: Holder?
    /// Until then nobody else may have it, since the holder counts on it.
    var end = MonotonicTime(nanoseconds: 0)
  }

  private static let keys = (1...4).map { "key-\($0)" }
  private static let slots = 5
  private static let shapes: [any StoreShape.Type] = [S1.self, S2.self, S3.self, S4.self]

  private let seed: UInt64
  private let database: MemoryDatabase
  private let clock = ManualClock()
  private var random: SeededGenerator
  private var servers: [Server?]
  private var known = Dictionary(uniqueKeysWithValues: keys.map { ($0, Known()) })
  private var owners = 0
  /// What was not as promised, in words.
  private(set) var broken: [String] = []
  /// Whoever was fenced off, so that a test can see that it happened.
  private(set) var fenced = 0
  private(set) var grants = 0
  private(set) var migrationsBrokenOff = 0
  private(set) var shapesGivenUp = 0
  private(set) var olderRenewals = 0
  /// How often servers that know no identities renewed what belongs to one.
  private(set) var keptIdentities = 0
  /// How many holders were looked at that have terms.
  private(set) var found = 0
  /// How often something came between what a transaction read and what it wrote, and how often it was
  /// decided anew for that.
  private(set) var interludes = 0
  private(set) var conflicts = 0

  init(seed: UInt64, _ concurrency: MemoryDatabase.Concurrency) {
    self.seed = seed
    database = MemoryDatabase(concurrency)
    random = SeededGenerator(seed: seed)
    servers = Array(repeating: nil, count: Self.slots)
  }

  mutating func run(steps: Int) throws {
    for _ in 0..<steps {
      try step()
      pass(milliseconds: Int64.random(in: 1...400, using: &random))
    }
    // At the end everybody can be asked once more, and a server of every shape that is left.
    clock.advance(seconds: 10)
    for index in servers.indices { servers[index] = nil }
    for newest in oldestShape...4 { servers[Int(newest)] = try start(newest) }
    try lookAtAll()
  }

  // MARK: - Steps

  private mutating func step() throws {
    let slot = Int.random(in: servers.indices, using: &random)
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<8: try replace(slot)
    case 8..<11: servers[slot] = nil
    case 11..<15:
      servers[slot]?.suspendedUntil =
        clock.now + Int64.random(in: 1...6_000, using: &random) * 1_000_000
    case 15..<17: try giveUpShapes()
    case 17..<21:
      servers[slot]?.bench.faults.fail(
        [.facts, .apply, .upkeepFacts, .upkeepApply].randomElement(using: &random)!,
        Fault.allCases.randomElement(using: &random)!,
        skip: Int.random(in: 0...3, using: &random))
    case 21..<30: try lookAtAll()
    default: try act(slot)
    }
  }

  /// Another release in the place of the one that is there: newer or older, as long as the store has it.
  private mutating func replace(_ slot: Int) throws {
    servers[slot] = nil
    let newest = Int64.random(in: 1...4, using: &random)
    let plan = FaultPlan()
    if Int.random(in: 0..<4, using: &random) == 0 {
      plan.fail(.migrate, skip: Int.random(in: 0..<12, using: &random))
    }
    do {
      servers[slot] = try start(newest, plan)
      check(newest >= oldestShape, "a server was let in that is too old")
    } catch let error as StoreError {
      if error.code == .tooOldServer {
        check(newest < oldestShape, "\(error)")
        fenced += 1
      } else {
        check(error == Fault.error, "\(error)")
        migrationsBrokenOff += 1
      }
    }
  }

  private func start(_ newest: Int64, _ plan: FaultPlan? = nil) throws -> Server {
    var limits = StoreLimits()
    limits.backfillRowsMax = 2
    limits.stallNanoseconds = .max
    limits.stallGraceNanoseconds = 0
    limits.reopenNanoseconds = 0
    limits.backfillLookNanoseconds = 500_000_000
    limits.epochNanoseconds = 2_000_000_000
    let engine = MemoryEngine(database, .upTo(newest), faults: plan)
    return Server(
      newest: newest,
      bench: try TurnBench(engine: engine, database: database, clock: clock, limits: limits))
  }

  private func isAwake(_ server: Server) -> Bool {
    server.suspendedUntil.map { $0 <= clock.now } ?? true
  }

  /// Time passes, and whoever is awake does its work.
  private mutating func pass(milliseconds: Int64) {
    clock.advance(nanoseconds: milliseconds * 1_000_000)
    for case let server? in servers where isAwake(server) { server.bench.turn() }
    // What was seen by a scan is taken in by the next turn.
    for case let server? in servers where isAwake(server) { server.bench.turn() }
  }

  /// The fleet gives up what nobody needs who is seen. Who is suspended is not.
  private mutating func giveUpShapes() throws {
    let awake = servers.compactMap(\.self).filter(isAwake)
    guard let needed = awake.map(\.newest).min(), needed > oldestShape,
      let newest = awake.max(by: { $0.newest < $1.newest })
    else { return }
    let order = Upkeep.GivingUp(
      shape: needed, neededRelease: "s\(needed)", deadline: clock.now + 1_000_000_000)
    newest.bench.turn(items: [.giveUpShapes(order)])
    // Where the transaction failed, it is not done.
    if oldestShape == needed { shapesGivenUp += 1 }
  }

  private var oldestShape: Int64 { database.meta(S4.shapes).oldestShape }

  // MARK: - Clients

  private mutating func act(_ slot: Int) throws {
    guard let server = servers[slot], isAwake(server) else { return }
    let key = Self.keys.randomElement(using: &random)!
    let command = command(key, through: server.newest)
    let between = interlude(beside: slot, of: key)
    let sighting = stored(key)?.record.sighting
    let conflictsBefore = server.bench.observer.totals.conflicts
    let result = server.bench.turn(command)[0]
    let isDecidedAnew = server.bench.observer.totals.conflicts > conflictsBefore
    if isDecidedAnew { conflicts += 1 }
    database.beforeNextChange(nil)
    guard let between, let other = between.result.value else {
      return heard(
        result, of: command, key, through: slot, from: sighting, to: stored(key)?.record)
    }
    interludes += 1
    // It came before what was written or decided anew, and after what was only read.
    let isFirst = isDecidedAnew || stored(key)?.record.sighting != between.sighting.value
    func heardOfFirst() {
      heard(
        result, of: command, key, through: slot, from: between.sighting.value,
        to: stored(key)?.record)
    }
    if !isFirst { heardOfFirst() }
    if let asked = between.asked {
      heard(
        other, of: asked.command, asked.key, through: between.slot, from: asked.sighting,
        to: between.record.value)
    } else if oldestShape > between.oldestShape {
      shapesGivenUp += 1
    }
    if isFirst { heardOfFirst() }
  }

  /// What a client asks of the other server.
  private struct Asked {
    let command: Command
    let key: String
    /// Of its key, before it.
    let sighting: Sighting?
  }

  /// What another server does between what the next transaction reads and what it writes.
  private struct Interlude {
    let slot: Int
    /// Nil where it gives shapes up.
    let asked: Asked?
    let oldestShape: Int64
    let result = Note<StoreResult>()
    /// Of the key that the transaction is about, when it is over.
    let sighting = Note<Sighting>()
    /// Of the key that was asked for, when it is over.
    let record = Note<LockRecord>()
  }

  /// `@unchecked Sendable`: all is done on one thread.
  private final class Note<Value>: @unchecked Sendable { var value: Value? }

  /// Plans one, now and then, where servers do not wait for each other.
  private mutating func interlude(beside slot: Int, of key: String) -> Interlude? {
    guard database.concurrency == .optimistic, Int.random(in: 0..<3, using: &random) == 0 else {
      return nil
    }
    let others = servers.indices.filter { index in
      index != slot && servers[index].map(isAwake) ?? false
    }
    guard let other = others.randomElement(using: &random), let server = servers[other] else {
      return nil
    }
    let interlude: Interlude
    let items: [CommandWriter.Item]
    if Int.random(in: 0..<4, using: &random) == 0 {
      // Even where the one that is under way needs them: it may be suspended there for long.
      interlude = Interlude(slot: other, asked: nil, oldestShape: oldestShape)
      items = [
        .giveUpShapes(
          Upkeep.GivingUp(
            shape: server.newest, neededRelease: "s\(server.newest)",
            deadline: clock.now + 1_000_000_000))
      ]
    } else {
      let asked = Bool.random(using: &random) ? key : Self.keys.randomElement(using: &random)!
      interlude = Interlude(
        slot: other,
        asked: Asked(
          command: command(asked, through: server.newest), key: asked,
          sighting: stored(asked)?.record.sighting),
        oldestShape: oldestShape)
      items = []
    }
    let (database, bench) = (database, server.bench)
    database.beforeNextChange {
      if let asked = interlude.asked {
        interlude.result.value = bench.turn(asked.command)[0]
      } else {
        bench.turn(items: items)
        interlude.result.value = .released
      }
      interlude.sighting.value = database.stored(key, S4.shapes)?.record.sighting
      interlude.record.value = interlude.asked.flatMap {
        database.stored($0.key, S4.shapes)?.record
      }
    }
    return interlude
  }

  /// Takes note of what a client was told.
  ///
  /// - Parameters:
  ///   - sighting: What the key was right before it was done, if it was.
  ///   - record: What it was right after.
  private mutating func heard(
    _ result: StoreResult, of command: Command, _ key: String, through slot: Int,
    from sighting: Sighting?, to record: LockRecord?
  ) {
    guard let server = servers[slot] else { return }
    let before = known[key]!
    switch result {
    case .failure(let error) where error.code == .tooOldServer:
      check(server.newest < oldestShape, "\(error)")
      fenced += 1
      servers[slot] = nil
    case .failure(let error):
      // Whoever has lost its connection looks through what it holds, and may meet others in that.
      check(
        error == Fault.error || error == Setback.error || error == Setback.arrivalError, "\(error)")
      // It was done or not: the database says which.
      if let record, record.sighting != sighting, isDone(command, in: record) {
        done(command, key, by: server.newest, token: record.token)
      }
    case .success(.claimed(let token, _, let isNew)):
      check(server.newest >= oldestShape, "stale-fenced")
      if isNew {
        check(token > before.token, "fence: \(token) after \(before.token)")
        check(
          before.owner == nil || before.end <= clock.now,
          "mutex: \(key) was granted while \(before.owner ?? "") holds it")
      } else {
        check(token == before.token, "a renewal has another token")
      }
      done(command, key, by: server.newest, token: token)
    case .success(.renewed), .success(.released):
      done(command, key, by: server.newest, token: before.token)
    case .success(.refused(.notTheHolder, _)):
      // Somebody else may have come between.
      guard isHolder(before, asking: command) else { break }
      // It may have ended; it may not have ended before its time.
      check(before.end <= clock.now, "\(key) was lost too early")
      known[key]!.owner = nil
    case .success(.refused(.heldByAnother, _)): break
    case .success(let outcome): check(false, "\(outcome)")
    }
  }

  /// Whether a command is of whoever holds its key.
  private func isHolder(_ known: Known, asking command: Command) -> Bool {
    guard let owner = known.owner else { return false }
    return switch command {
    case .release(_, let name): name.owner == owner
    case .renew(let renewal): renewal.token == known.token
    default: false
    }
  }

  /// A command as clients of a server with this newest shape can ask for it.
  private mutating func command(_ key: String, through newest: Int64) -> Command {
    let known = known[key]!
    let unit: Int64 = [1_000_000_000, 1_000_000, 1_000_000, 1][Int(newest) - 1]
    let lease = Lease(
      nanoseconds: Int64.random(in: 1...(4_000_000_000 / unit), using: &random) * unit)!
    owners += 1
    let text = ["", "text \(owners)", #"{"n": \#(owners)}"#, #"{"n":\#(owners)}"#]
      .randomElement(using: &random)!
    var labels: [String: String] = [:]
    var time: StatedTime?
    if newest >= 2, Bool.random(using: &random) { labels["l\(owners % 3)"] = "\(owners)" }
    if newest >= 2, Bool.random(using: &random) {
      let nanoseconds = newest >= 4 ? Int32.random(in: 0..<1_000_000_000, using: &random) : 0
      time = StatedTime(seconds: Int64(owners), nanoseconds: nanoseconds)
    }
    switch Int.random(in: 0..<10, using: &random) {
    case 0..<2:
      return .release(key: key, GrantName(token: nil, owner: known.owner ?? "nobody"))
    case 2..<5 where known.owner != nil:
      // Not every renewal says something; what it does not say stays.
      let content = Bool.random(using: &random) ? Content(text: text) : nil
      return .renew(
        Renewal(
          key: key, token: known.token, lease: Bool.random(using: &random) ? lease : nil,
          content: content, labels: labels, grantedAt: time))
    default:
      let isOwn = known.owner != nil && Bool.random(using: &random)
      var claim = Claim(
        kind: .lock, owner: isOwn ? known.owner! : "owner-\(owners)", lease: lease,
        content: newest == 1 || Bool.random(using: &random) ? Content(text: text) : nil,
        labels: labels, grantedAt: time)
      if newest >= 3 { claim.caller.identity = "client-\(Int.random(in: 0..<3, using: &random))" }
      return .claim(key: key, claim)
    }
  }

  /// Notes what a client was told to be done by a server with this newest shape.
  private mutating func done(_ command: Command, _ key: String, by newest: Int64, token: Int64) {
    var next = known[key]!
    let isRenewal = next.token == token && next.owner != nil
    let shape = Self.shapes[Int(newest) - 1]
    switch command {
    case .claim(_, let claim):
      let current = isRenewal ? next.holder : nil
      next.holder = claim.holder(renewing: current)
      next.owner = claim.owner
    case .renew(let renewal):
      var holder = next.holder!
      // A lease that stays is that which the server saw.
      holder.lease = renewal.lease ?? shape.express(holder).lease
      holder.content = renewal.content ?? holder.content
      holder.labels.change(renewal.labels)
      holder.grantedAt = renewal.grantedAt ?? holder.grantedAt
      next.holder = holder
    default:
      next.owner = nil
      next.holder = nil
    }
    if isRenewal, newest < 4, !(next.holder?.labels.isEmpty ?? true) { olderRenewals += 1 }
    if isRenewal, newest < 3, next.holder?.identity.isEmpty == false { keptIdentities += 1 }
    if !isRenewal, next.owner != nil { grants += 1 }
    next.token = token
    if let lease = next.holder?.lease { next.end = clock.now + lease.nanoseconds }
    known[key] = next
  }

  /// Whether a record that has just changed did so by `command`, and not by the end of its lease.
  private func isDone(_ command: Command, in record: LockRecord) -> Bool {
    switch command {
    case .claim(_, let claim): record.holder?.owner == claim.owner
    case .renew: record.holder != nil
    default: record.holder == nil
    }
  }

  // MARK: - What has to be true

  private func stored(_ key: String) -> StoredRow? {
    database.stored(key, S4.shapes)
  }

  /// Every server that is awake and not too old sees of each key what its clients were told.
  private mutating func lookAtAll() throws {
    for index in servers.indices {
      guard let server = servers[index], isAwake(server) else { continue }
      guard server.newest >= oldestShape else { continue }
      for key in Self.keys { try look(at: key, through: server) }
    }
  }

  private mutating func look(at key: String, through server: Server) throws {
    let known = known[key]!
    let row = database.stored(key, .upTo(server.newest))
    func hold(_ isTrue: Bool, _ what: String) {
      check(isTrue, "\(key) through s\(server.newest): \(what)")
    }
    hold(row?.damage == nil, row?.damage ?? "")
    hold(row == nil || row?.record.token == known.token, "another token")
    guard let holder = row?.record.holder else {
      hold(known.owner == nil || known.end <= clock.now, "its lease ended too early")
      self.known[key]!.owner = nil
      return
    }
    guard let expected = known.holder else { return hold(false, "held, but it was released") }
    var view = expected
    for shape in Self.shapes.reversed() where shape.number >= server.newest {
      view = shape.express(view)
    }
    if server.newest >= S2.number {
      let terms = Terms.of(holder)
      // Where older servers may have written, a list does without.
      if row?.isFilled ?? false || database.meta(.upTo(2)).filledShape >= S2.number {
        let present = database.terms(ofKey: key)
        hold(terms.allSatisfy(present.contains), "\(terms), but found by \(present)")
        if !terms.isEmpty { found += 1 }
      }
    }
    hold(holder.owner == view.owner, "another owner")
    hold(holder.content == view.content, "\(holder.content.text) for \(view.content.text)")
    hold(holder.content.attributes == view.content.attributes, "other attributes")
    hold(holder.labels == view.labels, "labels \(holder.labels) for \(view.labels)")
    hold(holder.grantedAt == view.grantedAt, "another time")
    hold(holder.identity == view.identity, "\(holder.identity) for \(view.identity)")
    hold(holder.lease == view.lease, "\(holder.lease) for \(view.lease)")
  }

  private mutating func check(_ isTrue: Bool, _ what: @autoclosure () -> String) {
    if !isTrue { broken.append("seed \(seed): \(what())") }
  }
}
