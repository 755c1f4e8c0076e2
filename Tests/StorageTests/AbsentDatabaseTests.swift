import Dispatch
import LockCore
import Synchronization
import TestKit
import Testing

@testable import Storage

/// A database on another machine that is away: at the start, and while a connection is opened.
@Suite struct AbsentDatabaseTests {
  @Test func aServerThatStartsBeforeItsDatabaseServesWhenThatIsThere() async throws {
    let plan = FaultPlan()
    plan.fail(.openWriter, times: 3)
    let observer = RecordingObserver()
    var limits = StoreLimits.prompt
    limits.openingPatienceNanoseconds = 60_000_000_000
    let store = try Store(
      engine: FaultyEngine(MemoryDatabase(.optimistic).engine(), plan: plan), limits: limits,
      clock: ManualClock().reading, observer: observer)
    defer { store.shutdown() }
    // The first turn of its own may be over before, or not.
    while await store.perform(.hold("key", "a")) == .failed {}
    #expect(await store.ask(.fetch(key: "key")) != .failed)
    #expect(store.health == .working)
  }

  @Test(arguments: [StoreError.Code.unusable, .tooOldServer])
  func whatWillNotDoLaterEitherIsSaidAtOnce(_ code: StoreError.Code) throws {
    let error = StoreError(code, "wrong password")
    #expect(throws: error) {
      try Store(
        engine: RefusingEngine(error: error), clock: ManualClock().reading,
        observer: RecordingObserver())
    }
  }

  @Test func whoNeedsAConnectionDoesNotWaitForIt() throws {
    let gate = DispatchSemaphore(value: 0)
    let tries = Atomic<Int>(0)
    let connections = ConnectionOpening<Int>(patienceNanoseconds: 0) {
      () throws(StoreError) in
      gate.wait()
      let number = tries.wrappingAdd(1, ordering: .relaxed).newValue
      guard number > 1 else { throw StoreError(.unavailable, "down") }
      return number
    }
    #expect(try connections.take() == nil)
    #expect(try connections.take() == nil)
    #expect(tries.load(ordering: .relaxed) == 0)
    gate.signal()
    #expect(throws: StoreError(.unavailable, "down")) {
      while try connections.take() == nil {}
    }
    gate.signal()
    var connection: Int?
    while connection == nil { connection = try connections.take() }
    #expect(connection == 2)
  }
}

/// Refuses whoever comes.
private struct RefusingEngine: StoreEngine {
  let error: StoreError
  let location = "nowhere"
  let shapes = KnownShapes.all
  let keepsAccount = true

  func openWriter(for purpose: WritingPurpose) throws(StoreError) -> any StoreWriter { throw error }
  func openReader() throws(StoreError) -> any StoreReader { throw error }
}
