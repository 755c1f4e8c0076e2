import LockCore
import Exclusion
import TestKit
import Testing

@testable import Storage

/// Who comes to read when, of many that ask for lists.
@Suite(.timeLimit(.minutes(1))) struct ListTurnsTests {
  /// What stands for a connection.
  private final class Source: Sendable {}

  private let sources = [Source(), Source(), Source()]
  private func id(_ index: Int) -> ObjectIdentifier { ObjectIdentifier(sources[index]) }

  /// Takes everything, where each list needs as many pieces as `pieces` says; 1 where it does not.
  private func order(
    _ turns: ListTurns<String>, pieces: [String: Int] = [:]
  ) -> [String] {
    turns.close()
    var left = pieces
    var order: [String] = []
    while let (list, turn) = turns.take() {
      order.append(list)
      left[list, default: 1] -= 1
      if left[list]! > 0 { turns.putBack(list, turn) } else { turns.ended(turn) }
    }
    return order
  }

  @Test func eachConnectionHasItsTurn() {
    let turns = ListTurns<String>(capacity: 100, ofSource: 100)
    for number in 1...4 { #expect(turns.append("a\(number)", from: id(0)) == .admitted) }
    for number in 1...2 { #expect(turns.append("b\(number)", from: id(1)) == .admitted) }
    #expect(turns.append("c1", from: id(2)) == .admitted)
    #expect(order(turns) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"])
  }

  @Test func aShortListDoesNotWaitForALongOne() {
    let turns = ListTurns<String>(capacity: 100, ofSource: 100)
    _ = turns.append("long", from: id(0))
    _ = turns.append("own next", from: id(0))
    for number in 1...3 { _ = turns.append("b\(number)", from: id(1)) }
    #expect(
      order(turns, pieces: ["long": 6])
        == ["long", "long", "b1", "long", "b2", "long", "b3", "long", "long", "own next"])
  }

  /// Half-made answers take memory: one of them is brought to its end before the next.
  @Test func longListsAreReadOneAfterTheOther() {
    let turns = ListTurns<String>(capacity: 100, ofSource: 100)
    for index in 0..<3 { _ = turns.append("\(index)", from: id(index)) }
    #expect(
      order(turns, pieces: ["0": 3, "1": 3, "2": 3])
        == ["0", "0", "1", "0", "2", "1", "1", "2", "2"])
  }

  @Test func aConnectionMayHaveAPartOfTheRoom() {
    let turns = ListTurns<String>(capacity: 5, ofSource: 3)
    let admissions = (1...4).map { turns.append("a\($0)", from: id(0)) }
    #expect(admissions == [.admitted, .admitted, .admitted, .fullOfSource])
    #expect(turns.append("b1", from: id(1)) == .admitted)
    #expect(turns.append("b2", from: id(1)) == .admitted)
    #expect(turns.append("c1", from: id(2)) == .full)
    // What is being read has left its place.
    let (first, turn) = turns.take()!
    #expect(first == "a1" && turns.append("a4", from: id(0)) == .admitted)
    turns.ended(turn)
    #expect(order(turns) == ["b1", "a2", "b2", "a3", "a4"])
    #expect(turns.append("late", from: id(2)) == .closed)
  }

  /// There are half-made answers to them.
  @Test func listsThatAreBegunTakePlaces() {
    let turns = ListTurns<String>(capacity: 2, ofSource: 2)
    for index in 0...1 {
      #expect(turns.append("\(index)", from: id(index)) == .admitted)
      let (list, turn) = turns.take()!
      // The first one has its second turn before the other comes, and stays begun.
      turns.putBack(list, turn)
    }
    #expect(turns.append("2", from: id(2)) == .full)
    let (list, turn) = turns.take()!
    #expect(list == "1")
    turns.ended(turn)
    #expect(turns.append("2", from: id(2)) == .admitted)
    #expect(order(turns) == ["0", "2"])
  }

  // MARK: - In the store

  private final class NotedCall: StoreCall {
    let isWanted = true
    private let name: String
    private let done: Notes

    init(_ name: String, _ done: Notes) {
      self.name = name
      self.done = done
    }

    var replyTarget: any ReplyTarget { DirectTarget.shared }
    func complete(_ result: StoreResult) { done.add(name, result) }
  }

  private final class Notes: Sendable {
    private let state = Mutex<[(name: String, result: StoreResult)]>([])
    private let stream: AsyncStream<String>
    private let continuation: AsyncStream<String>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func add(_ name: String, _ result: StoreResult) {
      state.withLock { $0.append((name, result)) }
      continuation.yield(name)
    }

    var names: [String] { state.withLock { $0.map(\.name) } }
    var results: [StoreResult] { state.withLock { $0.map(\.result) } }

    func count(_ count: Int) async {
      var left = count
      for await _ in stream {
        left -= 1
        if left == 0 { return }
      }
    }
  }

  /// One client with all the lists that it may have, over every row, beside one that wants a single
  /// row.
  @Test(arguments: engines, [false, true])
  func aClientWithManyListsKeepsNobodyFromTheirs(
    _ engine: EngineUnderTest, isOfOneMoment: Bool
  ) async throws {
    var limits = StoreLimits.prompt
    limits.pageMax = 5
    limits.listTurnRowsMax = 10
    limits.listsOfConnectionMax = 50
    // Who is to come to the gate waits for its connection.
    limits.openingPatienceNanoseconds = 60_000_000_000
    // One scan at the start, and none that could come to the gate in the place of a list.
    limits.scanIntervalNanoseconds = 3_600_000_000_000
    let database = try engine.newDatabase()
    let node = try StoreNode(database, limits: limits)
    // The files are there for as long as the database is.
    defer { withExtendedLifetime(database) { node.close() } }
    try await node.performTogether((1...60).map { .hold("key-\($0)", "a", lease: 3_600) })
    #expect(try await node.list(.lock).count == 60)
    // Until all are asked, the reading thread stands still in the first one's snapshot.
    let gate = node.faults.hold(.read)
    let done = Notes()
    var all = Query.Range(kind: .lock)
    all.isOfOneMoment = isOfOneMoment
    var one = all
    one.prefix = "key-60"
    func ask(_ range: Query.Range, _ name: String, from source: Int) {
      node.store.ask(
        .list(range, into: RecordCollector()), from: id(source), call: NotedCall(name, done))
    }
    ask(all, "greedy", from: 0)
    await gate.arrival()
    for _ in 1...60 { ask(all, "greedy", from: 0) }
    ask(one, "modest", from: 1)
    gate.open()
    await done.count(62)
    // Refused at once: what is more than its part. Then the one that was under way, if it is of one
    // moment.
    let overloaded = done.results.filter {
      if case .failure(let error) = $0 { error.code == .overloaded } else { false }
    }
    #expect(overloaded.count == 10)
    let place = try #require(done.names.firstIndex(of: "modest"))
    #expect(place <= 10 + 1, "\(done.names)")
  }

  /// However many there are, and however long: who ends a server does not wait for them.
  @Test(arguments: [false, true])
  func listsThatWaitAreNotReadAtTheEnd(isOfOneMoment: Bool) async throws {
    let database = MemoryDatabase()
    let node = try StoreNode(database)
    try await node.performTogether((1...60).map { .hold("key-\($0)", "a", lease: 3_600) })
    var all = Query.Range(kind: .lock)
    all.isOfOneMoment = isOfOneMoment
    let gate = node.faults.hold(.read)
    let done = Notes()
    func ask(_ name: String, from source: Int = 0) {
      node.store.ask(
        .list(all, into: RecordCollector()), from: id(source), call: NotedCall(name, done))
    }
    ask("first")
    await gate.arrival()
    for _ in 1...20 { ask("waiting") }
    let closing = ThreadWork { node.close() }
    // From when on nothing gets in.
    while !done.results.contains(.failure(.shuttingDown)) {
      ask("late", from: 1)
      await Task.yield()
    }
    gate.open()
    try await closing.value
    let waiting = zip(done.names, done.results).filter { $0.0 == "waiting" }
    #expect(waiting.count == 20)
    for (_, result) in waiting { #expect(result == .failure(.shuttingDown)) }
  }
}
