import LockCore
import Exclusion

/// Which damaged rows were told of: each once an hour, however often it is met.
final class DamageReports: Sendable {
  /// Rows that are told of within an hour; further ones are only counted.
  static let rowsMax = 256
  static let intervalNanoseconds: Int64 = 3_600_000_000_000

  private struct Report {
    var told: MonotonicTime
    var untold = 0
  }

  private let reports = Mutex<[String: Report]>([:])

  /// Notes that `damage` was met.
  ///
  /// - Returns: How often it was met since it was last told; nil where it is not to be told now.
  func note(_ damage: String, at now: MonotonicTime) -> Int? {
    reports.withLock { reports in
      if var report = reports[damage] {
        guard now - report.told >= Self.intervalNanoseconds else {
          report.untold += 1
          reports[damage] = report
          return nil
        }
        reports[damage] = Report(told: now)
        return report.untold
      }
      if reports.count >= Self.rowsMax {
        // Room is made only by those of which it is time to be told again.
        reports = reports.filter { now - $0.value.told < Self.intervalNanoseconds }
        guard reports.count < Self.rowsMax else { return nil }
      }
      reports[damage] = Report(told: now)
      return 0
    }
  }
}
