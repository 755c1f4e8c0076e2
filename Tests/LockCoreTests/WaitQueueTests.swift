import LockCore
import Testing

/// Who waits for what, and who is next.
@Suite struct WaitQueueTests {
  private typealias Queue = WaitQueue<String>

  private static func entry(
    _ key: String, _ owner: String, requestID: String = "", end: Int64 = 100, byteCount: Int = 10,
    waiter: String? = nil
  ) -> Queue.Entry {
    Queue.Entry(
      key: key, owner: owner, requestID: requestID, end: MonotonicTime(nanoseconds: end),
      byteCount: byteCount, waiter: waiter ?? owner)
  }

  private static func queue(ofKeyMax: Int = 100, max: Int = 100, bytesMax: Int = 10_000) -> Queue {
    Queue(Queue.Bounds(ofKeyMax: ofKeyMax, max: max, bytesMax: bytesMax))
  }

  private static func waits(_ admission: Queue.Admission) -> Queue.ID? {
    if case .waits(let id) = admission { id } else { nil }
  }

  @Test func eachKeyHasALineInTheOrderOfArrival() {
    var queue = Self.queue()
    for (key, owner) in [("x", "a"), ("y", "b"), ("x", "c"), ("x", "d")] {
      #expect(Self.waits(queue.add(Self.entry(key, owner))) != nil)
    }
    #expect(queue.takeFirst(of: "x")?.entry.waiter == "a")
    #expect(queue.takeFirst(of: "x")?.entry.waiter == "c")
    #expect(queue.takeFirst(of: "y")?.entry.waiter == "b")
    #expect(queue.takeFirst(of: "y") == nil)
    #expect(queue.count == 1)
    #expect(queue.keys.map(\.key) == ["x"])
  }

  @Test func whoLeavesGivesItsIdentityItsPlaceBack() {
    var queue = Self.queue()
    let first = Self.waits(queue.add(Self.entry("x", "a"), identityMax: 2))
    #expect(Self.waits(queue.add(Self.entry("y", "b"), identityMax: 2)) != nil)
    #expect(Self.waits(queue.add(Self.entry("z", "c"), identityMax: 2)) == nil)
    if let first { queue.remove(first) }
    #expect(Self.waits(queue.add(Self.entry("z", "c"), identityMax: 2)) != nil)
  }

  @Test func whoWasTakenOutComesBackToTheSamePlace() {
    var queue = Self.queue()
    for owner in ["a", "b", "c"] { _ = queue.add(Self.entry("x", owner)) }
    let taken = (1...2).map { _ in queue.takeFirst(of: "x")! }
    queue.putBack(taken)
    #expect((1...3).map { _ in queue.takeFirst(of: "x")!.entry.waiter } == ["a", "b", "c"])
    #expect(queue.isEmpty)
    // The line was gone in between.
    queue.putBack(taken)
    #expect((1...2).map { _ in queue.takeFirst(of: "x")!.entry.waiter } == ["a", "b"])
  }

