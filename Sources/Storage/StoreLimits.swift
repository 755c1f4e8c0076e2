/// The bounds of the store's queues, batches and waits.
package struct StoreLimits: Sendable {
  /// Commands, and as many queries for single keys, that may wait at once. More are refused as
  /// overload.
  package var queueMax = 50_000
  /// Keys, owners and values of the commands that wait, in bytes.
  package var queueBytesMax = 128 << 20
  /// Lists that may wait at once, and as many of one moment; of one connection a part of them. More
  /// are refused as overload.
  package var listsMax = 1_000
  package var listsOfConnectionMax = 250
  /// Commands that one transaction takes, and keys that they are about; one command may have more.
  package var batchMax = 2_000
  /// What a transaction takes of keys, owners and values, in bytes: it has to be done within seconds, on a slow line
  /// as well. One command may have more.
  package var batchBytesMax = 4 << 20
  /// Calls that may wait for one key, and for all keys, until they are free. More are refused.
  package var waitersOfKeyMax = 20_000
  package var waitersMax = 50_000
  /// Keys, owners, values and request ids of the calls that wait, in bytes.
  package var waiterBytesMax = 64 << 20
  /// How often a server looks whether others have freed what is waited for, if that does not take long:
  /// looking takes a tenth of the time at most, however many keys there are.
  package var waitedLookNanoseconds: Int64 = 35_000_000
  /// Those at the front of a line whose life is watched, and how many of a line are asked at once when
  /// it is not known of the first one: so many that those who do not answer hold up the others for
  /// seconds, however many they are.
  package var frontMax = 8
  package var askedAtOnceMax = 4_096
  /// A peer at the front that was not heard for so long is asked for a sign of life: no peer more often
  /// than that.
  package var lifeQuestionNanoseconds: Int64 = 1_000_000_000
  /// For how long a sign of life counts.
  package var lifeCountsNanoseconds: Int64 = 2_000_000_000
  /// Who does not answer for so long is passed over until it shows life.
  package var lifeSilenceNanoseconds: Int64 = 2_000_000_000
  /// How often fronts are looked at, and how many of them at a time: 20,000 lines in a second. With more,
  /// each is looked at less often.
  package var frontLookNanoseconds: Int64 = 50_000_000
  package var frontLooksMax = 1_000
  /// Leases that one transaction ends.
  package var expiriesMax = 500
  /// Text of records that is on its way to who fetched them, in bytes. With more, reading waits.
  package var repliesBytesMax = 8 << 20
  /// Records that a list, and rows that a scan, reads at a time.
  package var pageMax = 500
  /// Keys of which the rows are read at once for those who fetch them: so many have room in memory,
  /// whatever is in them.
  package var keysReadMax = 64
  /// Rows that a list reads in its turn, and how long that takes at most: then others have theirs. A list
  /// of one moment is read from one snapshot, however long it takes.
  package var listTurnRowsMax = 2_000
  package var listTurnNanoseconds: Int64 = 50_000_000
  /// A log of the engine's that has more bytes in use is to begin anew, for which lists of one
  /// moment leave room.
  package var logBytesMax: Int64 = 32 << 20
  /// How long a list of one moment waits for that at most.
  package var logPauseNanoseconds: Int64 = 1_000_000_000
  /// A log that takes more bytes is said once: somebody reads without an end.
  package var logWarningBytes: Int64 = 256 << 20
  /// Rows that a query by prefix gives.
  package var prefixRowsMax = 1_000
  /// How often the writing thread looks around when nothing wakes it.
  package var tickNanoseconds: Int64 = 250_000_000
  /// The shortest time between two scans for what other servers wrote. A scan that takes long makes
  /// the next one wait ten times as long as it took.
  package var scanIntervalNanoseconds: Int64 = 500_000_000
  /// A writing thread that has been at one transaction for longer counts as hanging. More than an
  /// engine waits for another process that has the database locked.
  package var hangNanoseconds: Int64 = 5_000_000_000
  /// A thread that comes to its turn so much too late was stalled.
  package var stallNanoseconds: Int64 = 1_000_000_000
  /// No lease ends for so long after a stall or an outage: first comes what waits in the sockets.
  package var stallGraceNanoseconds: Int64 = 2_000_000_000
  /// An outage is over after the store has worked for so long.
  package var outageQuietNanoseconds: Int64 = 5_000_000_000
  /// An epoch: a free row is collected after it has been free for one to two of them.
  package var epochNanoseconds: Int64 = 3_600_000_000_000
  /// Rows that one step of the collection looks at, and the pause between two steps.
  package var collectRowsMax = 500
  package var collectPauseNanoseconds: Int64 = 50_000_000
  /// Rows that one step of the backfill looks at, how long it goes on with more of them, in one
  /// transaction after the other, and the least pause between two steps. A step that takes long makes
  /// the pause nine times as long as it took.
  package var backfillRowsMax = 200
  package var backfillStepNanoseconds: Int64 = 5_000_000
  package var backfillPauseNanoseconds: Int64 = 5_000_000
  /// How often a server whose rows are all filled looks whether older shapes were given up.
  package var backfillLookNanoseconds: Int64 = 10_000_000_000
  /// How often the upkeep commits something at least, where it has a run of its own.
  package var signOfUpkeepNanoseconds: Int64 = 120_000_000_000
  /// Keys with terms that one step of the sweep looks at.
  package var sweepKeysMax = 200
  /// Rows that are remembered as they were written, in bytes.
  package var rowMemoryBytesMax = 16 << 20
  /// For how long after such a conflict rows are kept from others at once.
  package var contentionNanoseconds: Int64 = 100_000_000
  /// How often a transaction is decided anew because others were faster, and the pause before that: at
  /// random up to this.
  package var conflictsMax = 200
  package var conflictPauseNanosecondsMax: Int64 = 200_000
  /// How long nothing is done where the database's history is another one, and how long a server is waited for
  /// that says nothing (``Setback``).
  package var setbackGraceNanoseconds: Int64 = 1_200_000_000
  /// How often it is looked meanwhile whether all are settled.
  package var setbackLookNanoseconds: Int64 = 50_000_000
  /// How long an answer of a database across a network is waited for: within 2 s a client shall know that there
  /// is none, and it is looked ten times a second.
  package var patienceNanoseconds: Int64 = 1_800_000_000
  /// How long who needs a connection waits until it is open, where that may take longer.
  package var openingPatienceNanoseconds: Int64 = 200_000_000
  /// How long a connection that failed is left before another is opened.
  package var reopenNanoseconds: Int64 = 500_000_000

  package init() {}
}
