import Dispatch
import Exclusion
import Testing

@testable import Storage
@testable import StorageSQL

/// Which of several hosts a server connects to.
@Suite struct HostRaceTests {
  private enum Host: String {
    case up, down, late, silent, wrong, promoted
  }

  /// Those who were tried; those who are silent wait for its end.
  private final class Attempts: Sendable {
    let tried = Mutex<[Host]>([])
    let end = DispatchSemaphore(value: 0)
    let closed = DispatchSemaphore(value: 0)
  }

  private final class Connection: Sendable {
    let attempts: Attempts
    init(_ attempts: Attempts) { self.attempts = attempts }
    deinit { attempts.closed.signal() }
  }

  /// - Parameters:
  ///   - first: How many hosts were left before.
  ///   - headStart: In milliseconds.
  private func connect(
    _ hosts: [Host], first: Int = 0, headStart: Int64 = 60_000, _ attempts: Attempts = Attempts()
  ) throws(StoreError) -> (connection: Connection, index: Int) {
    let race = HostRace<Host, Connection>(
      hosts, headStartNanoseconds: headStart * 1_000_000, name: \.rawValue
    ) { (host) throws(StoreError) in
      attempts.tried.withLock { $0.append(host) }
      switch host {
      case .up: return Connection(attempts)
      case .promoted:
        guard attempts.tried.withLock({ $0.count { $0 == .promoted } }) >= 3 else { fallthrough }
        return Connection(attempts)
      case .down: throw StoreError(.unavailable, "connection refused")
      case .wrong: throw StoreError(.unusable, "wrong password")
      case .late:
        attempts.end.wait()
        return Connection(attempts)
      case .silent:
        attempts.end.wait()
        throw StoreError(.unavailable, "no answer")
      }
    }
    for number in 0..<first { race.leave(number % hosts.count) }
    return try race.connect()
  }

  @Test func theFirstIsTakenAndNobodyElseIsTried() throws {
    let attempts = Attempts()
    #expect(try connect([.up, .down, .up], attempts).index == 0)
    #expect(attempts.tried.withLock(\.self) == [.up])
  }

  @Test func whoIsTriedFirstIsSaid() throws {
    #expect(try connect([.up, .down, .up], first: 1).index == 2)
    #expect(try connect([.down, .up], first: 3).index == 1)
  }

  @Test func oneThatIsSilentKeepsNobodyWaiting() throws {
    let attempts = Attempts()
    #expect(try connect([.silent, .silent, .up], headStart: 10, attempts).index == 2)
    #expect(attempts.tried.withLock(\.self) == [.silent, .silent, .up])
    for _ in 1...2 { attempts.end.signal() }
  }

  @Test func whoComesTooLateIsClosed() throws {
    let attempts = Attempts()
    let connected = try connect([.late, .up], headStart: 10, attempts)
    #expect(connected.index == 1)
    attempts.end.signal()
    #expect(attempts.closed.wait(timeout: .now() + 60) == .success)
    withExtendedLifetime(connected) {}
  }

  /// A standby takes the place of a primary whose machine is gone.
  @Test func whoRefusesIsTriedAgainWhileAnotherOneIsSilent() throws {
    let attempts = Attempts()
    #expect(try connect([.silent, .promoted], headStart: 10, attempts).index == 1)
    let tried = attempts.tried.withLock(\.self)
    #expect(tried.count { $0 == .promoted } > 1 && tried.count { $0 == .silent } <= 1)
    attempts.end.signal()
  }

  @Test func whereNoneCanBeUsedEachSaysWhy() {
    let attempts = Attempts()
    attempts.end.signal()
    let error = #expect(throws: StoreError.self) {
      try connect([.silent, .down, .wrong], attempts)
    }
    #expect(error?.code == .unavailable)
    #expect(
      error?.message == "silent: no answer; down: connection refused; wrong: wrong password")
  }

  @Test func whereNoneWillDoLaterEitherThatIsSaid() {
    #expect(throws: StoreError(.unusable, "wrong: wrong password; wrong: wrong password")) {
      try connect([.wrong, .wrong])
    }
    #expect(throws: StoreError(.unusable, "wrong password")) { try connect([.wrong]) }
  }
}
