import Storage

/// The rows of servers' runs, in stores whose servers do not wait for each other.
///
/// `latchkey_runs` has a row for each writing connection of a server, in the place of the one before:
///
/// | column | meaning |
/// |---|---|
/// | `run` | its number, at random: one that was given out by a database that went back in time does not come again |
/// | `changes` | how often its row was changed: by each of its own transactions, and by those that must not be done beside what others have only read, such as giving a shape up |
/// | `commits` | how many transactions of its own were done |
/// | `settled` | the `setbacks` since which the server has put back all that it knew: 0 for never, -1 where there never is anything to put back |
///
/// Whose row is not as it was when a transaction was decided does not commit: that is the fence. Where `commits`
/// are fewer than a server has committed, the database has gone back in time. A run that commits nothing for long
/// is taken away (``RunWatch``): who wakes up without one begins a new run.
///
/// `latchkey_changes` says which rows of `latchkey_resources` a transaction has changed:
///
/// | column | meaning |
/// |---|---|
/// | `run` | whose transaction it was |
/// | `change` | the run's `changes` after it |
/// | `ids` | the rows that it changed, but for those that it deleted |
///
/// Every transaction writes one, so by it a server learns whether that was done of which the answer was lost. It
/// keeps the latest ``changesKept`` of each run. In `latchkey_meta`, `admissions` is changed by whoever
/// comes in, begins an epoch, gives shapes up or changes `setbacks`. `setbacks`, `opened`, `setback_floor`,
/// `collected_token` and `history` are for a database that goes back in time (`Setback`); the last one is its own
/// number for its history, such as PostgreSQL's timeline.
package enum ServerRuns {
  package static let table = "latchkey_runs"
  package static let changesTable = "latchkey_changes"
  package static let admissions = "admissions"
  package static let changesKept: Int64 = 4_096
  /// So many are forgotten at a time.
  static let changesForgotten: Int64 = 64
  /// Who is further behind reads everything: what is asked for is not to be taken away meanwhile.
  package static let changesAskedMax = changesKept / 2

  /// Creates the table of runs.
  static func migration(_ dialect: SQLDialect) -> String {
    """
    CREATE TABLE IF NOT EXISTS \(table) (
      run BIGINT PRIMARY KEY,
      changes BIGINT NOT NULL,
      commits BIGINT NOT NULL,
      settled BIGINT NOT NULL
    )\(dialect.tableOptions)
    """
  }

  /// What has to be in `latchkey_meta`.
  ///
  /// - Parameter history: The database's own number for its history; nil where it has none.
  static func meta(_ dialect: SQLDialect, history: String?) -> [String] {
    let setback: [(StoreMeta.Name, String)] = [
      (.setbacks, "1"), (.opened, "1"), (.setbackFloor, "0"), (.collectedToken, "0"),
    ]
    let values =
      [(admissions, "0")] + setback.map { ($0.text, $1) }
      + (history.map { [(StoreMeta.Name.history.text, $0)] } ?? [])
    return values.map {
      dialect.insertIfMissing(S1.metaTable, "name, value, note", "'\($0)', \($1), ''")
    }
  }

  /// Who would have to read more rows reads everything.
  package static let rowsAskedMax = 50_000
}
