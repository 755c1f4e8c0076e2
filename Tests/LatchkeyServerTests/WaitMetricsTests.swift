import TestKit
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

  /// What the running program counts where.
  @Test func whatAsksToWaitCountsAsAWait() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    for (owner, wait, status) in [("a", "600s", 200), ("b", "0.01s", 409), ("a", "0s", 200)] {
      let body = #"{"key":"k","owner":"\#(owner)","lease":"600s","wait":"\#(wait)"}"#
      let answer = try await HTTPVersion.http2.send(
        .json("Acquire", body, wire: 3), port: server.port)
      #expect(answer.status == status)
    }
    let metrics = try await HTTPVersion.http1.send(
      Call(method: "GET", path: "/metrics", headers: [], body: []), port: server.port)
    let lines = String(decoding: metrics.body, as: UTF8.self).split(separator: "\n")
    for expected in [
      #"latchkey_wait_duration_seconds_count{outcome="granted"} 1"#,
      #"latchkey_wait_duration_seconds_count{outcome="ended"} 1"#,
      #"latchkey_request_duration_seconds_count{method="Acquire",wire="3"} 1"#,
    ] { #expect(lines.contains { $0 == expected }, "\(expected) is not in \(lines)") }
    try await server.end()
  }
}
