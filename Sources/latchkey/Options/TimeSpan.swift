import ArgumentParser

/// A length of time as people write it: "500ms", "15s", "2m", "1h", or a plain number of seconds,
/// each with a fraction if need be ("1.5h").
struct TimeSpan: ExpressibleByArgument, Equatable, Sendable {
  /// 365 days, as for leases.
  static let max = Duration.seconds(31_536_000)

  let duration: Duration

  init(_ duration: Duration) { self.duration = duration }

  init?(argument: String) {
    let number = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard let unit = Self.units[String(argument.dropFirst(number.count))],
      let duration = Self.multiply(unit, by: number), duration <= Self.max
    else { return nil }
    self.duration = duration
  }

  /// In nanoseconds.
  private static let units: [String: Int64] = [
    "ms": 1_000_000, "": 1_000_000_000, "s": 1_000_000_000, "m": 60_000_000_000,
    "h": 3_600_000_000_000,
  ]

  /// Digits of a fraction. With more, a fraction of an hour would not fit into 64 bits.
  private static let fractionDigitsMax = 6

  private static func multiply(_ unit: Int64, by number: Substring) -> Duration? {
    let parts = number.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, let whole = Int64(first) else { return nil }
    let (nanoseconds, overflow) = whole.multipliedReportingOverflow(by: unit)
    guard !overflow else { return nil }
    guard parts.count == 2 else { return .nanoseconds(nanoseconds) }
    guard parts[1].count <= fractionDigitsMax, let fraction = Int64(parts[1]) else { return nil }
    let scale = (0..<parts[1].count).reduce(Int64(1)) { scale, _ in scale * 10 }
    return .nanoseconds(nanoseconds) + .nanoseconds(unit * fraction / scale)
  }

  /// The way it is written, in the largest unit that needs no fraction.
  var defaultValueDescription: String {
    let (seconds, attoseconds) = duration.components
    if attoseconds != 0 {
      let milliseconds = seconds * 1_000 + attoseconds / 1_000_000_000_000_000
      return "\(milliseconds)ms"
    }
    if seconds != 0 && seconds % 3_600 == 0 { return "\(seconds / 3_600)h" }
    if seconds != 0 && seconds % 60 == 0 { return "\(seconds / 60)m" }
    return "\(seconds)s"
  }
}

/// How long to wait for a lock.
enum WaitLimit: ExpressibleByArgument, Equatable, Sendable {
  case forever
  case span(Duration)

  init?(argument: String) {
    if argument == "forever" {
      self = .forever
    } else if let span = TimeSpan(argument: argument) {
      self = .span(span.duration)
    } else {
      return nil
    }
  }

  var defaultValueDescription: String {
    switch self {
    case .forever: "forever"
    case .span(let span): TimeSpan(span).defaultValueDescription
    }
  }
}
