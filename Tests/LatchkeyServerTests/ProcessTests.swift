import Glibc
import TestKit
import Testing

/// The program `latchkeyd` as a process among others: its signals, its standard streams, its limits.
@Suite struct ProcessTests {
  private static func fetch(_ key: String) -> Call { .json("Fetch", #"{"key":"\#(key)"}"#) }

  private static func claim(_ key: String, value: String = "") -> Call {
    .json(
      "Lock",
      #"{"resource":{"key":"\#(key)","owner":"o","type":"lock","value":"\#(value)"},"ttl_in_seconds":600}"#
    )
  }

  /// An ordinary program that shell code starts: `exec "$0" "$@"` is the server.
  private static func start(
    store: String, by script: String, arguments: [String] = []
  ) throws -> Program {
    try Program(
      "/bin/sh",
      [
        "-c", script, "\(Program.folder)/latchkeyd", "--listen", "127.0.0.1:0", "--store",
        "sqlite:\(store)",
      ] + arguments)
  }

  private static func port(in line: String) throws -> Int {
    let text = try #require(line.split(separator: "127.0.0.1:").last)
    return try #require(Int(text.prefix { $0.isNumber }))
  }

  @Test(arguments: [SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE, SIGXFSZ])
  func isNotEndedBy(_ signal: Int32) async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    server.program.signal(signal)
    if signal == SIGHUP { try await server.program.errors.line(containing: "SIGHUP is ignored") }
    let answer = try await HTTPVersion.http2.send(Self.claim("k"), port: server.port)
    #expect(answer.status == 200)
    server.program.signal(SIGTERM)
    // In good order, and not by the signal before.
    #expect(try await server.program.exit() == .exited(0))
  }

  @Test(arguments: [(SIGTERM, SIGTERM), (SIGTERM, SIGINT), (SIGINT, SIGTERM)])
  func aSecondSignalEndsItAtOnce(_ first: Int32, _ second: Int32) async throws {
    let folder = try StoreFolder()
    // A drain that would take longer than the test may.
    let server = try await ServerProgram.start(
      store: folder.file, arguments: ["--drain-seconds", "3600"])
    // A call that is not answered: what waits for it would wait for long.
    let connection = try await RawConnection.open(port: server.port)
    connection.send(Array("POST /latchkey.v1.Locks/Lock HTTP/1.1\r\nHost: x\r\n".utf8))
    try await server.untilOpen()
    server.program.signal(first)
    try await server.program.errors.line(containing: "shutting down")
    server.program.signal(second)
    #expect(try await server.program.exit() == .exited(128 + second))
    try await server.program.errors.line(containing: "told to stop once more")
    connection.close()
  }

  /// Its standard streams are closed: what it opens must not take their numbers.
  @Test func closedStreamsAreNotTakenByAnythingElse() async throws {
    let folder = try StoreFolder()
    let program = try Self.start(store: folder.file, by: #"exec "$0" "$@" <&- >&- 2>&-"#)
    defer { program.signal(SIGKILL) }
    // It says nothing of its start; signals are caught when it serves.
    try await until("a server that catches SIGTERM") { Self.catches(SIGTERM, program.id) }
    for stream in 0..<3 { #expect(Self.target(of: stream, in: program.id) == "/dev/null") }
    #expect((3..<64).contains { Self.target(of: $0, in: program.id).hasPrefix("socket:") })
    program.signal(SIGTERM)
    #expect(try await program.exit() == .exited(0))
  }

  private static func catches(_ signal: Int32, _ process: pid_t) -> Bool {
    let file = open("/proc/\(process)/status", O_RDONLY)
    guard file >= 0 else { return false }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 8_192)
    let count = read(file, &bytes, bytes.count)
    // SigCgt:	0000000000004002
    let line = String(decoding: bytes[..<max(0, count)], as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix("SigCgt:") }
    let mask = line.flatMap { UInt64($0.dropFirst("SigCgt:\t".count), radix: 16) } ?? 0
    return mask & (1 << UInt64(signal - 1)) != 0
  }

  private static func target(of descriptor: Int, in process: pid_t) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { buffer in
      let count = readlink("/proc/\(process)/fd/\(descriptor)", buffer.baseAddress!, buffer.count)
      guard count > 0 else { return "" }
      return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }

  /// A file that may not grow is a store that fails, not the end of the process.
  @Test func aFileSizeLimitIsAnErrorOfTheStore() async throws {
    let folder = try StoreFolder()
    // In blocks of 512 bytes: enough for the schema.
    let program = try Self.start(store: folder.file, by: #"ulimit -f 400; exec "$0" "$@""#)
    defer { program.signal(SIGKILL) }
    let port = try Self.port(in: await program.output.line(containing: "listening on"))
    let value = String(repeating: "v", count: 60_000)
    var status = 200
    for number in 0..<40 where status == 200 {
      status = try await HTTPVersion.http2.send(
        Self.claim("k\(number)", value: value), port: port
      ).status
    }
    #expect(status == 503)
    try await program.errors.line(containing: "the store failed")
    // What was acknowledged is still to be had.
    #expect(try await HTTPVersion.http2.send(Self.fetch("k0"), port: port).status == 200)
    program.signal(SIGTERM)
    #expect(try await program.exit() == .exited(0))
  }

  /// The log goes into a pipe that nobody reads: the server serves on, and says how much is missing.
  @Test func aLogThatNobodyReadsStopsNothing() async throws {
    let folder = try StoreFolder()
    // The shell keeps the other end of the pipe open, and never reads.
    let script = #"exec 3>&1; { "$0" "$@" 2>&1 >&3 3>&-; echo "ended $?" >&3; } | sleep 600"#
    let program = try Self.start(
      store: folder.file, by: script, arguments: ["--log-level", "trace"])
    defer { kill(-program.id, SIGKILL) }
    let port = try Self.port(in: await program.output.line(containing: "listening on"))
    var dropped = 0
    for round in 0..<20_000 where dropped == 0 {
      let answer = try await HTTPVersion.http2.send(Self.fetch("k"), port: port)
      #expect(answer.status == 404)
      guard round.isMultiple(of: 500) else { continue }
      let metrics = try await HTTPVersion.http1.send(
        Call(method: "GET", path: "/metrics", headers: [], body: []), port: port)
      let name = "latchkey_log_lines_dropped_total "
      let line = String(decoding: metrics.body, as: UTF8.self).split(separator: "\n")
        .first { $0.hasPrefix(name) }
      dropped = try #require(line.flatMap { Int($0.dropFirst(name.count)) })
    }
    #expect(dropped > 0)
  }

  /// Nobody reads the announcement either.
  @Test func itServesWhereNobodyReadsItsOutput() async throws {
    let folder = try StoreFolder()
    let program = try Program(
      "latchkeyd",
      ["--listen", "127.0.0.1:0", "--store", "sqlite:\(folder.file)", "--log-level", "info"],
      closesOutput: true)
    defer { program.signal(SIGKILL) }
    let line = try await program.errors.line(containing: "address=127.0.0.1:")
    let answer = try await HTTPVersion.http2.send(Self.claim("k"), port: Self.port(in: line))
    #expect(answer.status == 200)
    program.signal(SIGTERM)
    #expect(try await program.exit() == .exited(0))
  }
}

extension ServerProgram {
  /// Waits until a connection is open beside the one that asks.
  fileprivate func untilOpen() async throws {
    try await until("a connection that is open") {
      let answer = try await HTTPVersion.http1.send(
        Call(method: "GET", path: "/metrics", headers: [], body: []), port: port)
      return String(decoding: answer.body, as: UTF8.self)
        .contains("latchkey_connections{protocol=\"http/1.1\"} 2")
    }
  }
}

/// Asks again and again until it is so.
private func until(_ what: String, _ isSo: () async throws -> Bool) async throws {
  let end = ContinuousClock.now + Program.waitMax
  while try await !isSo() {
    guard ContinuousClock.now < end else { throw ProgramError("waited in vain for \(what)") }
    try await Task.sleep(for: .milliseconds(20))
  }
}
