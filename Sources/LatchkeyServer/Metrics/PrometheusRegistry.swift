package import CoreMetrics
import Exclusion

/// Keeps what is reported through swift-metrics and writes it in Prometheus' text format.
///
/// Labels are taken as they are, so they must be valid metric names. A timer becomes a histogram in
/// seconds, an aggregating recorder a histogram of counts, any other recorder or meter a gauge.
///
/// Source: Prometheus, "Text-based format", version 0.0.4.
package final class PrometheusRegistry: MetricsFactory {
  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  /// Upper bounds in seconds: from the fastest answer to the longest wait for a locked store.
  private static let secondsBounds: [Double] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
    10,
  ]
  private static let countBounds: [Double] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048]

  private struct Series: Hashable {
    var name: String
    /// As it stands between braces; empty where there are no dimensions.
    var labels: String
  }

  private let help: [String: String]
  private let series = Mutex<[Series: any PrometheusMetric]>([:])

  private let timerBounds: [String: [Double]]

  /// - Parameters:
  ///   - help: What each metric means, by name.
  ///   - timerBounds: Upper bounds in seconds of the timers that have others than most, by name.
  package init(help: [String: String], timerBounds: [String: [Double]] = [:]) {
    self.help = help
    self.timerBounds = timerBounds
  }

  private func metric<M: PrometheusMetric>(
    _ name: String, _ dimensions: [(String, String)], _ make: () -> M
  ) -> M {
    let labels = dimensions.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",")
    let key = Series(name: name, labels: labels)
    return series.withLock { series in
      if let known = series[key] {
        guard let same = known as? M else {
          preconditionFailure("metric \(name) is used as two types")
        }
        return same
      }
      let new = make()
      series[key] = new
      return new
    }
  }

  private static func escaped(_ value: String) -> String {
    var escaped = ""
    // By scalars: "\r\n" is one character.
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": escaped += "\\\\"
      case "\"": escaped += "\\\""
      case "\n": escaped += "\\n"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }

  package func makeCounter(
    label: String, dimensions: [(String, String)]
  ) -> any CounterHandler {
    metric(label, dimensions) { PrometheusCounter() }
  }

  package func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler {
    metric(label, dimensions) { PrometheusGauge(type: "counter") }
  }

  package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    metric(label, dimensions) { PrometheusGauge() }
  }

  package func makeRecorder(
    label: String, dimensions: [(String, String)], aggregate: Bool
  ) -> any RecorderHandler {
    if aggregate {
      metric(label, dimensions) { PrometheusHistogram(bounds: Self.countBounds, unit: 1) }
    } else {
      metric(label, dimensions) { PrometheusGauge() }
    }
  }

  package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    metric(label, dimensions) {
      PrometheusHistogram(
        bounds: timerBounds[label] ?? Self.secondsBounds, unit: 1_000_000_000)
    }
  }

  // Nothing that this server reports ends before it does.
  package func destroyCounter(_: any CounterHandler) {}
  package func destroyFloatingPointCounter(_: any FloatingPointCounterHandler) {}
  package func destroyMeter(_: any MeterHandler) {}
  package func destroyRecorder(_: any RecorderHandler) {}
  package func destroyTimer(_: any TimerHandler) {}

  /// All metrics as text, sorted by name.
  package func text() -> String {
    let all = series.withLock { series in
      series.sorted { ($0.key.name, $0.key.labels) < ($1.key.name, $1.key.labels) }
    }
    var text = ""
    var latestName = ""
    for (key, metric) in all {
      if key.name != latestName {
        latestName = key.name
        if let help = help[key.name] { text += "# HELP \(key.name) \(help)\n" }
        text += "# TYPE \(key.name) \(metric.type)\n"
      }
      metric.write(name: key.name, labels: key.labels, to: &text)
    }
    return text
  }
}
