import LockCore
import Synchronization
import TestKit
import Testing

@testable import Storage

/// One transaction for everything that waits, as if each had come alone.
@Suite struct GroupCommitTests {
  @Test(arguments: engines)
  func manyKeysAreOneTransactionAndAnswersKeepTheirOrder(_ engine: EngineUnderTest) throws {
    let bench = try TurnBench(engine.newDatabase())
    bench.turn(.hold("key-500", "other"))
    let before = bench.observer.totals.transactions
    let results = bench.turn((1...1_000).map { .hold("key-\($0)", "a", value: "\($0)") })
    #expect(bench.observer.totals.transactions == before + 1)
    #expect(results.count == 1_000)
    for (index, result) in results.enumerated() {
      #expect(result == (index == 499 ? .heldByAnother : .granted(token: 1, revision: 1)))
    }
    #expect(try bench.database.row(forKey: "key-1000")?.value == "1000")
  }

  struct Script: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var steps: [(command: Command, result: StoreResult)]
  }

  static let scripts = [
    Script(
      testDescription: "one key goes from hand to hand",
      steps: [
        (.hold("key", "a"), .granted(token: 1, revision: 1)),
        (.hold("key", "b"), .heldByAnother),
        (.hold("key", "a", value: "v"), .renewed(token: 1, revision: 2)),
        (.release(key: "key", owner: "b"), .notTheHolder),
        (.release(key: "key", owner: "a"), .released),
        (.release(key: "key", owner: "a"), .released),
        (.hold("key", "b"), .granted(token: 2, revision: 4)),
        (.release(key: "key", owner: "a"), .notTheHolder),
      ]),
    Script(
      testDescription: "keys between each other",
      steps: [
        (.release(key: "none", owner: "a"), .released),
        (.hold("x", "a"), .granted(token: 1, revision: 1)),
        (.hold("y", "b"), .granted(token: 1, revision: 1)),
        (.hold("y", "a"), .heldByAnother),
        (.release(key: "x", owner: "a"), .released),
        (.hold("none", "b"), .granted(token: 1, revision: 1)),
        (.hold("x", "b"), .granted(token: 2, revision: 3)),
      ]),
    Script(
      testDescription: "a key that is free again at once",
      steps: [
        (.hold("key", "a"), .granted(token: 1, revision: 1)),
        (.release(key: "key", owner: "a"), .released),
      ]),
    Script(
      testDescription: "keys that only look the same",
      steps: [
        (.hold("caf\u{E9}", "a"), .granted(token: 1, revision: 1)),
        (.hold("cafe\u{301}", "b"), .granted(token: 1, revision: 1)),
        (.release(key: "caf\u{E9}", owner: "a"), .released),
        (.hold("cafe\u{301}", "a"), .heldByAnother),
      ]),
  ]

  @Test func renewalsOfManyGrantsCountByTheirKeys() throws {
    var limits = StoreLimits()
    limits.batchMax = 3
    let bench = try TurnBench(limits: limits)
    for key in ["a", "b", "c", "d"] { bench.turn(.hold(key, "me")) }
    let before = bench.observer.totals.transactions
    let renewals = ["a", "b", "c", "d"].map { Renewal(key: $0, token: 1) }
    let results = bench.turn([
      .renewMany(renewals), .renewMany(Array(renewals.prefix(2))), .renew(renewals[0]),
      .renewMany([Renewal(key: "a", token: 2), Renewal(key: "none", token: 1)]),
    ])
    #expect(bench.observer.totals.transactions == before + 3)
    let first = try #require(try Self.parts(results[0].get()))
    let last = try #require(try Self.parts(results[3].get()))
    #expect(try first.map { try Self.revision($0.get()) } == [2, 2, 2, 2])
    #expect(try Self.revision(results[2].get()) == 4)
    #expect(last == [.notTheHolder, .notTheHolder])
  }

  /// What is large takes several transactions, or a slow line would never have done with it.
  @Test func commandsCountByTheirBytes() throws {
    var limits = StoreLimits()
    limits.batchBytesMax = 1_000
    let bench = try TurnBench(limits: limits)
    let value = String(repeating: "v", count: 400)
    let results = bench.turn((1...5).map { .hold("key \($0)", "me", value: value) })
    #expect(results == Array(repeating: .granted(token: 1, revision: 1), count: 5))
    #expect(bench.observer.totals.transactions == 3)
    bench.turn(.hold("large", "me", value: String(repeating: "v", count: 4_000)))
    #expect(bench.observer.totals.transactions == 4)
  }

  /// Who was in a transaction that is done does not wait for the next one.
  @Test func eachTransactionIsAnsweredWhenItIsDone() throws {
    var limits = StoreLimits()
    limits.batchBytesMax = 1_000
    let database = MemoryDatabase(.optimistic)
    let bench = try TurnBench(database, limits: limits)
    bench.turn(.hold("key", "me"))
    let calls = [KeptCall(), KeptCall()]
    let wasAnswered = Atomic(false)
    database.beforeNextChange {
      database.beforeNextChange {
        wasAnswered.store(calls[0].result != nil, ordering: .relaxed)
      }
    }
    let value = String(repeating: "v", count: 800)
    bench.turn(
      items: calls.enumerated().map {
        .command(.hold("key \($0)", "me", value: value), deadline: nil, call: $1)
      })
    #expect(wasAnswered.load(ordering: .relaxed) && calls[1].result != nil)
  }

  private static func parts(_ outcome: Outcome) -> [StoreResult]? {
    if case .many(let results) = outcome { results } else { nil }
  }

  private static func revision(_ outcome: Outcome) -> Int64? {
    if case .renewed(let record) = outcome { record.revision } else { nil }
  }

  /// Whether in one transaction, or in one each: the results and what is left are the same.
  @Test(arguments: engines, scripts)
  func eachIsDecidedOnWhatTheOnesBeforeItLeft(_ engine: EngineUnderTest, _ script: Script) throws {
    let together = try TurnBench(engine.newDatabase())
    #expect(together.turn(script.steps.map(\.command)) == script.steps.map(\.result))
    let apart = try TurnBench(engine.newDatabase())
    for (command, result) in script.steps { #expect(apart.turn(command) == [result]) }
    var keys: [String] = []
    for step in script.steps { step.command.addKeys(to: &keys) }
    for name in Set(keys.map { NameBytes($0) }) {
      let key = keys.first { NameBytes($0) == name }!
      let rows = [try together.database.row(forKey: key), try apart.database.row(forKey: key)]
      #expect(rows[0]?.owner == rows[1]?.owner)
      #expect(rows[0]?.token == rows[1]?.token)
      #expect(rows[0]?.revision == rows[1]?.revision)
      #expect(rows[0]?.value == rows[1]?.value)
      #expect(rows[0]?.freeEpoch == rows[1]?.freeEpoch)
      #expect(rows[0]?.leaseSeconds == rows[1]?.leaseSeconds)
    }
  }

  @Test func aLateOneAndADamagedOneKeepNobodyElse() throws {
    let bench = try TurnBench()
    try bench.database.put(.held(id: 1, key: "bad", token: 0))
    let results = bench.turn(.hold("good", "a"), .hold("bad", "a"), .hold("fine", "a"))
    #expect(results[0] == .granted(token: 1, revision: 1))
    #expect(results[2] == .granted(token: 1, revision: 1))
    guard case .failure(let error) = results[1] else {
      Issue.record("a damaged row was granted")
      return
    }
    #expect(error.code == .damaged)
    #expect(bench.health == .working)
    let late = bench.turn([.hold("late", "a")], deadline: bench.clock.now)
    #expect(late == [.failure(.deadlinePassed)])
  }
}
