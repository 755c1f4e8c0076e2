/// The pauses of a transaction that is decided anew each time that others were faster: at random, so that
/// servers which want the same do not keep meeting, and twice as long each time, up to a bound: somebody waits.
struct ConflictPauses {
  private(set) var count = 0

  /// - Returns: In nanoseconds; nil where it was tried often enough.
  mutating func next(_ limits: StoreLimits) -> Int64? {
    guard count < limits.conflictsMax else { return nil }
    defer { count += 1 }
    let longest = min(
      limits.conflictPauseNanoseconds << min(count, 30), limits.conflictPauseNanosecondsMax)
    return Int64.random(in: 0...longest)
  }
}
