import CSQLite

/// What a connection knows of its files besides their names: whether somebody has emptied one of
/// them in its place, as one does with a file that fills the disk (`: > latchkey.db-wal`).
///
/// SQLite does not look. It goes on with what it has in memory, writes behind the end that was, and
/// after the next start the log counts as empty, with everything that was acknowledged since it was
/// last copied.
///
/// All servers of the store share the index of the log (https://sqlite.org/walformat.html), which
/// says how much is in it. SQLite changes it after the log has grown and before the log is cut back
/// or begun anew, so while the index stays as it is, the log is never shorter than it says, and what
/// was committed to it is not changed.
///
/// Whoever writes after a cut and does not look (0.3.0, a `sqlite3` shell, or this server where it
/// looked a moment before the cut) makes the log as long as it was, with zeros from the cut to the
/// end of a commit. So each look also takes up where the last one was: at the last frame of then,
/// and at those that came since. What it does not find is a hole that is neither at a commit that
/// this connection has looked at nor among the last ``framesMax`` frames: others must have written
/// that much since the last look, both before the cut and after it.
struct LogIndex {
  /// Lengths in bytes.
  struct Sizes: Equatable {
    var database: Int64
    var log: Int64
  }

  enum Loss: Equatable {
    case log
    case database
  }

  private let files: csqlite_files
  /// As of the last look at which there was something to lose, and nothing was missing.
  private var seen: (index: csqlite_index, databaseBytes: Int64?)?

  /// - Parameter connection: In WAL mode, and has read from its database. It stays open for as long
  ///   as this is used.
  init?(of connection: OpaquePointer) {
    var files = csqlite_files()
    guard csqlite_get_files(connection, &files) else { return nil }
    self.files = files
  }

  /// What is missing for certain. Reads 8 bytes of the log and the memory of the index where nothing
  /// was committed since the last look; otherwise also the frame where that ended and those since
  /// then, up to ``framesMax``.
  ///
  /// - Parameters:
  ///   - sizes: As of a moment ago; nil where nobody has looked.
  ///   - hasWritten: Whether the connection is in a transaction of which something is behind the
  ///     last commit already, as where it does not fit into memory.
  mutating func loss(_ sizes: Sizes?, hasWritten: Bool) -> Loss? {
    guard loss(sizes ?? measure(), index(), hasWritten) != nil else { return nil }
    // Other servers may have written between the looks: it counts only if the index stays.
    for _ in 1...Self.looksMax {
      let index = index()
      guard let loss = loss(measure(), index, hasWritten) else { return nil }
      if let index, let now = self.index(), now == index { return loss }
    }
    return nil  // the next look will tell
  }

  private static let looksMax = 100
  private static let framesMax: UInt32 = 64

  private mutating func loss(
    _ sizes: Sizes?, _ index: csqlite_index?, _ hasWritten: Bool
  ) -> Loss? {
    guard let sizes, let index else { return nil }
    // The first page is there before the first log is.
    if sizes.database < max(Int64(index.page_bytes), Self.pageBytesMin) { return .database }
    // Where all is copied nothing is lost, and a new log beside this index is right: it is what a
    // server makes that is started after the log was removed. SQLite begins it with its next write,
    // unless somebody still reads at that moment; the next look finds that.
    if index.frames > index.copied {
      if sizes.log < index.logBytes { return .log }
      // Another log may be in its place (`cp` over it), and whoever wrote behind the end that was has
      // left a hole.
      if !csqlite_log_begins_with(files.log, index) { return .log }
      if hasHole(index, hasWritten) { return .log }
      // Only who copies makes the database shorter, before it says how much is copied.
      var databaseBytes: Int64?
      if let seen, seen.index.isSameCopy(as: index) {
        if let before = seen.databaseBytes, sizes.database < before { return .database }
        databaseBytes = sizes.database
      }
      seen = (index, databaseBytes)
    }
    // Once all is copied, the database has the length that the last commit gave it.
    let pages = Int64(index.pages) * Int64(index.page_bytes)
    return index.copied == index.frames && sizes.database < pages ? .database : nil
  }

  /// A hole ends where a commit began to write, so the very last frame is left to the next look, or
  /// to that of who has written behind it.
  private func hasHole(_ index: csqlite_index, _ hasWritten: Bool) -> Bool {
    if hasWritten, !csqlite_frame_is_sound(files.log, index, index.frames) { return true }
    var next: UInt32 = 1
    if let seen = seen?.index, seen.salts == index.salts {
      guard index.frames > seen.frames else { return false }
      if !csqlite_frame_is_sound(files.log, index, seen.frames) { return true }
      next = seen.frames + 1
    }
    if index.frames > Self.framesMax { next = max(next, index.frames - Self.framesMax) }
    return (next..<index.frames).contains { !csqlite_frame_is_sound(files.log, index, $0) }
  }

  private static let pageBytesMin: Int64 = 512

  private func index() -> csqlite_index? {
    var index = csqlite_index()
    return csqlite_read_index(files.index, &index) ? index : nil
  }

  private func measure() -> Sizes? {
    let sizes = Sizes(database: csqlite_bytes(files.database), log: csqlite_bytes(files.log))
    return sizes.database < 0 || sizes.log < 0 ? nil : sizes
  }

  /// Leaves what the next start may open. Where all that a log still has was copied, later pages
  /// were as well, and it would be read as if it came after them: then the database is right
  /// without it.
  func settle() {
    guard let index = index(), let sizes = measure(), sizes.log > 0 else { return }
    let hasMore = sizes.log >= csqlite_index.logBytes(index.copied + 1, pageBytes: index.page_bytes)
    // The next start reads as far as the first hole.
    if hasMore,
      (0..<index.copied).allSatisfy({ csqlite_frame_is_sound(files.log, index, $0 + 1) })
    {
      return
    }
    csqlite_empty(files.log)
  }
}

extension csqlite_index {
  fileprivate static func == (one: csqlite_index, other: csqlite_index) -> Bool {
    one.frames == other.frames && one.copied == other.copied && one.copying == other.copying
      && one.pages == other.pages && one.page_bytes == other.page_bytes && one.salts == other.salts
  }

  /// Whether nobody has copied anything from the log into the database between this and an earlier
  /// index, nor does.
  fileprivate func isSameCopy(as other: csqlite_index) -> Bool {
    salts == other.salts && copied == other.copied && copying <= copied
      && other.copying <= other.copied
  }

  /// How long the log is at least.
  fileprivate var logBytes: Int64 { Self.logBytes(frames, pageBytes: page_bytes) }

  fileprivate static func logBytes(_ frames: UInt32, pageBytes: UInt32) -> Int64 {
    32 + Int64(frames) * (24 + Int64(pageBytes))
  }
}
