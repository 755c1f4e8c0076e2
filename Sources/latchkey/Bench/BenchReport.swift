import LatchkeyClient
import WireSchema

/// What `latchkey bench` prints.
struct BenchReport {
  var run: LoadRun
  var outcome: LoadRun.Outcome

  private static let quantiles: [(name: String, heading: String, quantile: Double)] = [
    ("p50", "P50", 0.5), ("p90", "P90", 0.9), ("p99", "P99", 0.99), ("p999", "P99.9", 0.999),
  ]

  private var seconds: Double { outcome.elapsed / .seconds(1) }

  /// Only what occurred, and the total.
  private var rows: [(name: String, record: OperationRecord)] {
    let operations = Operation.allCases.map { ($0.name, outcome.record[$0]) }
    return operations.filter { $0.1.latency.count > 0 || $0.1.errorCount > 0 }
      + [("total", outcome.record.total)]
  }

  func print() {
    let workload = run.workload
    let threads = run.settings.threads
    StandardOutput.line(
      "\(count(workload.connections, "connection")) of \(count(workload.streams, "stream")), "
        + "\(count(threads, "thread")), \(count(workload.keys, "key")), "
        + "mix \(workload.mix.defaultValueDescription), seed \(workload.seed), "
        + "wire v\(workload.wire.number)"
        + (workload.rate.map { ", \(grouped(Int($0))) requests/s" } ?? ""))
    StandardOutput.line(
      "measured \(decimal(seconds, digits: 2)) s"
        + (outcome.wasInterrupted ? " (interrupted)" : "") + "\n")
    table.print()
    for (name, record) in rows where name != "total" {
      for (code, number) in record.errors.sorted(by: { $0.key < $1.key }) {
        StandardOutput.line("\(name): \(grouped(number)) × \(code)")
      }
    }
    StandardOutput.line(
      "\nlatency of successful answers; percentiles are up to "
        + "\(decimal(LatencyHistogram.relativeErrorMax * 100, digits: 1)) % too high")
    if outcome.heldKeys > 0 {
      StandardOutput.line("\(count(outcome.heldKeys, "key")) stay claimed until their leases end")
    }
  }

  private var table: Table {
    let numbers =
      ["OK", "ERRORS", "OK/S", "MIN", "MEAN"] + Self.quantiles.map(\.heading) + ["MAX"]
    var table = Table([("OPERATION", .left)] + numbers.map { ($0, .right) })
    for (name, record) in rows {
      let latency = record.latency
      table.append(
        [
          name, grouped(latency.count), grouped(record.errorCount),
          grouped(Int(Double(latency.count) / seconds)),
          time(latency.minNanoseconds), time(latency.meanNanoseconds),
        ] + Self.quantiles.map { time(latency.nanoseconds(atQuantile: $0.quantile)) }
          + [time(latency.maxNanoseconds)])
    }
    return table
  }

  private func count(_ number: Int, _ thing: String) -> String {
    "\(grouped(number)) \(thing)\(number == 1 ? "" : "s")"
  }

  private func time(_ nanoseconds: UInt64?) -> String { time(nanoseconds.map { Double($0) }) }

  private func time(_ nanoseconds: Double?) -> String {
    nanoseconds.map { shortTime(nanoseconds: $0) } ?? "-"
  }

  /// Field names are an interface: they are only ever added to.
  var json: JSON {
    let workload = run.workload
    return .members(
      ("software", .text(Release.version)),
      (
        "workload",
        .members(
          ("endpoints", .list(run.endpoints.map { .text("\($0)") })),
          ("connections", .integer(workload.connections)), ("streams", .integer(workload.streams)),
          ("threads", .integer(run.settings.threads)), ("keys", .integer(workload.keys)),
          (
            "mix",
            .members(
              ("claim", .integer(workload.mix.turnover)), ("renew", .integer(workload.mix.renew)),
              ("release", .integer(workload.mix.turnover)), ("fetch", .integer(workload.mix.fetch)))
          ),
          ("ratePerSecond", .number(workload.rate)),
          ("ttlSeconds", .integer(workload.leaseSeconds)),
          ("valueBytes", .integer(workload.value.utf8.count)),
          // As text: it may be larger than what readers of JSON keep exactly.
          ("seed", .text("\(workload.seed)")), ("wire", .integer(workload.wire.number)))
      ),
      ("seconds", .number(seconds)),
      ("interrupted", .bool(outcome.wasInterrupted)),
      (
        "operations",
        .object(rows.filter { $0.name != "total" }.map { JSON.Member($0.name, json($0.record)) })
      ),
      ("total", json(outcome.record.total)),
      ("percentileRelativeErrorMax", .number(LatencyHistogram.relativeErrorMax)),
      ("keysLeft", .integer(outcome.heldKeys)))
  }

  private func json(_ record: OperationRecord) -> JSON {
    let latency = record.latency
    let errors = record.errors.sorted { $0.key < $1.key }
    let quantiles = Self.quantiles.map {
      JSON.Member($0.name, microseconds(latency.nanoseconds(atQuantile: $0.quantile)))
    }
    return .members(
      ("succeeded", .integer(latency.count)),
      ("failed", .integer(record.errorCount)),
      ("errors", .object(errors.map { JSON.Member($0.key, .integer($0.value)) })),
      ("succeededPerSecond", .number(Double(latency.count) / seconds)),
      (
        "latencyMicroseconds",
        .object(
          [
            JSON.Member("min", microseconds(latency.minNanoseconds)),
            JSON.Member("mean", .number(latency.meanNanoseconds.map { $0 / 1_000 })),
          ] + quantiles + [JSON.Member("max", microseconds(latency.maxNanoseconds))])
      ))
  }

  private func microseconds(_ nanoseconds: UInt64?) -> JSON {
    .number(nanoseconds.map { Double($0) / 1_000 })
  }
}
