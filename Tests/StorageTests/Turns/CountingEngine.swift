import LockCore
import Storage
import Exclusion

/// What a ``CountingEngine`` was asked.
final class CallCounts: Sendable {
  struct Counts: Sendable {
    /// Rows that transactions read by their keys.
    var rows = 0
    /// Pages of latest grants that were read from snapshots.
    var grantPages = 0
  }

  private let counts = Mutex(Counts())

  var now: Counts { counts.withLock { $0 } }

  fileprivate func count(_ change: (inout Counts) -> Void) { counts.withLock { change(&$0) } }
}

/// An engine that counts what it is asked.
struct CountingEngine: StoreEngine {
  private let engine: any StoreEngine
  private let counts: CallCounts

  var location: String { engine.location }
  var shapes: KnownShapes { engine.shapes }
  var keepsAccount: Bool { engine.keepsAccount }

  init(_ engine: any StoreEngine, _ counts: CallCounts) {
    self.engine = engine
    self.counts = counts
  }

  func openWriter(for purpose: WritingPurpose) throws(StoreError) -> any StoreWriter {
    Writer(try engine.openWriter(for: purpose), counts)
  }

  func openReader() throws(StoreError) -> any StoreReader {
    Reader(try engine.openReader(), counts)
  }

  private final class Writer: StoreWriter {
    private let writer: any StoreWriter
    private let counts: CallCounts

    init(_ writer: any StoreWriter, _ counts: CallCounts) {
      self.writer = writer
      self.counts = counts
    }

    var isUsable: Bool { writer.isUsable }

    func read(_ wanted: Wanted) throws(StoreError) -> Facts {
      counts.count { $0.rows += wanted.keys.count }
      return try writer.read(wanted)
    }

    func apply(_ changes: Changes) throws(StoreError) -> Applied { try writer.apply(changes) }
    func forget() { writer.forget() }
    func acceptPast() { writer.acceptPast() }
    func goOn() -> Bool { writer.goOn() }
    func changesByOthers() throws(StoreError) -> Int64 { try writer.changesByOthers() }
  }

  private final class Reader: StoreReader {
    private let reader: any StoreReader
    private let counts: CallCounts

    init(_ reader: any StoreReader, _ counts: CallCounts) {
      self.reader = reader
      self.counts = counts
    }

    func read(_ wanted: Wanted) throws(StoreError) -> Facts {
      if !wanted.grants.isEmpty { counts.count { $0.grantPages += 1 } }
      return try reader.read(wanted)
    }

    func beginMoment() throws(StoreError) { try reader.beginMoment() }
    func endMoment() { reader.endMoment() }
    func changesByOthers(since mark: ChangeMark?) throws(StoreError) -> ChangesByOthers {
      try reader.changesByOthers(since: mark)
    }
  }
}
