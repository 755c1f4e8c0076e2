/// Latencies in buckets whose width grows with the value, as in HdrHistogram (Gil Tene): a fixed
/// amount of memory, and a bound on the relative error of every percentile.
struct LatencyHistogram: Equatable, Sendable {
  /// Each power of two is divided into this many buckets (as a power of two).
  private static let divisionBits = 7
  private static let division = 1 << divisionBits
  /// Latencies from 2^37 ns (137 s) on share the last bucket.
  private static let valueBits = 37
  private static let bucketCount = (valueBits - divisionBits + 1) * division

  /// A percentile is at most this much above the true value, as a part of it.
  static let relativeErrorMax = 1.0 / Double(division)

  /// 8 bytes each, 32 KB in all.
  private var counts = [UInt64](repeating: 0, count: bucketCount)
  private(set) var count: UInt64 = 0
  private var sum: UInt64 = 0
  private var smallest = UInt64.max
  private var largest: UInt64 = 0

  mutating func record(nanoseconds: Int64) {
    let value = UInt64(max(0, nanoseconds))
    counts[Self.bucket(of: value)] += 1
    count += 1
    sum &+= value
    smallest = Swift.min(smallest, value)
    largest = Swift.max(largest, value)
  }

  mutating func merge(_ other: LatencyHistogram) {
    for bucket in counts.indices { counts[bucket] += other.counts[bucket] }
    count += other.count
    sum &+= other.sum
    smallest = Swift.min(smallest, other.smallest)
    largest = Swift.max(largest, other.largest)
  }

  /// The extremes and the mean are exact; nil while nothing is recorded.
  var minNanoseconds: UInt64? { count == 0 ? nil : smallest }
  var maxNanoseconds: UInt64? { count == 0 ? nil : largest }
  var meanNanoseconds: Double? { count == 0 ? nil : Double(sum) / Double(count) }

  /// The smallest value that at least the part `quantile` (0...1) of all is not above, within
  /// ``relativeErrorMax``.
  func nanoseconds(atQuantile quantile: Double) -> UInt64? {
    guard count > 0 else { return nil }
    let rank = Swift.max(1, UInt64((quantile * Double(count)).rounded(.up)))
    var seen: UInt64 = 0
    for bucket in counts.indices {
      seen += counts[bucket]
      if seen >= rank { return Swift.min(Self.upperBound(of: bucket), largest) }
    }
    return largest
  }

  private static func bucket(of value: UInt64) -> Int {
    let value = Swift.min(value, (1 << UInt64(valueBits)) - 1)
    let shift = Swift.max(0, UInt64.bitWidth - value.leadingZeroBitCount - 1 - divisionBits)
    return shift * division + Int(value >> UInt64(shift))
  }

  /// The largest value in the bucket.
  private static func upperBound(of bucket: Int) -> UInt64 {
    let shift = Swift.max(0, bucket / division - 1)
    let first = UInt64(bucket - shift * division)
    return (first + 1) << UInt64(shift) - 1
  }
}
