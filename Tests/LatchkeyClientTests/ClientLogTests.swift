import Dispatch
import Logging
import WireSchema
import Synchronization
import Testing

@testable import LatchkeyClient

/// A logger that blocks, as one does that writes to a pipe which nobody reads.
@Suite(.timeLimit(.minutes(2)))
struct ClientLogTests {
  /// Blocks at its first line until it is let go on.
  private final class BlockedLog: Sendable {
    let recorder = LogRecorder()
    let isBlocked = Shared(false)
    private let gate = DispatchSemaphore(value: 0)

    var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

    func goOn() { gate.signal() }

    private struct Handler: LogHandler {
      let log: BlockedLog
      var logLevel = Logger.Level.notice
      var metadata: Logger.Metadata = [:]

      subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
      }

      func log(event: LogEvent) {
        if !log.isBlocked.now {
          log.isBlocked.set(true)
          log.gate.wait()
        }
        log.recorder.logger.log(
          level: event.level, event.message, metadata: event.metadata)
      }
    }
  }

  @Test func linesThatAreTooManyAreCountedInTheNext() async throws {
    let blocked = BlockedLog()
    let log = ClientLog(blocked.logger)
    let done = Shared(0)
    log(.debug, "not of interest")
    let countMax = ClientLimits.logLinesMax
    for number in 1...countMax + 3 {
      log(.notice, "\(number)", alsoDo: { done.change { $0 += 1 } })
    }
    try await until { blocked.isBlocked.now }
    blocked.goOn()
    await flushed(log)
    log(.debug, "not of interest", alsoDo: { done.change { $0 += 1 } })
    log(.warning, "after", ["key": "a"])
    await flushed(log)
    let notices = blocked.recorder.lines(.notice)
    #expect(notices.map(\.message) == (1...countMax).map { "\($0)" })
    #expect(notices.allSatisfy { $0.metadata.isEmpty })
    #expect(done.now == countMax + 1)
    let after = LogRecorder.Line(
      level: .warning, message: "after", metadata: ["key": "a", "dropped": "3"])
    #expect(blocked.recorder.lines(.warning) == [after])
  }

  /// The first renewal fails, and the logger blocks: the lease is kept, and in the end its loss is
  /// noticed in time.
  @Test func leasesAreKeptWhileTheLoggerBlocks() async throws {
    let blocked = BlockedLog()
    let scene = try await Scene { $0.logger = blocked.logger }
    let holder = Holder(scene, lease: .seconds(15))
    let grant = try await holder.granted()
    let locks = scene.locks
    scene.server.change {
      $0.method == "Renew"
        ? .error(RPCError(.resourceExhausted, "queue full")) : locks.answer($0)
    }
    await scene.time.untilPlanned(at: .seconds(5))
    try await scene.advance(to: .seconds(5))
    try await until { blocked.isBlocked.now }
    scene.server.change { locks.answer($0) }
    try await scene.advance(to: .seconds(60))
    #expect(!grant.isLost)
    try await until { grant.remaining >= .seconds(9) }
    scene.server.change { $0.method == "Renew" ? .silence : locks.answer($0) }
    try await scene.advance(to: .seconds(80))
    #expect(grant.isLost)
    #expect(await holder.task.value == .leaseLost)
    #expect(blocked.recorder.lines(.warning, .error).isEmpty)
    blocked.goOn()
    await scene.client.untilSaid()
    #expect(blocked.recorder.lines(.error).map(\.message) == ["a lease was lost"])
    try await scene.end()
  }

  /// In real time, half a second of it.
  @Test func aLoggerThatBlocksDoesNotHoldUpTheEnd() async throws {
    let blocked = BlockedLog()
    let locks = FakeLocks()
    let server = try await FakeServer { locks.answer($0) }
    let client = LatchkeyClient.testing([server]) { $0.logger = blocked.logger }
    _ = try await client.fetch("a")
    client.log(.notice, "anything")
    await client.shutdown()
    #expect(blocked.recorder.lines(.notice).isEmpty)
    blocked.goOn()
    try await server.stop()
  }

  private func flushed(_ log: ClientLog) async {
    await withCheckedContinuation { continuation in log.flush { continuation.resume() } }
  }
}
