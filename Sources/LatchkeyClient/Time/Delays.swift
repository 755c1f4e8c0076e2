/// Pauses that double from one to the next, within a range.
struct DoublingDelay: Sendable {
  private let range: LatchkeyClient.DelayRange
  private var next: Duration

  init(_ range: LatchkeyClient.DelayRange) {
    self.range = range
    next = range.min
  }

  /// The next pause, jittered with `randomBits`.
  mutating func take(randomBits: UInt64) -> Duration {
    defer { next = min(next * 2, range.max) }
    return next.jittered(percent: 50...150, randomBits: randomBits)
  }

  mutating func reset() { next = range.min }
}

extension Duration {
  /// This duration times a random factor.
  func jittered(percent: ClosedRange<Int>, randomBits: UInt64) -> Duration {
    self * (percent.lowerBound + Int(randomBits % UInt64(percent.count))) / 100
  }

  /// In whole milliseconds, rounded down.
  var milliseconds: Int64 {
    components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000
  }
}
