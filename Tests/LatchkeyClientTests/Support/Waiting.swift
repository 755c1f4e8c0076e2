import NIOPosix
import Exclusion
import Testing
import WireSchema

@testable import LatchkeyClient

/// Returns when `condition` holds; throws after a long time.
func until(
  line: Int = #line, _ condition: () async throws -> Bool
) async throws {
  let end = ContinuousClock.now + .seconds(20)
  while try await !condition() {
    guard ContinuousClock.now < end else { throw NeverHappened(line: line) }
    try await Task.sleep(for: .milliseconds(1))
  }
}

struct NeverHappened: Error {
  var line: Int
}

extension Endpoint {
  /// Where nobody listens: a port that was free a moment ago may be another test's now.
  static let nobody = try! Endpoint("127.0.0.1:1")
}

/// Runs until it is cancelled.
func untilCancelled() async {
  let stream = AsyncStream<Never> { _ in }
  for await _ in stream {}
}

/// A value that tests and bodies share.
final class Shared<Value: Sendable>: Sendable {
  private let value: Mutex<Value>

  init(_ value: Value) { self.value = Mutex(value) }

  var now: Value { value.withLock { $0 } }
  func set(_ new: Value) { value.withLock { $0 = new } }
  func change(_ change: (inout Value) -> Void) { value.withLock { change(&$0) } }
}

/// The code of the error that `body` throws; nil where it throws none, or another.
func code(_ body: () async throws -> Void) async -> LatchkeyError.Code? {
  do {
    try await body()
    return nil
  } catch {
    return (error as? LatchkeyError)?.code
  }
}

extension ClientEnvironment {
  /// Random bits for which every jitter is 100 %.
  static let evenBits: UInt64 = 1_060

  static func testing(
    time: any TimeSource, versions: [any WireVersion.Type] = [V1.self]
  ) -> ClientEnvironment {
    ClientEnvironment(
      time: time, randomBits: { evenBits }, versions: versions,
      group: MultiThreadedEventLoopGroup.singleton)
  }
}

extension LatchkeyClient {
  /// A client of fake servers, in manual time where given.
  static func testing(
    _ servers: [FakeServer] = [], time: (any TimeSource)? = nil,
    versions: [any WireVersion.Type] = [V1.self],
    _ configure: (inout Configuration) -> Void = { _ in }
  ) -> LatchkeyClient {
    var configuration = Configuration(endpoints: servers.map(\.endpoint))
    if time == nil {
      // The machine may be busy with other tests.
      configuration.requestTimeout = .seconds(60)
      configuration.connectTimeout = .seconds(60)
    }
    configure(&configuration)
    var environment = ClientEnvironment.live
    if let time { environment = .testing(time: time) }
    environment.versions = versions
    return LatchkeyClient(configuration, environment: environment)
  }
}

extension LatchkeyClient {
  /// What the driver of its connections says at the moment, on its event loop.
  func ask<Answer: Sendable>(
    _ question: @escaping @Sendable (LinkDriver) -> Answer
  ) async -> Answer {
    await withCheckedContinuation { continuation in
      link.withDriver { continuation.resume(returning: question($0)) }
    }
  }

  /// Whether the server of a connection has said anything.
  var hasHeardOfAPeer: Bool {
    get async { await ask { $0.connections.values.contains { $0.watch.hasSpoken } } }
  }

  /// Whether nothing is awaited but answers to calls, and time: no name, no connection, no first word of a server, and
  /// no answer to a PING.
  var isSettled: Bool {
    get async {
      await ask { driver in
        let isReaching = driver.state.phase == .resolving || driver.state.phase == .connecting
        return !isReaching
          && driver.connections.values.allSatisfy {
            $0.watch.hasSpoken && $0.watch.pingedAt == nil
          }
      }
    }
  }
}
