/// The pauses of a transaction that is decided anew each time that others were faster: at random, so that
/// servers which want the same do not keep meeting, and short ones: who has lost often shall not lose more often for
/// that (``CommitPacer``).
struct ConflictPauses {
  private(set) var count = 0

  /// - Returns: In nanoseconds; nil where it was tried often enough.
  mutating func next(_ limits: StoreLimits) -> Int64? {
    guard count < limits.conflictsMax else { return nil }
    count += 1
    return .random(in: 0...limits.conflictPauseNanosecondsMax)
  }
}
