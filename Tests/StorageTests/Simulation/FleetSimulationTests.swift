import Foundation
import TestKit
import Testing

/// *mutex*, *fence*, *never-early*, *shared-store*, *free-rollback* and *stale-fenced* over thousands of
/// schedules.
@Suite("Simulated fleets", .timeLimit(.minutes(60)))
struct FleetSimulationTests {
  /// LATCHKEY_SCHEDULES asks for more than these, which take half a minute.
  private static let schedules =
    ProcessInfo.processInfo.environment["LATCHKEY_SCHEDULES"].flatMap(Int.init) ?? 1_000
  /// LATCHKEY_SEED: the one that is to be seen again.
  private static let wanted =
    ProcessInfo.processInfo.environment["LATCHKEY_SEED"].flatMap { UInt64($0) }
  /// A fixed part of the seeds, and a fresh one.
  private static let fresh = UInt64.random(in: 1_000_000...1_000_000_000)

  @Test(
    "servers of four shapes in every order of arrival and departure",
    arguments: [MemoryDatabase.Concurrency.locks, .optimistic])
  func schedules(_ concurrency: MemoryDatabase.Concurrency) throws {
    var (fenced, grants, brokenOff, givenUp, renewals, found) = (0, 0, 0, 0, 0, 0)
    var keptIdentities = 0
    var (interludes, conflicts) = (0, 0)
    for number in 0..<UInt64(Self.schedules) {
      let seed = Self.wanted ?? (number % 2 == 0 ? number : Self.fresh + number)
      var simulation = FleetSimulation(seed: seed, concurrency)
      try simulation.run(steps: 60)
      guard simulation.broken.isEmpty else {
        Issue.record("\(simulation.broken.prefix(3).joined(separator: "; "))")
        return
      }
      fenced += simulation.fenced
      grants += simulation.grants
      brokenOff += simulation.migrationsBrokenOff
      givenUp += simulation.shapesGivenUp
      renewals += simulation.olderRenewals
      found += simulation.found
      keptIdentities += simulation.keptIdentities
      interludes += simulation.interludes
      conflicts += simulation.conflicts
    }
    print(
      "\(Self.schedules) schedules, \(concurrency): \(grants) grants, \(renewals) renewals by older servers of what "
        + "only newer ones know, \(keptIdentities) of what is an identity's, \(fenced) servers fenced, \(brokenOff) migrations broken off, "
        + "\(givenUp) times shapes were given up, \(interludes) transactions between reading and writing "
        + "of another one, \(conflicts) decided anew")
    // What never happened was not tested.
    for count in [fenced, grants, brokenOff, givenUp, renewals, keptIdentities, found] {
      #expect(count > 0)
    }
    if concurrency == .optimistic { #expect(interludes > 0 && conflicts > 0) }
  }
}
