package import LockCore

/// Finds runs that are over: their rows would be read again and again by all who look what has changed.
///
/// A run that lives changes its row as often as its server renews its presence. Who was only suspended, however
/// long, begins a new run.
package struct RunWatch: Sendable {
  static let silenceNanosecondsMax: Int64 = 600_000_000_000

  private var seen: [Int64: (changes: Int64, since: MonotonicTime)] = [:]
  private var dead: [Int64: Int64] = [:]

  package init() {}

  /// - Parameter changes: Of each run that there is.
  package mutating func saw(_ changes: [Int64: Int64], at now: MonotonicTime) {
    seen = changes.reduce(into: [:]) { all, run in
      let known = seen[run.key]
      let since = known?.changes == run.value ? known!.since : now
      all[run.key] = (run.value, since)
      if now - since >= Self.silenceNanosecondsMax { dead[run.key] = run.value }
    }
  }

  /// Those to be taken away, with what they have changed, where they have not changed anything since.
  package mutating func takeDead() -> [(run: Int64, changes: Int64)] {
    defer { dead = [:] }
    return dead.map { (run: $0.key, changes: $0.value) }
  }
}
