import CoreMetrics
import Metrics
import WireSchema

/// The metrics of one method in one wire version. Each code's counter is made when it is first
/// needed, so that nothing is looked up by name for a request.
///
/// Belongs to one event loop; the counters behind it are shared.
final class MethodMetrics {
  private let dimensions: [(String, String)]
  private let factory: any MetricsFactory
  private let duration: Metrics.Timer
  private lazy var granted = waits("granted")
  private lazy var ended = waits("ended")
  private let ok: Counter
  private var errors: [RPCError.Code: Counter] = [:]

  init(_ name: String, wire: UInt32, factory: any MetricsFactory) {
    self.factory = factory
    dimensions = [("method", name), ("wire", "\(wire)")]
    duration = Metrics.Timer(
      label: "latchkey_request_duration_seconds", dimensions: dimensions, factory: factory)
    ok = Counter(
      label: "latchkey_requests_total", dimensions: dimensions + [("code", "ok")],
      factory: factory)
  }

  /// - Parameters:
  ///   - code: Nil for success.
  ///   - mayWait: Whether the request asked to wait until the resource is free. How long that took
  ///     says nothing of the server, so it has a histogram of its own.
  func answered(_ code: RPCError.Code?, nanoseconds: Int64, mayWait: Bool = false) {
    if mayWait {
      (code == nil ? granted : ended).recordNanoseconds(nanoseconds)
    } else {
      duration.recordNanoseconds(nanoseconds)
    }
    guard let code else { return ok.increment() }
    if let known = errors[code] { return known.increment() }
    let new = Counter(
      label: "latchkey_requests_total", dimensions: dimensions + [("code", code.rawValue)],
      factory: factory)
    errors[code] = new
    new.increment()
  }

  private func waits(_ outcome: String) -> Metrics.Timer {
    Metrics.Timer(
      label: ServerMetrics.waitDuration, dimensions: [("outcome", outcome)], factory: factory)
  }
}