  /// Those of the holder leave from the middle of the line.
  @Test func whoWasTakenOutOfTheMiddleComesBackThere() {
    var queue = Self.queue()
    for (owner, waiter) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
      _ = queue.add(Self.entry("x", owner, waiter: waiter))
    }
    queue.putBack([queue.takeFirst(of: "x")!] + queue.takeAll(of: "x", owner: "a"))
    #expect((1...4).map { _ in queue.takeFirst(of: "x")!.entry.waiter } == ["1", "2", "3", "4"])
  }

  @Test func whoIsSetAsideIsPassedOverUntilItIsBroughtBackToItsPlace() throws {
    var queue = Self.queue()
    let ids = ["a", "b", "c", "d"].map { Self.waits(queue.add(Self.entry("x", $0)))! }
    _ = queue.add(Self.entry("y", "e"))
    for id in [ids[2], ids[0], ids[0]] { queue.setAside(id) }
    #expect(queue.first(of: "x")?.entry.waiter == "b")
    #expect(queue.front(of: "x", max: 9).map(\.entry.waiter) == ["b", "d"])
    #expect(queue.front(of: "x", max: 1).map(\.entry.waiter) == ["b"])
    #expect(queue.bringBack([ids[2], ids[0], ids[1], 99]) == ["x"])
    #expect(queue.bringBack(ids).isEmpty)
    #expect((1...4).map { _ in queue.takeFirst(of: "x")!.entry.waiter } == ["a", "b", "c", "d"])
    #expect(queue.first(of: "x") == nil && !queue.hasLine(of: "x"))
  }

  @Test func whoIsSetAsideWaitsAllTheSame() {
    var queue = Self.queue(ofKeyMax: 3)
    let ids = ["a", "b", "a"].map { Self.waits(queue.add(Self.entry("x", $0, end: 50)))! }
    for id in ids.prefix(2) { queue.setAside(id) }
    // It counts, its wait ends, and it is served with the others of its owner.
    #expect(Self.waits(queue.add(Self.entry("x", "c"))) == nil)
    #expect(queue.takeAll(of: "x", owner: "a").map(\.id) == [ids[0], ids[2]])
    #expect(queue.count == 1 && queue.keys.isEmpty && queue.hasLine(of: "x"))
    #expect(queue.takeEnded(at: MonotonicTime(nanoseconds: 50), limit: 9).map(\.waiter) == ["b"])
    #expect(queue.isEmpty && !queue.hasLine(of: "x"))
    #expect(queue.bringBack(ids).isEmpty)
  }

  @Test func whatAKeyWasSeenWithIsKnownAsLongAsItIsWaitedFor() {
    var queue = Self.queue()
    queue.see(1, of: "x")
    let id = Self.waits(queue.add(Self.entry("x", "a")))!
    #expect(queue.keys.map(\.token) == [nil])
    queue.see(7, of: "x")
    #expect(queue.keys.map(\.token) == [7])
    queue.remove(id)
    _ = queue.add(Self.entry("x", "a"))
    #expect(queue.keys.map(\.token) == [nil])
  }

  @Test func aRepeatedRequestTakesItsOwnPlace() throws {
    var queue = Self.queue(max: 2)
    let first = try #require(
      Self.waits(queue.add(Self.entry("x", "a", requestID: "r", waiter: "1"))))
    _ = queue.add(Self.entry("x", "b"))
    let again = queue.add(Self.entry("x", "a", requestID: "r", end: 500, waiter: "2"))
    guard case .tookPlace(let id, let former) = again else { throw Fault(text: "\(again)") }
    #expect(id == first && former.waiter == "1")
    #expect(queue.takeEnded(at: MonotonicTime(nanoseconds: 499), limit: 9).map(\.waiter) == ["b"])
    #expect(queue.takeFirst(of: "x")?.entry.waiter == "2")
    // By now it is another request.
    #expect(Self.waits(queue.add(Self.entry("x", "a", requestID: "r"))) != nil)
  }

  @Test func aRepeatedRequestCountsWithWhatItTakesNow() throws {
    var queue = Self.queue(bytesMax: 30)
    _ = queue.add(Self.entry("x", "a", requestID: "r", byteCount: 10))
    _ = queue.add(Self.entry("x", "b", byteCount: 10))
    let larger = queue.add(Self.entry("x", "a", requestID: "r", byteCount: 20))
    guard case .tookPlace = larger else { throw Fault(text: "\(larger)") }
    guard case .full = queue.add(Self.entry("x", "a", requestID: "r", byteCount: 21)) else {
      throw Fault(text: "more than there is room for")
    }
    #expect(Self.waits(queue.add(Self.entry("x", "c", byteCount: 1))) == nil)
    #expect(queue.takeFirst(of: "x")?.entry.byteCount == 20)
    #expect(Self.waits(queue.add(Self.entry("x", "c", byteCount: 20))) != nil)
  }

  private struct Fault: Error { var text: String }

  @Test func boundsAreKept() {
    var byKey = Self.queue(ofKeyMax: 1)
    #expect(Self.waits(byKey.add(Self.entry("x", "a"))) != nil)
    #expect(Self.waits(byKey.add(Self.entry("x", "b"))) == nil)
    #expect(Self.waits(byKey.add(Self.entry("y", "b"))) != nil)
    var byCount = Self.queue(max: 1)
    #expect(Self.waits(byCount.add(Self.entry("x", "a"))) != nil)
    #expect(Self.waits(byCount.add(Self.entry("y", "b"))) == nil)
    var byBytes = Self.queue(bytesMax: 19)
    #expect(Self.waits(byBytes.add(Self.entry("x", "a"))) != nil)
    #expect(Self.waits(byBytes.add(Self.entry("y", "b"))) == nil)
    #expect(byBytes.takeFirst(of: "x") != nil)
    #expect(Self.waits(byBytes.add(Self.entry("y", "b"))) != nil)
  }

  @Test func waitsEndInTheOrderOfTheirTimes() {
    var queue = Self.queue()
    for (owner, end) in [("a", 30), ("b", 10), ("c", 20), ("d", 40)] as [(String, Int64)] {
      _ = queue.add(Self.entry("x", owner, end: end))
    }
    #expect(queue.nextEnd == MonotonicTime(nanoseconds: 10))
    #expect(queue.takeEnded(at: MonotonicTime(nanoseconds: 9), limit: 9).isEmpty)
    #expect(
      queue.takeEnded(at: MonotonicTime(nanoseconds: 30), limit: 2).map(\.waiter) == ["b", "c"])
    #expect(queue.takeEnded(at: MonotonicTime(nanoseconds: 30), limit: 2).map(\.waiter) == ["a"])
    #expect(queue.takeFirst(of: "x")?.entry.waiter == "d")
  }

  @Test func allOfOneOwnerAreFound() {
    var queue = Self.queue()
    for (owner, waiter) in [("a", "1"), ("b", "2"), ("a", "3")] {
      _ = queue.add(Self.entry("x", owner, waiter: waiter))
    }
    #expect(queue.takeAll(of: "x", owner: "a").map(\.entry.waiter) == ["1", "3"])
    #expect(queue.takeAll(of: "x", owner: "a").isEmpty)
    #expect(queue.takeFirst(of: "x")?.entry.waiter == "2")
  }

  /// Against a plain list, over random comings and goings.
  @Test(arguments: 0..<50) func itIsLikeAList(_ seed: UInt64) {
    var random = Generator(state: seed)
    var queue = Self.queue(ofKeyMax: 40, max: 60)
    var list: [(id: Queue.ID, key: String, owner: String, end: Int64)] = []
    for step in 0..<400 {
      let key = ["x", "y"].randomElement(using: &random)!
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<6:
        let owner = "\(Int.random(in: 0..<30, using: &random))"
        let end = Int64.random(in: 0..<1_000, using: &random)
        let id = Self.waits(queue.add(Self.entry(key, owner, end: end)))
        let hasRoom = list.count < 60 && list.count(where: { $0.key == key }) < 40
        #expect((id != nil) == hasRoom)
        if let id { list.append((id, key, owner, end)) }
      case 6:
        let taken = queue.takeFirst(of: key)
        let index = list.firstIndex { $0.key == key }
        #expect(taken?.id == index.map { list[$0].id })
        if let taken, Bool.random(using: &random) {
          queue.putBack([taken])
        } else if let index {
          list.remove(at: index)
        }
      case 7:
        guard let gone = list.randomElement(using: &random) else { continue }
        queue.remove(gone.id)
        list.removeAll { $0.id == gone.id }
      case 8:
        guard let owner = list.randomElement(using: &random)?.owner else { continue }
        let taken = queue.takeAll(of: key, owner: owner).map(\.id)
        #expect(taken == list.filter { $0.key == key && $0.owner == owner }.map(\.id))
        list.removeAll { taken.contains($0.id) }
      default:
        let now = Int64(step)
        let ended = queue.takeEnded(at: MonotonicTime(nanoseconds: now), limit: .max)
        #expect(
          ended.map(\.end.nanoseconds).sorted() == list.map(\.end).filter { $0 <= now }.sorted())
        list.removeAll { $0.end <= now }
      }
      #expect(queue.count == list.count)
    }
  }

  private struct Generator: RandomNumberGenerator {
    var state: UInt64

    /// SplitMix64.
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var bits = state
      bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
      bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
      return bits ^ (bits >> 31)
    }
  }
}
