import CoreMetrics
import Glibc
import Logging
import NIOCore
import Synchronization
import Testing

@testable import LatchkeyServer

@Suite struct ConnectionFailureTests {
  private struct Fault: Error {}

  @Test func eachReasonIsCountedAndSaid() {
    let lines = Lines()
    let registry = PrometheusRegistry(help: ServerMetrics.help)
    let failures = ConnectionFailures(
      factory: registry,
      logger: Logger(label: "test") { _ in LinesHandler(lines: lines, logLevel: .trace) })
    for _ in 0..<3 {
      failures.note(.error(Fault()), peer: nil)
      failures.note(.error(IOError(errnoCode: ECONNRESET, reason: "read")), peer: nil)
      failures.note(.error(ChannelError.ioOnClosedChannel), peer: nil)
      failures.note(.foreign(.tls), peer: nil)
      failures.note(.foreign(.proxy), peer: nil)
      failures.note(.accept, error: IOError(errnoCode: EMFILE, reason: "accept"))
    }
    let text = registry.text()
    for (reason, count) in [("setup", 3), ("io", 6), ("tls", 3), ("proxy", 3), ("accept", 3)] {
      #expect(text.contains("latchkey_connections_failed_total{reason=\"\(reason)\"} \(count)\n"))
    }
    let written = lines.written.withLock { $0 }
    #expect(written.count == 5, "\(written)")
    #expect(written.contains { $0.hasPrefix("error a connection could not be set up") })
    #expect(written.contains { $0.hasPrefix("info a connection failed before its first request") })
  }
}
