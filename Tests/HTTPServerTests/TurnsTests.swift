import NIOCore
import NIOEmbedded
import HTTPServer
import Testing

/// Who goes on when, of those who have more to do than may be done at once.
@Suite struct TurnsTests {
  /// An event loop whose time is the test's, also within a turn.
  private final class Scene {
    let loop = EmbeddedEventLoop()
    var now = NIODeadline.uptimeNanoseconds(0)
    private(set) lazy var turns = Turns(eventLoop: loop) { [unowned self] in now }
    private(set) var order: [String] = []

    /// Waits for a turn in which `name` is busy for a time; for as many as there are.
    func wait(_ name: String, _ account: Turns.Account = Turns.Account(), busy: [TimeAmount]) {
      turns.wait(account) { [self] in
        order.append(name)
        now = now + busy[0]
        if busy.count > 1 { wait(name, account, busy: Array(busy.dropFirst())) }
      }
    }

    /// Once more those who wait go on.
    func go() { loop.advanceTime(by: Turns.pause) }

    /// The sockets are looked at anew.
    func nextPass() { loop.run() }
  }

  private static let little = Turns.littleBytes

  @Test("who has used less goes first")
  func order() {
    let scene = Scene()
    scene.wait("a", busy: Array(repeating: Turns.timeMax * 3, count: 3))
    scene.wait("b", busy: Array(repeating: Turns.timeMax, count: 9))
    for _ in 0..<12 { scene.go() }
    #expect(scene.order.joined() == "abbbabbbabbb")
  }

  @Test("a newcomer goes before those who have had their turn, and behind those who have not")
  func newcomer() {
    let scene = Scene()
    let busy = Array(repeating: Turns.timeMax, count: 2)
    for name in ["a", "b", "c"] { scene.wait(name, busy: busy) }
    scene.go()
    scene.wait("new", busy: [.zero])
    for _ in 0..<9 { scene.go() }
    #expect(scene.order == ["a", "b", "c", "new", "a", "b", "c"])
  }

  @Test("what was used long ago does not count")
  func forgotten() {
    let scene = Scene()
    let account = Turns.Account()
    scene.wait("old", account, busy: [.milliseconds(1)])
    scene.go()
    for _ in 0..<3 {
      scene.wait("other", busy: Array(repeating: .milliseconds(1), count: 3))
      for _ in 0..<3 { scene.go() }
    }
    scene.wait("other", busy: [.zero])
    scene.wait("old", account, busy: [.zero])
    scene.wait("other", busy: [.zero])
    scene.go()
    #expect(scene.order.suffix(3) == ["other", "old", "other"])
  }

  @Test("the sockets are looked at after a while, however many wait")
  func timeMax() {
    let scene = Scene()
    for _ in 0..<7 { scene.wait("x", busy: [.microseconds(400)]) }
    scene.go()
    #expect(scene.order.count == 3)
    scene.go()
    #expect(scene.order.count == 6)
  }

  @Test("nobody has two turns before the sockets are looked at")
  func again() {
    let scene = Scene()
    scene.wait("x", busy: Array(repeating: .zero, count: 3))
    scene.go()
    #expect(scene.order.count == 1)
  }

  @Test("turns are shorter the more wait, down to a least time")
  func turnTime() {
    let scene = Scene()
    #expect(scene.turns.turnTime == Turns.timeMax)
    for _ in 0..<3 { scene.wait("x", busy: [.zero]) }
    #expect(scene.turns.turnTime == .nanoseconds(Turns.timeMax.nanoseconds / 4))
    for _ in 0..<1_000 { scene.wait("x", busy: [.zero]) }
    #expect(scene.turns.turnTime == Turns.turnTimeMin)
  }

  @Test("while nobody waits all goes on, until a pass over the sockets has lasted")
  func pass() {
    let scene = Scene()
    let account = Turns.Account()
    #expect(scene.turns.mayGoOn(account, bytes: 16_384))
    scene.now = scene.now + Turns.passTimeMax - .nanoseconds(1)
    #expect(scene.turns.mayGoOn(account, bytes: 16_384))
    scene.now = scene.now + .nanoseconds(1)
    #expect(!scene.turns.mayGoOn(account, bytes: 1))
    scene.nextPass()
    #expect(scene.turns.mayGoOn(account, bytes: 16_384))
  }

  @Test("while others wait little goes on, of who has not used more than they have")
  func little() {
    let scene = Scene()
    let account = Turns.Account()
    scene.wait("other", busy: Array(repeating: .milliseconds(1), count: 3))
    #expect(!scene.turns.mayGoOn(account, bytes: Self.little + 1))
    #expect(scene.turns.mayGoOn(account, bytes: Self.little))
    #expect(!scene.turns.mayGoOn(account, bytes: 1))
    scene.go()
    scene.nextPass()
    #expect(scene.turns.mayGoOn(account, bytes: 1))
  }

  @Test("nobody waits for ever, whoever comes")
  func newcomersForever() {
    let scene = Scene()
    scene.wait("old", busy: [.milliseconds(1), .zero])
    for _ in 0..<100 {
      for _ in 0..<3 { scene.wait("new", busy: [.microseconds(400)]) }
      scene.go()
    }
    #expect(scene.order.count(where: { $0 == "old" }) == 2)
  }
}
