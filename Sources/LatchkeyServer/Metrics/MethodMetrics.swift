import CoreMetrics
import Metrics
import RPC

/// The metrics of one method in one wire version. Each code's counter is made when it is first
/// needed, so that nothing is looked up by name for a request.
///
/// Belongs to one event loop; the counters behind it are shared.
final class MethodMetrics {
  private let dimensions: [(String, String)]
  private let factory: any MetricsFactory
  private let duration: Metrics.Timer
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

  /// - Parameter code: Nil for success.
  func answered(_ code: RPCError.Code?, nanoseconds: Int64) {
    duration.recordNanoseconds(nanoseconds)
    guard let code else { return ok.increment() }
    if let known = errors[code] { return known.increment() }
    let new = Counter(
      label: "latchkey_requests_total", dimensions: dimensions + [("code", code.rawValue)],
      factory: factory)
    errors[code] = new
    new.increment()
  }
}
