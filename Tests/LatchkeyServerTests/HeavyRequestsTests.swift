import HTTP
import NIOCore
import NIOEmbedded
import Exclusion
import Testing

@testable import LatchkeyServer

/// Large requests do not keep an event loop from everybody else.
@Suite struct HeavyRequestsTests {
  private let loop = EmbeddedEventLoop()
  private let thread = OtherThread()

  private var requests: HeavyRequests {
    HeavyRequests(eventLoop: loop, bodyBytesMax: Self.bodyBytesMax) { [thread] in
      thread.work.append($0)
    }
  }

  private static let bodyBytesMax = 524_288

  /// Does what it has to do when the test says so.
  private final class OtherThread {
    var work: [@Sendable () -> Void] = []

    func doNext() { work.removeFirst()() }
  }

  @Test(
    "what is large, or may become large, is heavy",
    arguments: [
      ([], false), ([0x7b], false), ([0x1f, 0x8b, 8], true),
      ([UInt8](repeating: 0x20, count: HeavyRequests.bodyBytesMin - 1), false),
      ([UInt8](repeating: 0x20, count: HeavyRequests.bodyBytesMin), true),
    ] as [([UInt8], Bool)])
  func heavy(body: [UInt8], isHeavy: Bool) {
    #expect(HeavyRequests.isHeavy(body) == isHeavy)
  }

  @Test("one is read at a time, elsewhere, and connections take turns")
  func turns() {
    let requests = requests
    let (first, second) = (WaitingExchange(), WaitingExchange())
    var read: [String] = []
    func add(_ exchange: WaitingExchange, _ name: String) {
      let isAdmitted = requests.add(exchange, bodyBytes: 100, cost: 100, read: { name }) {
        read.append($0)
      }
      #expect(isAdmitted)
    }
    for number in 1...3 { add(first, "first \(number)") }
    add(second, "second")
    for count in 1...4 {
      loop.run()
      #expect(read.count == count - 1 && thread.work.count == 1)
      thread.doNext()
    }
    loop.run()
    #expect(read == ["first 1", "first 2", "second", "first 3"])
    #expect(thread.work.isEmpty)
    add(second, "later")
    thread.doNext()
    loop.run()
    #expect(read.last == "later")
  }

  @Test("what nobody waits for any more is not read, or comes to nothing, and too much is refused")
  func bounds() {
    let requests = requests
    let (gone, patient) = (WaitingExchange(), WaitingExchange())
    var read: [String] = []
    func add(_ exchange: WaitingExchange, _ bytes: Int, _ name: String) -> Bool {
      requests.add(exchange, bodyBytes: bytes, cost: bytes, read: { name }) { read.append($0) }
    }
    func readNext() {
      thread.doNext()
      loop.run()
    }
    #expect(add(patient, 1, "now"))
    let part = HeavyRequests.waitingBytesMax / 20
    #expect(add(gone, part, "gone"))
    #expect(add(patient, part, "patient"))
    #expect(add(patient, part, "one more") && !add(patient, part, "too much"))
    gone.isOpen = false
    readNext()
    readNext()
    readNext()
    #expect(read == ["now", "patient", "one more"])
    #expect(add(patient, part, "again") && add(patient, part, "and again"))
    // What is being read takes no room.
    #expect(add(patient, part, "a third"))
    readNext()
    #expect(add(patient, part, "a fourth"))
    patient.isOpen = false
    readNext()
    #expect(read == ["now", "patient", "one more", "again"])
  }

  @Test("what costs little does not wait for what costs much, however many send that")
  func cheapOnesFirst() {
    let requests = requests
    var read: [String] = []
    func add(_ cost: Int, _ name: String) {
      let exchange = WaitingExchange()
      let isAdmitted = requests.add(
        exchange, bodyBytes: 100, cost: cost, read: { name }
      ) { read.append($0) }
      #expect(isAdmitted)
    }
    let gzip = [0x1f, 0x8b] + [UInt8](repeating: 0xff, count: 600)
    let most = HeavyRequests.cost(of: gzip, bodyBytesMax: Self.bodyBytesMax)
    #expect(most == Self.bodyBytesMax)
    // What it says that it inflates to, but for what it takes to read it as it is.
    #expect(HeavyRequests.cost(of: gzip.dropLast(4) + [0, 8, 0, 0], bodyBytesMax: .max) == 2_048)
    #expect(HeavyRequests.cost(of: gzip.dropLast(4) + [0, 0, 0, 0], bodyBytesMax: .max) == 602)
    func readNext() {
      thread.doNext()
      loop.run()
    }
    for _ in 1...100 { add(most, "dear") }
    for _ in 1...3 { readNext() }
    add(18_000, "cheap")
    for _ in 1...2 { readNext() }
    #expect(read == ["dear", "dear", "dear", "dear", "cheap"])
  }

