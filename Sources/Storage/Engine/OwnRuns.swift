/// What a server has committed, in an engine whose database may go back in time: each of its writing
/// connections has a run, and the database counts how much each run has committed.
package struct OwnRuns: Sendable {
  private var runs: [WritingPurpose: (id: Int64, commits: Int64)] = [:]
  private var next: [WritingPurpose: Int64] = [:]
  /// Whether the database lacks some of it, and that is not accepted yet.
  package private(set) var isBehind = false

  /// What the database has of a run that it does not know, and less than whatever it has of one.
  package static let unknown = Int64.min

  package init() {}

  package var ids: [Int64] { runs.values.map(\.id) }

  /// The run before, if there was one.
  package func id(for purpose: WritingPurpose) -> Int64? { runs[purpose]?.id }

  /// The number of the next run: the same until it has begun, which may be found out only later.
  package mutating func nextID(for purpose: WritingPurpose) -> Int64 {
    let id = next[purpose] ?? .random(in: 1 ... .max)
    next[purpose] = id
    return id
  }

  /// With which ``StoreMeta/setbacks`` the next run is settled.
  ///
  /// - Parameter setbacks: As the database has them: a new server has nothing to put back. One that was there before
  ///   has lost its connection, and looks what is missing first.
  package func settled(for purpose: WritingPurpose, now setbacks: Int64) -> Int64 {
    guard purpose == .commands else { return RunState.exempt }
    return id(for: purpose) == nil ? setbacks : RunState.never
  }

  /// A new run begins.
  ///
  /// - Parameter formerCommits: What the database had of the run before; nil where that says nothing.
  package mutating func began(_ id: Int64, for purpose: WritingPurpose, formerCommits: Int64?) {
    if let former = runs[purpose], let formerCommits, formerCommits < former.commits {
      isBehind = true
    }
    runs[purpose] = (id, 0)
    next[purpose] = nil
  }

  /// - Parameter commits: What the database has of the run.
  /// - Returns: ``isBehind``.
  package mutating func saw(_ commits: Int64, for purpose: WritingPurpose) -> Bool {
    if let run = runs[purpose], commits < run.commits { isBehind = true }
    return isBehind
  }

  /// - Parameter commits: What the database has of the run now.
  package mutating func committed(_ commits: Int64, for purpose: WritingPurpose) {
    runs[purpose]?.commits = commits
  }

  /// Whatever the database has is what counts from now on, be it no run at all.
  package mutating func accept() {
    isBehind = false
    for purpose in runs.keys { runs[purpose]!.commits = Self.unknown }
  }

  /// Whether something is missing.
  ///
  /// - Parameter commits: What the database has of each run, looked up after this value was read.
  package func isMissingAny(in commits: [Int64: Int64]) -> Bool {
    isBehind || runs.values.contains { commits[$0.id] ?? Self.unknown < $0.commits }
  }
}
