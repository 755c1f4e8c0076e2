import Glibc
import TestKit
import Testing

@testable import Storage
@testable import StorageSQLite

/// What keeps a server from its store is named, with what there is to do about it.
@Suite(.timeLimit(.minutes(1))) struct SQLiteFaultTests {
  private static func refusal(of path: String) -> StoreError? {
    do {
      _ = try SQLiteEngine(path: path).openWriter()
      return nil
    } catch {
      return error
    }
  }

  @Test func placesThatCannotBeAreNamed() throws {
    let folder = try TemporaryFolder()
    try write([1], to: "\(folder.path)/file")
    for (path, words) in [
      (folder.path, "it is a folder; name a file in it"),
      ("\(folder.path)/missing/store.db", "there is no folder \(folder.path)/missing"),
      ("\(folder.path)/file/store.db", "a part of \(folder.path)/file is not a folder"),
      ("/dev/null", "it is not a regular file"),
    ] {
      let error = try #require(Self.refusal(of: path))
      #expect(error.code == .unavailable)
      #expect(error.message.hasPrefix("cannot open the store \(path)"), "\(error)")
      #expect(error.message.contains(words), "\(error)")
    }
  }

  /// What `sudo sqlite3` or a backup that was put back leaves.
  @Test(arguments: ["", "-wal", "-shm"])
  func theFileThatMayNotBeWrittenIsNamed(_ side: String) throws {
    let origin = try SQLiteDatabase()
    let keeper = try origin.engine().openWriter()
    defer { _ = keeper }
    // What this process has open itself, SQLite would not open again for another user.
    let database = try SQLiteDatabase()
    for other in ["", "-wal", "-shm"] {
      try write(try #require(bytes(of: origin.path + other)), to: database.path + other)
    }
    chmod(database.folder.path, 0o777)
    for other in ["", "-wal", "-shm"] { chmod(database.path + other, 0o666) }
    chmod(database.path + side, 0o400)
    let path = database.path
    let error = try #require(asOrdinaryUser { Self.refusal(of: path) } ?? nil)
    #expect(error.code == .unavailable)
    #expect(error.message.contains("the store \(path)"), "\(error)")
    let owner = "user \(geteuid()), group \(getegid()), mode 400"
    #expect(error.message.contains("\(path)\(side) belongs to \(owner)"), "\(error)")
    #expect(error.message.contains("this server runs as user"), "\(error)")
  }

  @Test func aFolderThatMayNotBeWrittenIsNamed() throws {
    let folder = try TemporaryFolder()
    chmod(folder.path, 0o555)
    defer { chmod(folder.path, 0o755) }
    let path = "\(folder.path)/store.db"
    let error = try #require(asOrdinaryUser { Self.refusal(of: path) } ?? nil)
    #expect(error.message.hasPrefix("cannot open the store \(path): \(folder.path) belongs to"))
    #expect(error.message.contains("give it the right to make files there"), "\(error)")
  }

  @Test func aFolderThatMayNotBeEnteredIsNamed() throws {
    let (outer, inner) = (try TemporaryFolder(), "inner")
    let folder = "\(outer.path)/\(inner)"
    #expect(mkdir(folder, 0o755) == 0)
    chmod(outer.path, 0o000)
    defer {
      chmod(outer.path, 0o755)
      rmdir(folder)
    }
    let error = try #require(asOrdinaryUser { Self.refusal(of: "\(folder)/store.db") } ?? nil)
    #expect(error.message.contains("may not enter a folder above \(folder)"), "\(error)")
  }

  /// On a disk of its own, where the test may mount one: only a privileged user may.
  @Test func aFullDiskAndAReadOnlyOneAreSaidAtTheFirstStart() throws {
    let folder = try TemporaryFolder()
    guard mount("tmpfs", folder.path, "tmpfs", 0, "size=64k") == 0 else {
      #expect(errno == EPERM, "only a privileged user may mount")
      return
    }
    defer { umount2(folder.path, Int32(MNT_DETACH)) }
    let path = "\(folder.path)/store.db"
    // With less room each time: for the shared memory, the log, the first page, and nothing.
    let page = [UInt8](repeating: 1, count: 4_096)
    for pages in [8, 10, 12, 14, 16] {
      for file in folder.files { unlink("\(folder.path)/\(file)") }
      let ballast = open("\(folder.path)/ballast", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
      for _ in 0..<pages { _ = write(ballast, page, page.count) }
      close(ballast)
      let error = try #require(Self.refusal(of: path), "\(pages)")
      #expect(error.code == .unavailable)
      #expect(error.message.contains("the disk of the store \(path) is full"), "\(error)")
    }
    unlink("\(folder.path)/ballast")
    for file in folder.files { unlink("\(folder.path)/\(file)") }
    try #require(
      mount(nil, folder.path, nil, UInt(MS_REMOUNT | MS_RDONLY), nil) == 0)
    let error = try #require(Self.refusal(of: path))
    #expect(error.message.contains("\(folder.path) is on a file system that is mounted read-only"))
  }
}
