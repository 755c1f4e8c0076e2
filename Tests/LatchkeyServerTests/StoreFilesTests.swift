import Glibc
import Synchronization
import TestKit
import Testing

/// Programs on one store: never do two of them grant the same lock, whatever is done to its files,
/// and none keeps others from it.
@Suite(.timeLimit(.minutes(5))) struct StoreFilesTests {
  private static func acquire(_ key: String, _ owner: String) -> Call {
    .json("Acquire", #"{"key":"\#(key)","owner":"\#(owner)","lease":"600s"}"#, wire: 3)
  }

  private static let ready = Call(method: "GET", path: "/readyz", headers: [], body: [])

  private static func send(_ call: Call, to server: ServerProgram) async throws -> (
    status: Int, body: String
  ) {
    let answer = try await HTTPVersion.http1.send(call, port: server.port)
    return (answer.status, String(decoding: answer.body, as: UTF8.self))
  }

  /// Waits until `server` says that its store cannot be used, and why.
  private static func untilUnready(_ server: ServerProgram) async throws -> String {
    while true {
      let answer = try await send(ready, to: server)
      if answer.status == 503 { return answer.body }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  // MARK: - Names

  @Test func aSecondServerUnderAHardLinkIsRefusedAndTheFirstGrantsNothing() async throws {
    let folder = try StoreFolder()
    let first = try await ServerProgram.start(store: folder.file)
    #expect(try await Self.send(Self.acquire("job", "a"), to: first).status == 200)
    let other = folder.path("other.db")
    #expect(link(folder.file, other) == 0)
    let second = try await Program.run(
      "latchkeyd", ["--listen", "127.0.0.1:0", "--store", "sqlite:\(other)"])
    #expect(second.end == .exited(78))
    #expect(second.errors.count == 1)
    #expect(second.errors.first?.contains("\(other) has 2 names (hard links)") == true)
    // It cannot know who uses the other name.
    let refused = try await Self.send(Self.acquire("job-2", "a"), to: first)
    #expect(refused.status == 503 && refused.body.contains("has 2 names"), "\(refused)")
    #expect(unlink(other) == 0)
    #expect(try await Self.send(Self.acquire("job-2", "a"), to: first).status == 200)
    try await first.end()
  }

  @Test func serversUnderASymbolicLinkAndItsTargetHaveOneStore() async throws {
    let folder = try StoreFolder()
    let other = folder.path("other.db")
    #expect(symlink(folder.file, other) == 0)
    let first = try await ServerProgram.start(store: folder.file)
    let second = try await ServerProgram.start(store: other)
    #expect(try await Self.send(Self.acquire("job", "a"), to: first).status == 200)
    let refused = try await Self.send(Self.acquire("job", "b"), to: second)
    #expect(refused.status == 409 && refused.body.contains("held-by-another"), "\(refused)")
    try await first.end()
    try await second.end()
  }

  /// What `docker run --volume …/latchkey.db:/data/latchkey.db` does.
  @Test(.enabled(if: geteuid() == 0, "only a privileged user may mount"))
  func aSecondServerOnAFileThatIsMountedByItselfIsRefused() async throws {
    let folder = try StoreFolder()
    let first = try await ServerProgram.start(store: folder.file)
    #expect(try await Self.send(Self.acquire("job", "a"), to: first).status == 200)
    let other = folder.path("mounted.db")
    close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600))
    // Root of a container may lack the right to mount as well.
    guard mount(folder.file, other, nil, UInt(MS_BIND), nil) == 0 else {
      #expect(errno == EPERM)
      return try await first.end()
    }
    defer { umount2(other, Int32(MNT_DETACH)) }
    let second = try await Program.run(
      "latchkeyd", ["--listen", "127.0.0.1:0", "--store", "sqlite:\(other)"])
    #expect(second.end == .exited(78))
    #expect(second.errors.count == 1)
    #expect(second.errors.first?.contains("\(other) is mounted as a single file") == true)
    #expect(try await Self.send(Self.acquire("job-2", "a"), to: first).status == 200)
    try await first.end()
  }

  // MARK: - Log and shared memory

  /// The first one serves nothing any more, and the next one has everything that was acknowledged.
  @Test(arguments: ["-wal", "-shm"])
  func aPartThatIsRemovedLosesNothingAndLetsNobodyGrantTwice(_ side: String) async throws {
    let folder = try StoreFolder()
    let first = try await ServerProgram.start(store: folder.file)
    #expect(try await Self.send(Self.acquire("k1", "a"), to: first).status == 200)
    #expect(unlink(folder.file + side) == 0)
    let reason = try await Self.untilUnready(first)
    #expect(reason.contains("\(folder.file)\(side), a part of the store"), "\(reason)")
    let second = try await ServerProgram.start(store: folder.file)
    let held = try await Self.send(Self.acquire("k1", "b"), to: second)
    #expect(held.status == 409 && held.body.contains("held-by-another"), "\(held)")
    for key in ["k1", "k2"] {
      let refused = try await Self.send(Self.acquire(key, "a"), to: first)
      #expect(refused.status == 503 && refused.body.contains("a part of the store"), "\(refused)")
    }
    #expect(try await Self.send(Self.acquire("k2", "b"), to: second).status == 200)
    try await first.kill()
    #expect(try await Self.send(Self.acquire("k3", "b"), to: second).status == 200)
    try await second.end()
  }

  // MARK: - Files that are emptied in their place

  /// What somebody does to a file that fills the disk, with a server at work or at rest, which is
  /// killed then or ended.
  @Test(
    arguments: [("-wal", 0), ("-wal", 4_096), ("-wal", 60_000), ("", 0)],
    [(false, SIGKILL), (false, SIGTERM), (true, SIGKILL), (true, SIGTERM)])
  func aFileThatIsCutOffIsNoticedAndNothingIsCopiedFromIt(
    _ cut: (side: String, bytes: Int), _ server: (isBusy: Bool, end: CInt)
  ) async throws {
    let folder = try StoreFolder()
    let first = try await ServerProgram.start(store: folder.file)
    for key in 0..<20 {
      #expect(try await Self.send(Self.acquire("copied-\(key)", "a"), to: first).status == 200)
    }
    try SQLiteFile(folder.file).run("PRAGMA wal_checkpoint(PASSIVE)")
    for key in 0..<20 {
      #expect(try await Self.send(Self.acquire("late-\(key)", "a"), to: first).status == 200)
    }
    // Those at work go on until they are refused.
    let busy = (0..<(server.isBusy ? 4 : 0)).map { client in
      Task {
        for key in 0... {
          let answer = try await Self.send(Self.acquire("busy-\(client)-\(key)", "a"), to: first)
          if answer.status != 200 { return }
        }
      }
    }
    let file = folder.file + cut.side
    #expect(truncate(file, cut.bytes) == 0)
    // SQLite may come upon it first, and names no file; the next look does. The limit is generous,
    // and what follows says what is wrong.
    for _ in 1...3_000 {
      if try await Self.untilUnready(first).contains("\(file), ") { break }
      try await Task.sleep(for: .milliseconds(20))
    }
    let refused = try await Self.send(Self.acquire("later", "a"), to: first)
    #expect(
      refused.status == 503 && refused.body.contains("\(file), ")
        && refused.body.contains("was emptied or cut off"), "\(refused)")
    for client in busy { try await client.value }
    first.program.signal(server.end)
    #expect(
      try await first.program.exit() == (server.end == SIGKILL ? .killed(SIGKILL) : .exited(0)))
    guard cut.side == "-wal" else { return }
    let check = try SQLiteFile(folder.file).run("PRAGMA integrity_check")
    #expect(check.first?["integrity_check"] == "ok")
    let second = try await ServerProgram.start(store: folder.file)
    for key in 0..<20 {
      let held = try await Self.send(Self.acquire("copied-\(key)", "b"), to: second)
      #expect(held.status == 409 && held.body.contains("held-by-another"), "\(held)")
    }
    try await second.end()
  }

  // MARK: - Modes

  @Test func newFilesAreForTheirOwnerOnly() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    #expect(try await Self.send(Self.acquire("k", "a"), to: server).status == 200)
    for side in ["", "-wal", "-shm"] {
      var status = stat()
      #expect(stat(folder.file + side, &status) == 0)
      #expect(status.st_mode & 0o7777 == 0o600, "\(side)")
    }
    try await server.end()
  }

  // MARK: - Lists

  /// Hundreds of lists of one connection, each over very many rows, which would take minutes.
  @Test func aConnectionWithManyListsKeepsNobodyFromTheirs() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    #expect(try await Self.send(Self.acquire("the-one", "a"), to: server).status == 200)
    try SQLiteFile(folder.file).run(
      """
      WITH RECURSIVE numbers (number) AS (
        SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 60000)
      INSERT INTO latchkey_resources (
        resource_key, needs_shape, token, revision, kind, owner, value, lease_seconds)
      SELECT 'row-' || number, 1, 1, 1, 1, 'a', '', 3600 FROM numbers
      """)
    let greedy = try await HTTP2Connection.open(port: server.port)
    let all = Call.json("List", #"{"kind":"KIND_LOCK","labels":{"nope":"x"}}"#, wire: 3)
    let (first, answered) = (TestEvent(), Counter())
    let lists = (1...250).map { _ in
      Task {
        guard (try? await greedy.send(all))?.status == 200 else { return }
        answered.value.add(1, ordering: .relaxed)
        first.signal()
      }
    }
    // The server reads them by now; what is sent after that comes behind many.
    try await first.wait("an answer to one of the lists")
    let one = Call.json("List", #"{"kind":"KIND_LOCK","keyPrefix":"the-"}"#, wire: 3)
    let answer = try await Self.send(one, to: server)
    #expect(answer.status == 200 && answer.body.contains("the-one"), "\(answer)")
    #expect(answered.value.load(ordering: .relaxed) < 125)
    greedy.close()
    for list in lists { await list.value }
    try await server.end()
  }

  private final class Counter: Sendable {
    let value = Atomic<Int>(0)
  }
}
