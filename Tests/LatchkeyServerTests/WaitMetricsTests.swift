import Testing

@testable import LatchkeyServer

/// How long others held a lock says nothing of how fast the server is.
@Suite struct WaitMetricsTests {
  @Test func waitsHaveAHistogramOfTheirOwn() {
    let registry = PrometheusRegistry(
      help: ServerMetrics.help, timerBounds: ServerMetrics.timerBounds)
    let method = MethodMetrics("Acquire", wire: 3, factory: registry)
    method.answered(nil, nanoseconds: 2_000_000)
    method.answered(nil, nanoseconds: 1_000_000_000_000, mayWait: true)
    method.answered(.alreadyExists, nanoseconds: 3_600_000_000_000, mayWait: true)
    let lines = registry.text().split(separator: "\n").map { String($0) }
    let request = "latchkey_request_duration_seconds"
    #expect(lines.contains { $0.hasPrefix("\(request)_count{") && $0.hasSuffix(" 1") })
    let wait = "latchkey_wait_duration_seconds"
    for expected in [
      "\(wait)_bucket{outcome=\"granted\",le=\"600\"} 0",
      "\(wait)_bucket{outcome=\"granted\",le=\"1200\"} 1",
      "\(wait)_count{outcome=\"granted\"} 1",
      "\(wait)_bucket{outcome=\"ended\",le=\"1800\"} 0",
      "\(wait)_bucket{outcome=\"ended\",le=\"3600\"} 1",
    ] { #expect(lines.contains(expected), "\(expected) is not in \(lines)") }
    #expect(lines.contains { $0.hasPrefix("# HELP \(wait) ") })
    let total = lines.filter { $0.hasPrefix("latchkey_requests_total{") }
    #expect(total.count == 2)
  }
}
