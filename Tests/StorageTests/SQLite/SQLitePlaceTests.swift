import Glibc
import LockCore
import TestKit
import Testing

@testable import Storage
@testable import StorageSQLite

/// Where a store's files are: under one name, on this machine, each in its place.
@Suite(.timeLimit(.minutes(1))) struct SQLitePlaceTests {
  private func refusal(of path: String) -> StoreError? {
    do {
      _ = try SQLiteEngine(path: path).openWriter()
      return nil
    } catch {
      return error
    }
  }

  private func expectUnavailable(
    _ result: StoreResult, _ words: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    guard case .failure(let error) = result else {
      Issue.record("it was answered \(result)", sourceLocation: sourceLocation)
      return
    }
    #expect(error.code == .unavailable, sourceLocation: sourceLocation)
    #expect(error.message.contains(words), "\(error)", sourceLocation: sourceLocation)
  }

  // MARK: - Names

  /// Each name has a log of its own: servers on both would grant the same locks.
  @Test func aFileWithTwoNamesIsRefusedUnderBoth() throws {
    let folder = try TemporaryFolder()
    let (path, other) = ("\(folder.path)/store.db", "\(folder.path)/other.db")
    _ = try SQLiteEngine(path: path).openWriter()
    #expect(link(path, other) == 0)
    for name in [path, other] {
      let error = try #require(refusal(of: name))
      #expect(error.code == .unavailable)
      #expect(error.message.contains("the store \(name) has 2 names (hard links)"))
      #expect(!error.message.contains("\n"))
    }
    #expect(Set(folder.files) == ["store.db", "other.db"])
    #expect(unlink(other) == 0)
    #expect(refusal(of: path) == nil)
  }

  @Test func aNameThatIsMadeLaterStopsTheServerUntilItIsGone() async throws {
    let folder = try TemporaryFolder()
    let (path, other) = ("\(folder.path)/store.db", "\(folder.path)/other.db")
    let store = try Store(
      engine: SQLiteEngine(path: path), clock: ManualClock().reading, observer: RecordingObserver())
    defer { store.shutdown() }
    #expect(await store.perform(.hold("key", "a")) == .granted(token: 1, revision: 1))
    #expect(link(path, other) == 0)
    expectUnavailable(await store.perform(.hold("key", "a")), "has 2 names")
    expectUnavailable(await store.ask(.fetch(key: "key")), "has 2 names")
    #expect(unlink(other) == 0)
    #expect(await store.perform(.hold("key", "a")) == .renewed(token: 1, revision: 2))
    guard case .success(.found(.some)) = await store.ask(.fetch(key: "key")) else {
      Issue.record("nothing is read any more")
      return
    }
  }

  /// SQLite finds the log by the name that a symbolic link leads to, so these are one store.
  @Test func symbolicLinksInTwoFoldersLeadToOneStore() throws {
    let folders = [try TemporaryFolder(), try TemporaryFolder(), try TemporaryFolder()]
    let links = folders.prefix(2).map { "\($0.path)/link.db" }
    _ = try SQLiteEngine(path: "\(folders[2].path)/store.db").openWriter()
    for link in links { #expect(symlink("\(folders[2].path)/store.db", link) == 0) }
    let database = try SQLiteDatabase()
    let benches = try links.map { link in
      try TurnBench(
        engine: SQLiteEngine(path: link), database: database, clock: ManualClock(),
        limits: StoreLimits())
    }
    #expect(benches[0].turn(.hold("key", "a")) == [.granted(token: 1, revision: 1)])
    #expect(benches[1].turn(.hold("key", "b")) == [.heldByAnother])
    for folder in folders.prefix(2) { #expect(folder.files == ["link.db"]) }
  }

  @Test func aFileThatIsMountedByItselfIsRefused() throws {
    let folder = try TemporaryFolder()
    let (path, other) = ("\(folder.path)/store.db", "\(folder.path)/mounted.db")
    _ = try SQLiteEngine(path: path).openWriter()
    try write([], to: other)
    guard mount(path, other, nil, UInt(MS_BIND), nil) == 0 else {
      #expect(errno == EPERM, "only a privileged user may mount")
      return
    }
    defer { umount2(other, Int32(MNT_DETACH)) }
    let error = try #require(refusal(of: other))
    #expect(error.code == .unavailable)
    #expect(error.message.contains("mounted as a single file"))
    #expect(error.message.contains("mount its folder instead"))
    #expect(refusal(of: path) == nil)
  }

  // MARK: - File systems

  @Test(arguments: [
    (0x6969 as UInt32, FileSystem.network("NFS")), (0xFF53_4D42, .network("SMB")),
    (0xFE53_4D42, .network("SMB")), (0x0102_1997, .network("9P")),
    (0x00C3_6400, .network("CephFS")), (0x6573_5546, .served), (0xEF53, .local),
    (0x5846_5342, .local), (0x9123_683E, .local), (0x2FC1_2FC1, .local), (0, .local),
  ])
  func whatAFileSystemMeans(_ magic: UInt32, _ meaning: FileSystem) {
    #expect(FileSystem(magic: magic) == meaning)
  }

  @Test func aStoreInMemoryIsSaidOnce() async throws {
    guard case .passing = FileSystem(at: "/dev/shm") else { return }  // no such folder here
    var template = Array("/dev/shm/latchkey-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let folder = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer {
      for suffix in ["", "-wal", "-shm"] { unlink("\(folder)/store.db\(suffix)") }
      rmdir(folder)
    }
    let observer = RecordingObserver()
    let store = try Store(
      engine: SQLiteEngine(path: "\(folder)/store.db"), clock: ManualClock().reading,
      observer: observer)
    defer { store.shutdown() }
    #expect(await store.perform(.hold("key", "a")) == .granted(token: 1, revision: 1))
    let remarks = observer.totals.remarks
    #expect(remarks.count == 1)
    #expect(remarks.first?.contains("\(folder)/store.db is in memory") == true)
  }

  // MARK: - Its log and its shared memory

  @Test func aServerWithoutItsLogServesNothingAndSavesWhatWasInIt() async throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/store.db"
    let store = try Store(
      engine: SQLiteEngine(path: path), clock: ManualClock().reading, observer: RecordingObserver())
    defer { store.shutdown() }
    #expect(await store.perform(.hold("key", "a")) == .granted(token: 1, revision: 1))
    #expect(unlink(path + "-wal") == 0)
    for _ in 1...3 {
      expectUnavailable(await store.perform(.hold("key", "a")), "store.db-wal, a part of the store")
      expectUnavailable(await store.ask(.fetch(key: "key")), "store.db-wal, a part of the store")
    }
    guard case .failing = store.health else {
      Issue.record("a server whose log is gone takes itself for healthy")
      return
    }
    #expect(!folder.files.contains("store.db-wal"))
    // As after `kill -9`: whoever starts now has the database alone.
    let copy = try SQLiteDatabase()
    try write(try #require(bytes(of: path)), to: copy.path)
    #expect(try copy.row(forKey: "key")?.owner == "a")
    #expect(try copy.integrity() == "ok")
  }

  /// Whoever hears that the log is gone may end the server at once.
  @Test func whatWasInALogThatIsGoneIsSavedBeforeThatIsSaid() throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    #expect(bench.turn(.hold("key", "a")) == [.granted(token: 1, revision: 1)])
    #expect(unlink(database.path + "-wal") == 0)
    #expect(throws: StoreError.self) { try bench.turn(.hold("key", "a"))[0].get() }
    let copy = try SQLiteDatabase()
    try write(try #require(bytes(of: database.path)), to: copy.path)
    #expect(try copy.row(forKey: "key")?.owner == "a")
  }

  @Test func aFolderThatMayNotBeEnteredIsNamed() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/store.db"
    if geteuid() == 0 { chown(folder.path, 65_534, gid_t.max) }
    let error = try #require(
      asOrdinaryUser {
        let database = try? SQLiteEngine(path: path).openWriter()
        chmod(folder.path, 0o600)
        defer { chmod(folder.path, 0o700) }
        return database.flatMap { writer -> StoreError? in
          do {
            _ = try writer.changesByOthers()
            return nil
          } catch {
            return error as? StoreError
          }
        }
      } ?? nil)
    #expect(error.code == .unavailable)
    #expect(error.message.contains("cannot look at \(path)"))
    #expect(error.message.contains("Permission denied"))
  }

  @Test(arguments: ["-wal", "-shm"])
  func aServerNoticesThatAPartOfItsStoreIsGoneThoughNobodyAsks(_ side: String) throws {
    let database = try SQLiteDatabase()
    let bench = try TurnBench(database)
    bench.turn(.hold("key", "a", lease: 3_600))
    bench.pass(seconds: 2)
    #expect(bench.health == .working)
    #expect(unlink(database.path + side) == 0)
    bench.pass(seconds: 2)
    guard case .failing(let error) = bench.health else {
      Issue.record("nothing was noticed")
      return
    }
    #expect(error.message.contains("\(database.path)\(side), a part of the store"))
  }

  /// The next server makes a new shared memory and knows nothing of what the first one does by its
  /// old one.
  @Test func serversWithDifferentSharedMemoryDoNotBothGrant() throws {
    let database = try SQLiteDatabase()
    let first = try TurnBench(database)
    first.turn(.hold("key", "a"))
    #expect(unlink(database.path + "-shm") == 0)
    // Of another process, which the locks of this one's connections do not tell apart; so it is
    // played.
    try write([UInt8](repeating: 0, count: 32_768), to: database.path + "-shm")
    guard case .failure(let error) = first.turn(.hold("other", "a"))[0] else {
      Issue.record("it went on with the shared memory that nobody else has")
      return
    }
    #expect(error.message.contains("store.db-shm, a part of the store"))
  }

  /// The last connection takes log and shared memory away, and the next one makes new ones.
  @Test func aServerThatClosedAllItsConnectionsOpensThemAgain() throws {
    let database = try SQLiteDatabase()
    let engine = SQLiteEngine(path: database.path)
    for _ in 1...3 {
      do {
        let writer = try engine.openWriter()
        let reader = try engine.openReader()
        _ = try writer.read(Wanted())
        writer.forget()
        _ = try reader.read(Wanted())
      }
      #expect(database.folder.files == ["store.db"])
    }
  }

  /// The server knows leases and tokens of the one that was there.
  @Test func aDatabaseThatIsGoneIsNotMadeAnew() throws {
    let database = try SQLiteDatabase()
    let engine = SQLiteEngine(path: database.path)
    do {
      let writer = try engine.openWriter()
      _ = try writer.read(Wanted())
      writer.forget()
    }
    #expect(unlink(database.path) == 0)
    let error = #expect(throws: StoreError.self) { try engine.openWriter() }
    #expect(error?.message.contains("was removed, moved or replaced") == true)
    #expect(database.folder.files.isEmpty)
  }

  // MARK: - Modes

  @Test func newFilesAreForTheirOwnerOnly() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/store.db"
    let engine = SQLiteEngine(path: path)
    let writer = try engine.openWriter()
    _ = try writer.read(Wanted())
    writer.forget()
    #expect(folder.files.count == 3)
    for file in folder.files { #expect(mode(of: "\(folder.path)/\(file)") == 0o600, "\(file)") }
    #expect(!engine.remarks().contains { $0.contains("can be read by every user") })
  }

  /// Through links, one of them relative, to a file that is not there yet.
  @Test func whatALinkLeadsToIsMadeForItsOwnerOnly() throws {
    let (links, folder) = (try TemporaryFolder(), try TemporaryFolder())
    let path = "\(links.path)/link.db"
    #expect(symlink("\(folder.path)/first.db", path) == 0)
    #expect(symlink("store.db", "\(folder.path)/first.db") == 0)
    let writer = try SQLiteEngine(path: path).openWriter()
    _ = try writer.read(Wanted())
    writer.forget()
    for file in ["store.db", "store.db-wal", "store.db-shm"] {
      #expect(mode(of: "\(folder.path)/\(file)") == 0o600, "\(file)")
    }
    #expect(folder.files.count == 4 && links.files == ["link.db"])
  }

  @Test func aLinkThatLeadsToItselfOrToNoFolderIsRefused() throws {
    let folder = try TemporaryFolder()
    let (loop, lost) = ("\(folder.path)/loop.db", "\(folder.path)/lost.db")
    #expect(symlink("loop.db", loop) == 0)
    #expect(symlink("\(folder.path)/nowhere/store.db", lost) == 0)
    for path in [loop, lost] { #expect(refusal(of: path)?.code == .unavailable, "\(path)") }
    #expect(Set(folder.files) == ["loop.db", "lost.db"])
  }

  /// A second server of another user may rely on them.
  @Test func filesThatAreThereKeepTheirModes() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/store.db"
    try write([], to: path)
    chmod(path, 0o664)
    let engine = SQLiteEngine(path: path)
    let writer = try engine.openWriter()
    _ = try writer.read(Wanted())
    writer.forget()
    for file in folder.files { #expect(mode(of: "\(folder.path)/\(file)") == 0o664, "\(file)") }
    #expect(engine.remarks().filter { $0.contains("can be read by every user") }.count == 1)
  }

  private func mode(of path: String) -> mode_t? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
  }
}
