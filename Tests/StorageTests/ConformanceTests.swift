import TestKit
import Testing

/// The engines that the suite runs over. A new one is one line.
let engines = [
  EngineUnderTest("memory") { MemoryDatabase() },
  EngineUnderTest("SQLite") { try SQLiteDatabase() },
]

/// One after the other: each check has the threads of several stores.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct ConformanceTests {
  @Test(arguments: engines, StoreConformance.checks)
  func conforms(_ engine: EngineUnderTest, to check: StoreConformance.Check) async throws {
    try await check.run(on: engine)
  }
}
