import LockCore
import TestKit
import Testing

@testable import Storage

/// Random commands, faults and time against ``FaultModel``: what is in the database after each turn
/// is what was acknowledged and, where the answer was an error, all of it or nothing.
@Suite(.timeLimit(.minutes(1))) struct FaultPropertyTests {
  @Test(arguments: 1...12 as ClosedRange<UInt64>)
  func theModelHoldsInMemory(seed: UInt64) throws {
    try FaultRun(MemoryDatabase(), seed: seed).run(steps: 400)
  }

  @Test(arguments: 101...104 as ClosedRange<UInt64>)
  func theModelHoldsOnSQLite(seed: UInt64) throws {
    let database = try SQLiteDatabase()
    try FaultRun(database, seed: seed).run(steps: 150)
    #expect(try database.integrity() == "ok")
  }
}

/// One run: two servers on one database, of which either may fail at any step.
private final class FaultRun {
  private let keys = ["w", "x", "y", "z"]
  private let owners = ["a", "b", "c"]
  private let database: any TestDatabase
  private let clock: ManualClock
  private let seed: UInt64
  private let servers: [TurnBench]
  private var random: SeededGenerator
  private var step = 0
  /// The highest token that each key was ever seen with.
  private var tokens: [String: Int64] = [:]
  /// When each state of a key was first in the database.
  private var seen: [String: (state: FaultModel.Key, at: MonotonicTime)] = [:]

  init(_ database: any TestDatabase, seed: UInt64) throws {
    self.database = database
    self.seed = seed
    random = SeededGenerator(seed: seed)
    var limits = StoreLimits()
    limits.epochNanoseconds = 4_000_000_000
    limits.collectRowsMax = 2
    limits.pageMax = 2
    let clock = ManualClock()
    self.clock = clock
    servers = try [0, 1].map { _ in try TurnBench(database, clock: clock, limits: limits) }
    for (number, server) in servers.enumerated() {
      server.faults.failAtRandom(seed: seed &+ UInt64(number) &* 1_000, percent: 3)
    }
  }

  private var place: Comment { "seed \(seed), step \(step)" }

  func run(steps: Int) throws {
    for _ in 0..<steps {
      step += 1
      clock.advance(
        nanoseconds: [0, 100, 250, 250, 600].randomElement(using: &random)! * 1_000_000)
      // A jump that is a stall for both.
      if Int.random(in: 0..<50, using: &random) == 0 { clock.advance(seconds: 5) }
      try turn(of: servers.randomElement(using: &random)!)
    }
    // Once all is well, the store is as good as new and every lease ends.
    for server in servers { server.faults.clear() }
    for _ in 0..<200 {
      clock.advance(nanoseconds: 250_000_000)
      for server in servers { server.turn() }
    }
    for key in keys { #expect(try database.row(forKey: key)?.owner == nil, place) }
    for server in servers {
      #expect(server.health == .working, place)
      #expect(server.observer.totals.locks == 0, place)
      #expect(server.faults.injected > 0, place)
    }
  }

  private func turn(of server: TurnBench) throws {
    let before = try current()
    let commands = (0..<Int.random(in: 0...4, using: &random)).map { _ in command() }
    var after = before
    let expected = commands.map { after.apply($0) }
    let results = server.turn(commands)
    let found = try current()

    // A command is done with all the others of its transaction, or not at all.
    let isFailed = results.contains(.failed)
    if isFailed {
      #expect(results.allSatisfy { $0 == .failed }, place)
    } else {
      #expect(results == expected, place)
    }
    let wentThrough = follows(found, on: after, touched: before)
    let wasLeft = isFailed && follows(found, on: before, touched: before)
    #expect(
      wentThrough || wasLeft,
      "\(place.rawValue): \(before.keys) became \(found.keys), not \(after.keys)")
    note(found)
  }

  private func command() -> Command {
    let (key, owner) = (
      keys.randomElement(using: &random)!, owners.randomElement(using: &random)!
    )
    guard Int.random(in: 0..<3, using: &random) > 0 else {
      return .release(key: key, owner: owner)
    }
    return .hold(key, owner, lease: Int64.random(in: 1...6, using: &random))
  }

  private func current() throws -> FaultModel {
    var model = FaultModel()
    for key in keys {
      if let row = try database.row(forKey: key) { model.keys[key] = .init(row) }
    }
    model.floor = try database.meta.tokenFloor
    return model
  }

  /// Whether `found` is `model`, except for leases that are over and rows that are long free.
  private func follows(
    _ found: FaultModel, on model: FaultModel, touched before: FaultModel
  ) -> Bool {
    keys.allSatisfy { key in
      let (is_, was) = (found.keys[key], model.keys[key])
      if is_ == was { return true }
      guard let was else { return false }
      // Collected: free, and its token lives on in the floor.
      guard let is_ else { return was.owner == nil && found.floor >= was.token }
      // Ended: only what nobody has just written, and only after its whole length.
      guard was == before.keys[key], was.owner != nil, let since = seen[key], since.state == was
      else { return false }
      var ended = was
      ended.owner = nil
      ended.revision += 1
      return is_ == ended && clock.now - since.at >= was.leaseSeconds * 1_000_000_000
    }
  }

  private func note(_ found: FaultModel) {
    for key in keys {
      guard let state = found.keys[key] else { continue }
      let latest = tokens[key] ?? 0
      #expect(state.token >= latest, "\(place.rawValue): the token of \(key) fell")
      let isNewGrant = seen[key].map { $0.state.owner == nil } ?? true && state.owner != nil
      if isNewGrant { #expect(state.token > latest, "\(place.rawValue): \(key)") }
      tokens[key] = state.token
      if seen[key]?.state != state { seen[key] = (state, clock.now) }
    }
  }
}
