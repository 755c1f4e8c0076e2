/// A database that can hold Latchkey's rows. A new engine is one type that conforms to this, and
/// one line in the conformance suite of TestKit.
///
/// The connections are synchronous: the store calls each from one thread of its own.
package protocol StoreEngine: Sendable {
  /// Where the database is, as people give it: "sqlite:/var/lib/latchkey/latchkey.db".
  var location: String { get }
  /// The shapes that this server knows.
  var shapes: KnownShapes { get }

  /// Opens a connection that writes, and brings a new or older database to this server's shape:
  /// additive, repeatable, safe beside other servers doing the same.
  ///
  /// - Parameter purpose: Of each there is one at a time.
  /// - Throws: ``StoreError`` with code `tooOldServer` where the database has left this server's
  ///   shape behind, `unusable` where it is no database of Latchkey's, `missing` where there is no store and
  ///   the engine was told to make none, else `unavailable`.
  func openWriter(for purpose: WritingPurpose) throws(StoreError) -> any StoreWriter

  /// Opens a connection that reads. The database exists: a writer was opened before.
  func openReader() throws(StoreError) -> any StoreReader

  /// Whether its readers can tell which rows other servers have changed.
  var keepsAccount: Bool { get }

  /// What whoever runs the server should know of where the database is, as it was when a connection that writes was
  /// opened, or has looked (``StoreWriter/lookAtSettings()``).
  func remarks() -> [String]
}

/// What a connection writes.
package enum WritingPurpose: Hashable, Sendable {
  /// What clients ask for, and the ends of leases.
  case commands
  /// What a server does to its store by itself, where it keeps nobody from writing.
  case upkeep
}

extension StoreEngine {
  package func openWriter() throws(StoreError) -> any StoreWriter { try openWriter(for: .commands) }
  package var keepsAccount: Bool { false }
  /// Whether the database is reached over a network: it may be away at the start, and opening a connection may
  /// take long.
  package var isRemote: Bool { keepsAccount }
  package func remarks() -> [String] { [] }
}

/// The connection that changes rows. A transaction is a question and an answer: ``read(_:)`` tells what
/// is to be known, from one snapshot, and ``apply(_:)`` does all that was decided on it, or nothing.
///
/// An engine may keep all others from writing in between (SQLite does), or find in the end that they
/// were faster. Whatever it does, nothing rests on who else reads, or on clocks.
package protocol StoreWriter: AnyObject {
  /// Begins a transaction.
  func read(_ wanted: Wanted) throws(StoreError) -> Facts
  /// Begins a transaction without a question, on what this connection's latest one left. What others have changed
  /// since makes it a conflict where ``apply(_:)`` changes it, and where it is something that no transaction may be
  /// done beside: giving shapes up, a new epoch, other ``StoreMeta/setbacks``.
  ///
  /// - Returns: False where that cannot be.
  func goOn() -> Bool
  /// Does all of `changes`, durably, if the store is still as they say and this server may still act on
  /// it; else nothing. Either ends the transaction that ``read(_:)`` began.
  ///
  /// - Throws: Where it is not known whether it was done.
  func apply(_ changes: Changes) throws(StoreError) -> Applied
  /// Ends a transaction of which nothing is to be done. Harmless where there is none.
  func forget()
  /// What the database has of this server's runs is all that they have committed, from now on
  /// (``Facts/isBehind``).
  func acceptPast()
  /// Has ``StoreEngine/remarks()`` tell what holds now, where the database's settings can change under way.
  func lookAtSettings() throws(StoreError)
  /// Something that changes whenever another connection has changed the database; asking is cheap. Asked
  /// only where the engine keeps no account of changes (``StoreEngine/keepsAccount``).
  func changesByOthers() throws(StoreError) -> Int64
  /// Whether opening this connection has made the store, which was not there before.
  var hasMadeStore: Bool { get }
  /// Whether the connection is fit for further use after an error.
  var isUsable: Bool { get }
  /// The log beside the database, as this connection last saw it.
  var log: StoreLog { get }
  /// Outside of a transaction: has the log begin anew, for which it waits a short time until nobody
  /// reads from it.
  ///
  /// - Returns: False where somebody reads from it for longer.
  func restartLog() -> Bool
}

/// What an engine writes beside its database, to be copied into it later; nothing where it has no
/// such log.
package struct StoreLog: Equatable, Sendable {
  /// What it takes on the disk.
  package var fileBytes: Int64 = 0
  /// What was written to it since it last began anew.
  package var usedBytes: Int64 = 0

  package init(fileBytes: Int64 = 0, usedBytes: Int64 = 0) {
    self.fileBytes = fileBytes
    self.usedBytes = usedBytes
  }
}

extension StoreWriter {
  package var hasMadeStore: Bool { false }
  package func goOn() -> Bool { false }
  package func lookAtSettings() {}
  package var log: StoreLog { StoreLog() }
  package func restartLog() -> Bool { true }
}

/// A connection that reads, each answer from one snapshot.
package protocol StoreReader: AnyObject {
  /// Answers from a snapshot that is taken after it was asked, and contains everything acknowledged by then.
  func read(_ wanted: Wanted) throws(StoreError) -> Facts
  /// From now on every answer is of this moment, until ``endMoment()``.
  func beginMoment() throws(StoreError)
  /// Harmless where none has begun.
  func endMoment()
  /// Asked only where the engine keeps an account of changes (``StoreEngine/keepsAccount``).
  ///
  /// - Parameter mark: As it was given with an earlier answer; nil for none.
  func changesByOthers(since mark: ChangeMark?) throws(StoreError) -> ChangesByOthers
}

extension StoreReader {
  package func changesByOthers(since mark: ChangeMark?) throws(StoreError) -> ChangesByOthers {
    preconditionFailure("no account of changes is kept")
  }
}

/// How far somebody knows what others have changed: of each server's run how many changes.
package struct ChangeMark: Equatable, Sendable {
  package var changesOfRun: [Int64: Int64]

  package init(changesOfRun: [Int64: Int64]) { self.changesOfRun = changesOfRun }
}

/// What other servers have changed.
package struct ChangesByOthers: Equatable, Sendable {
  /// What this goes up to.
  package var mark: ChangeMark
  /// Whether the database lacks what this server has committed, or its history is another one than was noted
  /// last: whoever writes has to look (``Setback``).
  package var isPastInDoubt = false
  /// As ``StoreMeta/setbacks``.
  package var setbacks: Int64 = 0
  /// The rows as they are now, each once; nil where it may be any.
  package var rows: [ChangedRow]?
  /// The ids of those that are not there any more. Nobody held them at the end.
  package var gone: [Int64]

  package init(mark: ChangeMark, rows: [ChangedRow]?, gone: [Int64] = []) {
    self.mark = mark
    self.rows = rows
    self.gone = gone
  }
}

package struct ChangedRow: Equatable, Sendable {
  package var key: String
  /// Whether nobody holds it, and every server may grant it: then there is nothing to be watched.
  package var isOver: Bool
  package var lease: SeenLease

  package init(key: String, isOver: Bool, lease: SeenLease) {
    self.key = key
    self.isOver = isOver
    self.lease = lease
  }
}
