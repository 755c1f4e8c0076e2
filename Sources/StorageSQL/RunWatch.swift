package import LockCore

/// Finds runs that are over: their rows would be read again and again by all who look what has changed.
///
/// A run that lives commits as often as its server renews its presence, or every few minutes where it is the upkeep's
/// (``Caretaker``); others change its row as well. Who was only suspended, however long, begins a new run.
package struct RunWatch: Sendable {
  static let silenceNanosecondsMax: Int64 = 600_000_000_000

  package typealias Counts = (changes: Int64, commits: Int64)

  private var seen: [Int64: (commits: Int64, since: MonotonicTime)] = [:]
  private var dead: [Int64: Int64] = [:]

  package init() {}

  /// - Parameter counts: Of each run that there is.
  package mutating func saw(_ counts: [Int64: Counts], at now: MonotonicTime) {
    seen = counts.reduce(into: [:]) { all, run in
      let known = seen[run.key]
      let since = known?.commits == run.value.commits ? known!.since : now
      all[run.key] = (run.value.commits, since)
      if now - since >= Self.silenceNanosecondsMax { dead[run.key] = run.value.changes }
    }
  }

  /// Some of those to be taken away, with what they have changed, where they have not changed anything since.
  package mutating func takeDead(max: Int) -> [(run: Int64, changes: Int64)] {
    let some = dead.prefix(max).map { (run: $0.key, changes: $0.value) }
    for (run, _) in some { dead[run] = nil }
    return some
  }
}
