import LockCore
import TestKit
import Testing

@testable import Storage

@Suite struct DamageReportsTests {
  @Test func aDamagedRowIsToldOnceAnHourWithHowOftenItWasMet() {
    let clock = ManualClock()
    let reports = DamageReports()
    #expect(reports.note("row 1", at: clock.now) == 0)
    for _ in 1...500 { #expect(reports.note("row 1", at: clock.now) == nil) }
    #expect(reports.note("row 2", at: clock.now) == 0)
    clock.advance(nanoseconds: DamageReports.intervalNanoseconds - 1)
    #expect(reports.note("row 1", at: clock.now) == nil)
    clock.advance(nanoseconds: 1)
    #expect(reports.note("row 1", at: clock.now) == 501)
    #expect(reports.note("row 1", at: clock.now) == nil)
    #expect(reports.note("row 2", at: clock.now) == 0)
  }

  @Test func whatIsRememberedIsBounded() {
    let clock = ManualClock()
    let reports = DamageReports()
    let told = (1...10_000).filter { reports.note("row \($0)", at: clock.now) != nil }
    #expect(told.count == DamageReports.rowsMax)
    clock.advance(nanoseconds: DamageReports.intervalNanoseconds)
    #expect(reports.note("row 9000", at: clock.now) == 0)
  }

  @Test(arguments: engines)
  func aListNamesADamagedRowOnceHoweverOftenItIsAsked(_ engine: EngineUnderTest) async throws {
    let database = try engine.newDatabase()
    try database.put(.held(id: 5, key: "bad", revision: -1))
    let node = try StoreNode(database)
    defer { node.close() }
    for _ in 1...20 { #expect(try await node.list(.lock).isEmpty) }
    #expect(node.observer.totals.skipped.count == 20)
    #expect(node.observer.totals.told == [0])
    node.clock.advance(seconds: 3_600)
    #expect(try await node.list(.lock).isEmpty)
    #expect(node.observer.totals.told == [0, 19])
  }
}
