import NIOCore

/// When the requests of a load with a rate are due: evenly, whatever the answers take.
struct Pace {
  private let nanosecondsPerRequest: Double
  private var start = NIODeadline.uptimeNanoseconds(0)
  private var taken = 0

  init(perSecond: Double) { nanosecondsPerRequest = 1e9 / perSecond }

  /// The first request is due then.
  mutating func begin(at now: NIODeadline) {
    start = now
    taken = 0
  }

  /// When the next request was due; nil where it is not yet.
  mutating func take(at now: NIODeadline) -> NIODeadline? {
    let due = start + .nanoseconds(Int64(Double(taken) * nanosecondsPerRequest))
    guard due <= now else { return nil }
    taken += 1
    return due
  }
}
