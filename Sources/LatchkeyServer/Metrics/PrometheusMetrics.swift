import CoreMetrics
import Exclusion
import struct Synchronization.Atomic

/// A metric that can write itself in Prometheus' text format.
protocol PrometheusMetric: AnyObject, Sendable {
  var type: String { get }
  func write(name: String, labels: String, to text: inout String)
}

private func sample(_ name: String, _ labels: String, _ value: String) -> String {
  labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels)} \(value)\n"
}

final class PrometheusCounter: PrometheusMetric, CounterHandler {
  private let value = Atomic<Int64>(0)

  var type: String { "counter" }
  func increment(by amount: Int64) { value.wrappingAdd(amount, ordering: .relaxed) }
  func reset() { value.store(0, ordering: .relaxed) }

  func write(name: String, labels: String, to text: inout String) {
    text += sample(name, labels, String(value.load(ordering: .relaxed)))
  }
}

/// A number with a fraction; as a counter, one that only rises.
final class PrometheusGauge: PrometheusMetric, MeterHandler, RecorderHandler,
  FloatingPointCounterHandler
{
  private let bits = Atomic<UInt64>(0)
  let type: String

  init(type: String = "gauge") { self.type = type }

  func reset() { set(0.0) }
  func set(_ value: Int64) { set(Double(value)) }
  func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
  func record(_ value: Int64) { set(Double(value)) }
  func record(_ value: Double) { set(value) }
  func increment(by amount: Double) { change(by: amount) }
  func decrement(by amount: Double) { change(by: -amount) }

  private func change(by amount: Double) {
    var known = bits.load(ordering: .relaxed)
    while true {
      let next = (Double(bitPattern: known) + amount).bitPattern
      let (isDone, now) = bits.compareExchange(expected: known, desired: next, ordering: .relaxed)
      if isDone { return }
      known = now
    }
  }

  func write(name: String, labels: String, to text: inout String) {
    text += sample(name, labels, number(Double(bitPattern: bits.load(ordering: .relaxed))))
  }
}

/// A histogram with fixed bounds. Values are whole numbers of a small unit, written in a larger one.
final class PrometheusHistogram: PrometheusMetric, TimerHandler, RecorderHandler {
  private struct Counts {
    /// One more than there are bounds: the last is for what is beyond them.
    var buckets: [Int64]
    var sum: Int64 = 0
  }

  private let bounds: [Double]
  private let unit: Double
  private let limits: [Int64]
  private let counts: Mutex<Counts>

  /// - Parameters:
  ///   - bounds: Upper bounds as they are written, ascending.
  ///   - unit: How many of the recorded unit make one of the written.
  init(bounds: [Double], unit: Double) {
    self.bounds = bounds
    self.unit = unit
    limits = bounds.map { Int64(($0 * unit).rounded()) }
    counts = Mutex(Counts(buckets: Array(repeating: 0, count: bounds.count + 1)))
  }

  var type: String { "histogram" }
  func recordNanoseconds(_ duration: Int64) { record(duration) }
  func record(_ value: Double) { record(Int64(value)) }

  func record(_ value: Int64) {
    let bucket = limits.firstIndex { value <= $0 } ?? limits.count
    counts.withLock { counts in
      counts.buckets[bucket] += 1
      counts.sum &+= value
    }
  }

  func write(name: String, labels: String, to text: inout String) {
    let counts = counts.withLock { $0 }
    let separator = labels.isEmpty ? "" : ","
    var total: Int64 = 0
    for (count, bound) in zip(counts.buckets, bounds.map(number) + ["+Inf"]) {
      total += count
      text += sample("\(name)_bucket", "\(labels)\(separator)le=\"\(bound)\"", String(total))
    }
    text += sample("\(name)_sum", labels, number(Double(counts.sum) / unit))
    text += sample("\(name)_count", labels, String(total))
  }
}

/// A whole number without a fraction, anything else as Swift writes it.
private func number(_ value: Double) -> String {
  value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
}
