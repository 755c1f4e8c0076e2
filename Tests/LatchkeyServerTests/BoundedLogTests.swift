import LatchkeyServer
import Logging
import NIOCore
import Exclusion
import struct Synchronization.Atomic
import Testing

@Suite struct BoundedLogTests {
  @Test func oneLineInAnIntervalSaysHowManyWereLeftOut() {
    let lines = Lines()
    let seconds = Atomic<UInt64>(1)
    let log = BoundedLog(
      Logger(label: "test") { _ in LinesHandler(lines: lines) }, every: .seconds(60)
    ) {
      .uptimeNanoseconds(seconds.load(ordering: .relaxed) * 1_000_000_000)
    }
    for second in [1, 1, 30, 60, 61, 62, 200, 260] as [UInt64] {
      seconds.store(second, ordering: .relaxed)
      log.log(.warning, "at \(second)")
    }
    #expect(
      lines.written.withLock { $0 } == [
        "warning at 1", "warning at 61, left out 3", "warning at 200, left out 1",
        "warning at 260",
      ])
  }

  @Test func whatIsBelowTheLevelTakesNoLineAway() {
    let lines = Lines()
    let log = BoundedLog(Logger(label: "test") { _ in LinesHandler(lines: lines) }) {
      .uptimeNanoseconds(0)
    }
    log.log(.debug, "quiet")
    log.log(.error, "loud")
    #expect(lines.written.withLock { $0 } == ["error loud"])
  }
}

/// Log lines as a test reads them.
final class Lines: Sendable {
  let written = Mutex<[String]>([])
}

struct LinesHandler: LogHandler {
  let lines: Lines
  var logLevel = Logger.Level.notice
  var metadata: Logger.Metadata = [:]

  func log(event: LogEvent) {
    let leftOut = event.metadata?["left_out"].map { ", left out \($0)" } ?? ""
    lines.written.withLock { $0.append("\(event.level) \(event.message)\(leftOut)") }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }
}