  @Test("where all the room is taken, what would be read last makes room for what costs less")
  func makesRoom() {
    let requests = requests
    var dropped: [Int] = []
    var count = 0
    /// As many connections send as dear a request as there is room for.
    func addDear() -> Bool {
      let exchange = WaitingExchange()
      return requests.add(
        exchange, bodyBytes: 20_000, cost: Self.bodyBytesMax, read: {}, then: {},
        dropped: { [count] in dropped.append(count) })
    }
    while addDear() { count += 1 }
    #expect(count > 1_000)
    let (cheap, gone) = (WaitingExchange(), WaitingExchange())
    var read: [String] = []
    func add(_ exchange: WaitingExchange, _ cost: Int, _ name: String) -> Bool {
      requests.add(exchange, bodyBytes: cost, cost: cost, read: { name }) { read.append($0) }
    }
    #expect(add(cheap, 40_000, "cheap"))
    #expect(dropped.isEmpty, "nobody is told from within what another one sends")
    loop.run()
    #expect(
      dropped.first == count - 1 && dropped.count < 20, "the last ones, and no more than it takes")
    #expect(!add(gone, Self.bodyBytesMax, "as dear"))
    // One is being read.
    thread.doNext()
    loop.run()
    thread.doNext()
    loop.run()
    #expect(read == ["cheap"])
  }

  @Test("what makes room is no more than it takes, however small the requests are that wait")
  func smallOnesMakeRoom() {
    let requests = requests
    var dropped = 0
    func add(_ bytes: Int, cost: Int) -> Bool {
      requests.add(
        WaitingExchange(), bodyBytes: bytes, cost: cost, read: {}, then: {},
        dropped: { dropped += 1 })
    }
    while add(1_000, cost: 60_000) {}
    #expect(add(8_000, cost: 8_000))
    loop.run()
    #expect(dropped > 0 && dropped <= 10 + 8 * 10)
  }

  /// As when the answer lets the next request of the same connection in.
  @Test("who is told that there is no room, and asks again at once, does not nest")
  func droppedOnesAskAgain() {
    let requests = requests
    var depth = 0
    var depthMax = 0
    var asked = 0
    func add(_ cost: Int) -> Bool {
      depth += 1
      defer { depth -= 1 }
      depthMax = max(depthMax, depth)
      return requests.add(
        WaitingExchange(), bodyBytes: 15_000, cost: cost, read: {}, then: {},
        dropped: {
          asked += 1
          if asked <= 1_000 { _ = add(16_000 - asked) }
        })
    }
    while add(Self.bodyBytesMax) {}
    #expect(add(15_000))
    loop.run()
    #expect(asked > 1_000 && depthMax == 1)
  }

  @Test("what costs more is read after a while, however many come who ask for less")
  func dearOnesToo() {
    let requests = requests
    var read: [String] = []
    func add(_ cost: Int, _ name: String) {
      _ = requests.add(WaitingExchange(), bodyBytes: 100, cost: cost, read: { name }) {
        read.append($0)
      }
    }
    for _ in 1...10 { add(16_000, "cheap") }
    add(20_000, "dear")
    for _ in 1...20 {
      add(16_000, "cheap")
      thread.doNext()
      loop.run()
    }
    #expect(read.contains("dear"))
  }

  @Test("the largest body there may be is read")
  func largest() {
    let requests = HeavyRequests(eventLoop: loop, bodyBytesMax: 16 << 20) { _ in }
    #expect(requests.add(WaitingExchange(), bodyBytes: 16 << 20, cost: 16 << 20, read: {}) {})
    #expect(requests.add(WaitingExchange(), bodyBytes: 16 << 20, cost: 16 << 20, read: {}) {})
  }

  @Test("however many send large requests, another one's is read as well")
  func everybodyHasAPart() {
    let requests = requests
    let greedy = (0..<300).map { _ in WaitingExchange() }
    for exchange in greedy {
      let isRefused = (0..<200).contains { _ in
        !requests.add(exchange, bodyBytes: Self.bodyBytesMax, cost: Self.bodyBytesMax, read: {}) {}
      }
      #expect(isRefused)
    }
    #expect(
      requests.add(
        WaitingExchange(), bodyBytes: HeavyRequests.bodyBytesMin, cost: HeavyRequests.bodyBytesMin,
        read: {}
      ) {})
  }

  @Test("at the end nothing is begun, and what is being read is waited for")
  func end() throws {
    let requests = requests
    let exchange = WaitingExchange()
    var read: [String] = []
    func add(_ name: String) -> Bool {
      requests.add(exchange, bodyBytes: 1, cost: 1, read: { name }) { read.append($0) }
    }
    #expect(add("one") && add("two"))
    let hasEnded = Mutex(false)
    requests.end().whenSuccess { hasEnded.withLock { $0 = true } }
    #expect(!add("three"))
    loop.run()
    #expect(!hasEnded.withLock { $0 })
    thread.doNext()
    loop.run()
    #expect(hasEnded.withLock { $0 })
    #expect(read == ["one"] && thread.work.isEmpty)
  }
}

extension HeavyRequests {
  /// Of a connection of its own.
  fileprivate func add<Value: Sendable>(
    _ exchange: WaitingExchange, bodyBytes: Int, cost: Int,
    read: @escaping @Sendable () -> Value, then: @escaping (Value) -> Void,
    dropped: @escaping () -> Void = {}
  ) -> Bool {
    add(
      exchange, of: exchange, bodyBytes: bodyBytes, cost: cost, read: read, then: then,
      dropped: dropped)
  }
}
