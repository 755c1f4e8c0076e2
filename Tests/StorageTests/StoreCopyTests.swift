import LockContent
import LockCore
import TestKit
import Testing

@testable import Storage

/// Copying a store into another database.
@Suite(.serialized) struct StoreCopyTests {
  private static let claim = Claim(
    kind: .lock, owner: "a", lease: Lease(seconds: 60)!, content: #"{"zone":"z1"}"#,
    labels: ["team": "payments"])

  /// A store with something of everything in it.
  private func fill(_ database: any TestDatabase) async throws {
    let node = try StoreNode(database)
    defer { node.close() }
    _ = try await node.perform(.claim(key: "held", Self.claim))
    _ = try await node.claim("here", "b", value: "v", kind: .presence)
    for _ in 1...3 {
      _ = try await node.claim("free", "c", lease: 7)
      try await node.perform(.release(key: "free", owner: "c"))
    }
    for number in 1...900 { _ = try await node.claim("many-\(number)", "d", kind: .presence) }
    try database.set(.tokenFloor, to: 40, note: "")
  }

  private func copy(
    _ source: any TestDatabase, to target: any TestDatabase,
    sleep: @escaping (Int64) -> Void = { _ in }
  ) throws -> Int64 {
    try StoreCopy(from: source.engine(), to: target.engine(), sleep: sleep).run()
  }

  private func check(_ database: any TestDatabase) async throws {
    let node = try StoreNode(database)
    defer { node.close() }
    let held = try #require(try await node.fetch("held"))
    #expect(held.holder?.owner == "a" && held.token == 1 && held.revision == 1)
    #expect(held.holder?.labels == ["team": "payments"])
    #expect(held.holder?.lease == Lease(seconds: 60))
    #expect(try database.terms(ofKey: "held").sorted() == ["team=payments", #"{"zone":"z1"}"#])
    let here = try #require(try await node.fetch("here"))
    #expect(here.holder?.kind == .presence && here.holder?.owner == "b")
    #expect(try await node.fetch("free") == nil)
    #expect(try await node.list(.presence).count == 901)
    let row = try #require(try database.row(forKey: "free"))
    #expect(row.owner == nil && row.token == 3 && row.leaseSeconds == 7)
    #expect(try database.meta.tokenFloor == 40)
    // No token falls, of a key that is there and of one that is not.
    #expect(try await node.claim("free", "x").token == 41)
    #expect(try await node.claim("new", "x").token == 41)
    #expect(try await node.claim("held", "a").isNew == false)
  }

  @Test(arguments: engines)
  func everythingIsAsItWasInEveryEngine(_ engine: EngineUnderTest) async throws {
    let (file, database, back) = (
      try SQLiteDatabase(), try engine.newDatabase(), try SQLiteDatabase()
    )
    try await fill(file)
    #expect(try copy(file, to: database) == 903)
    #expect(try copy(database, to: back) == 903)
    try await check(back)
    try await check(database)
  }

