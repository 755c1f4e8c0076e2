import LockCore
import TestKit
import Testing

@testable import Storage

/// The upkeep on a connection of its own.
@Suite struct CaretakerTests {
  private let database = MemoryDatabase(.optimistic)
  private let clock = ManualClock()
  private let observer = RecordingObserver()

  private func caretaker(noteRemarks: @escaping () -> Void = {}) -> Caretaker {
    Caretaker(
      engine: database.engine(), limits: StoreLimits(), clock: clock.reading, observer: observer,
      noteRemarks: noteRemarks)
  }

  private func commits() throws -> Int64 {
    var wanted = Wanted()
    wanted.wantsRuns = true
    return try database.engine().openReader().read(wanted).runs.map(\.commits).reduce(0, +)
  }

  /// Others would take its run away. Then it also looks whether the database's settings are what they were.
  @Test func itCommitsSomethingThoughThereIsNothingToDo() throws {
    var looks = 0
    let caretaker = caretaker { looks += 1 }
    for _ in 1...100 { caretaker.turn([]) }
    let before = try commits()
    for _ in 1...60 {
      clock.advance(nanoseconds: 10_000_000_000)
      caretaker.turn([])
    }
    let count = try commits() - before
    #expect((4...6).contains(count))
    #expect(looks == count)
    #expect(observer.totals.failedUpkeeps == 0)
  }

  /// Others are faster each time.
  @Test func aConflictIsAReasonToRest() throws {
    let caretaker = caretaker()
    for _ in 1...100 { caretaker.turn([]) }
    clock.advance(nanoseconds: StoreLimits().epochNanoseconds)
    database.beforeNextChange { [database] in database.set(.epoch, to: 7, note: "") }
    caretaker.turn([])
    #expect(caretaker.waitNanoseconds > 0)
  }
}
