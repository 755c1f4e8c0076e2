package import LockCore

/// Learns what the store does, for metrics and logs. Called on the store's threads.
package protocol StoreObserver: Sendable {
  /// Whether it is to be told what becomes of grants.
  var wantsEvents: Bool { get }
  /// Why nothing is to be granted or given back at the moment, though the store works; nil where it is.
  var refusal: StoreError? { get }
  /// That became of grants in a transaction. Nobody has been answered yet.
  ///
  /// - Parameter isCertain: Whether it is known that it was committed.
  /// - Returns: Whether those who asked for it may be told that it is done.
  func happened(_ events: [GrantEvent], isCertain: Bool) -> Bool
  /// The store was made, which was not there before.
  func madeStore()
  /// A transaction was committed for so many commands and expiries.
  func committed(commands: Int, expiries: Int, nanoseconds: Int64)
  /// A transaction failed; the commands in it got this error.
  func failed(_ error: StoreError)
  /// Other servers changed what a transaction was decided on: it is decided anew.
  func conflicted()
  /// The past of the database is not what it was, or another server says so: nothing is done until all have put
  /// back what they know (``Setback``).
  func historyChanged()
  /// The database lacked what was acknowledged. So many grants that this server knew of are put back.
  func wentBack(putBack: Int)
  /// The store works again after a failure.
  func recovered()
  /// It has done so for ``StoreLimits/outageQuietNanoseconds``.
  func outageEnded()
  /// What other servers wrote was looked for.
  func scanned()
  /// It could not be; it will be tried again.
  func scanFailed(_ error: StoreError)
  /// So many locks and presences are held, as far as this server knows.
  func holding(locks: Int, presences: Int)
  /// So many calls wait until a key is free.
  func waiting(_ count: Int)
  /// A thread of this server has not done its work for so long, and still does not. Told once.
  func stallBegan(nanoseconds: Int64)
  /// This server did not do its work in time for so long; no lease ends until it has caught up.
  /// Told once, when it is over.
  ///
  /// - Parameter isOfStore: Whether it was a transaction that took so long.
  func stalled(nanoseconds: Int64, isOfStore: Bool)
  /// A row was left out of an answer because it is damaged.
  ///
  /// - Parameter untold: How often that was so since it was last told; nil where it is not to be told now.
  func skipped(damage: String, untold: Int?)
  /// Rows were brought into the newest shape.
  func filled(rows: Int)
  /// What the store does by itself failed; it will be tried again.
  func upkeepFailed(_ error: StoreError)
  /// Older shapes were given up: servers that do not know this one are fenced off.
  func gaveUpShapes(before shape: Int64)
  /// Rows that had been free for long were deleted.
  func collected(rows: Int)
  /// Something about the place of the store, at the start.
  func remarked(_ remark: String)
  /// What the log beside the database takes, in bytes.
  func logTakes(bytes: Int64)
  /// It has passed ``StoreLimits/logWarningBytes``.
  func logIsLong(bytes: Int64)
}

extension StoreObserver {
  package var wantsEvents: Bool { false }
  package var refusal: StoreError? { nil }
  package func happened(_ events: [GrantEvent], isCertain: Bool) -> Bool { true }
}

/// Whether the store can be used.
package enum StoreHealth: Equatable, Sendable {
  case working
  case failing(StoreError)
}