  @Test(arguments: engines)
  func whatIsNotEmptyIsLeftAlone(_ engine: EngineUnderTest) async throws {
    let (source, target) = (MemoryDatabase(), try engine.newDatabase())
    try await fill(source)
    for (database, key) in [(source, ReservedKeys.servers + "s1/r"), (target, "key")]
      as [(any TestDatabase, String)]
    {
      let node = try StoreNode(database)
      _ = try await node.claim(key, "a", kind: .presence)
      node.close()
    }
    // Before it is waited for servers of the source.
    let error = #expect(throws: StoreError.self) {
      try copy(source, to: target) { _ in Issue.record("waits") }
    }
    #expect(error?.code == .unusable)
    #expect(error?.message.contains("is not empty") == true)
    #expect(try target.row(forKey: "key")?.owner == "a")
    #expect(try target.row(forKey: "held") == nil)
  }

  @Test(arguments: engines)
  func aCopyThatWasBrokenOffIsNoStore(_ engine: EngineUnderTest) async throws {
    let (source, target) = (MemoryDatabase(), try engine.newDatabase())
    try await fill(source)
    let plan = FaultPlan()
    // The floor, and the first rows, are written before.
    plan.fail(.apply, .connectionLost, skip: 2)
    let broken = FaultyEngine(target.engine(), plan: plan)
    #expect(throws: Fault.error) {
      try StoreCopy(from: source.engine(), to: broken) { _ in }.run()
    }
    #expect(try target.row(forKey: "held") != nil)
    for attempt in [{ _ = try StoreNode(target).store }, { _ = try copy(source, to: target) }] {
      let error = #expect(throws: StoreError.self) { try attempt() }
      #expect(error?.code == .unusable)
    }
  }

  @Test func whatWasBeforeASetbackStaysBeforeIt() throws {
    let (source, target) = (MemoryDatabase(.optimistic), MemoryDatabase(.optimistic))
    _ = try source.engine().openWriter()
    source.set(.setbackFloor, to: 9, note: "")
    _ = try copy(source, to: target)
    #expect(target.meta(.all).setbackFloor == 9)
    // Where nothing is lost there is no such floor.
    let file = MemoryDatabase()
    _ = try copy(source, to: file)
    #expect(try copy(file, to: MemoryDatabase(.optimistic)) == 0)
  }

  /// A slow line has to carry a page in the time of one answer.
  @Test func aPageHasFewRowsThatAreLarge() async throws {
    let (source, target) = (MemoryDatabase(), MemoryDatabase())
    let node = try StoreNode(source)
    for number in 1...40 {
      _ = try await node.claim("s\(number)", "a", value: "v")
    }
    let large = String(repeating: "x", count: 60_000)
    for number in 1...40 { _ = try await node.claim("l\(number)", "a", value: large) }
    node.close()
    var counts: [Int64] = [0]
    let copy = StoreCopy(from: source.engine(), to: target.engine()) { _ in }
    #expect(try copy.run(progress: { counts.append($0) }) == 80)
    let pages = zip(counts.dropFirst(), counts).map { $0 - $1 }
    #expect(pages.first! >= 20 && pages.last! <= 5, "\(pages)")
    #expect(pages.max()! <= 50, "\(pages)")
  }

  @Test func aServerThatLivesIsFound() async throws {
    let (source, target) = (MemoryDatabase(.optimistic), MemoryDatabase())
    try await fill(source)
    let node = try StoreNode(source)
    defer { node.close() }
    let presence = ReservedKeys.servers + "s1/r"
    let announce = Command.hold(presence, "s1/r", kind: .presence)
    try await node.perform(announce)
    var looks = 0
    let error = #expect(throws: StoreError.self) {
      try copy(source, to: target) { _ in
        looks += 1
        guard looks == 20 else { return }
        let bench = try? TurnBench(source)
        bench?.turn(announce)
      }
    }
    #expect(error?.code == .unusable)
    #expect(error?.message.contains("a server runs on") == true)
    #expect(error?.message.contains("s1/r") == true)
    #expect(looks == 20)
  }

  @Test func aServerThatDiedIsFoundToHaveDied() async throws {
    let (source, target) = (MemoryDatabase(), MemoryDatabase())
    let node = try StoreNode(source)
    _ = try await node.claim(ReservedKeys.servers + "s1/r", "s1/r", kind: .presence)
    node.close()
    var nanoseconds: Int64 = 0
    #expect(try copy(source, to: target) { nanoseconds += $0 } == 1)
    #expect(nanoseconds >= 15_000_000_000)
  }

  @Test func whatIsWrittenMeanwhileMakesTheCopyVoid() async throws {
    let (source, target) = (MemoryDatabase(.optimistic), MemoryDatabase())
    try await fill(source)
    let bench = try TurnBench(source)
    var isWritten = false
    let copy = StoreCopy(from: source.engine(), to: target.engine()) { _ in }
    let error = #expect(throws: StoreError.self) {
      try copy.run(progress: { _ in
        if !isWritten { bench.turn(.hold("late", "x")) }
        isWritten = true
      })
    }
    #expect(isWritten)
    #expect(error?.message.contains("meanwhile") == true)
    #expect(throws: StoreError.self) { try StoreNode(target) }
  }

  @Test func aDamagedRowIsNotLeftOut() async throws {
    let (source, target) = (try SQLiteDatabase(), MemoryDatabase())
    try source.put(.held(id: 1, key: "key", token: -1))
    let error = #expect(throws: StoreError.self) { try copy(source, to: target) }
    #expect(error?.code == .damaged)
  }

  @Test func aRowOfANewerServerIsForThat() async throws {
    let (source, target) = (MemoryDatabase(), MemoryDatabase())
    source.put(.held(id: 1, key: "key", needsShape: 9))
    let error = #expect(throws: StoreError.self) { try copy(source, to: target) }
    #expect(error?.code == .tooOldServer)
  }
}
