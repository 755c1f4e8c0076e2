import Glibc
import Synchronization

@testable import latchkey

/// A program that runs beside the tests, with its output line by line.
final class CLIProgram: Sendable {
  /// Generous: the machine may be busy with other tests.
  static let waitMax = Duration.seconds(120)

  /// Where the programs of this package are: beside the test binary.
  static let folder: String = {
    let path = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { buffer in
      let count = readlink("/proc/self/exe", buffer.baseAddress!, buffer.count)
      return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    return String(path[..<path.lastIndex(of: "/")!])
  }()

  /// More than the tests ever have open.
  private static let descriptorsMax: Int32 = 1_024

  let id: pid_t
  let output: CLILines
  let errors: CLILines
  private let end = Mutex<ProcessEnd?>(nil)
  private let hasEnded = CLIEvent()

  /// Starts a program of this package, or any other by its path, in a process group of its own.
  init(
    _ name: String, _ arguments: [String], environment: [String] = [],
    closesOutput: Bool = false
  ) throws {
    let path = name.hasPrefix("/") ? name : Self.folder + "/" + name
    var output: [Int32] = [0, 0]
    var errors: [Int32] = [0, 0]
    guard pipe(&output) == 0, pipe(&errors) == 0 else {
      throw CLITestError("no pipe: \(errorText(errno))")
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO)
    posix_spawn_file_actions_adddup2(&actions, errors[1], STDERR_FILENO)
    // What other tests, or whoever started them, left open is none of the program's business.
    for descriptor in 3..<Self.descriptorsMax {
      posix_spawn_file_actions_addclose(&actions, descriptor)
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = Signals.set(of: [])
    var all = Signals.set(of: Signals.numbers)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes,
      Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
    // Its own LATCHKEY_SERVER, if anyone's.
    let variables = ["PATH=/usr/local/bin:/usr/bin:/bin"] + environment
    let argv = ([path] + arguments).map { strdup($0) }
    let envp = variables.map { strdup($0) }
    defer { for copy in argv + envp { free(copy) } }
    var id = pid_t()
    let code = posix_spawn(&id, path, &actions, &attributes, argv + [nil], envp + [nil])
    close(output[1])
    close(errors[1])
    guard code == 0 else { throw CLITestError("cannot start \(path): \(errorText(code))") }
    self.id = id
    self.output = CLILines()
    self.errors = CLILines()
    if closesOutput { close(output[0]) } else { self.output.read(from: output[0]) }
    self.errors.read(from: errors[0])
    DetachedThread.start { [self, id] in
      var status: Int32 = 0
      while waitpid(id, &status, 0) == -1 && errno == EINTR {}
      end.withLock { $0 = ProcessEnd(waitStatus: status) }
      hasEnded.signal()
    }
  }

  func signal(_ number: Int32) {
    end.withLock { end in
      if end == nil { kill(id, number) }
    }
  }

  /// Waits for the program's end.
  func exit() async throws -> ProcessEnd {
    try await hasEnded.wait("the end of process \(id)")
    return end.withLock { $0! }
  }

  /// What came of a program.
  struct Result {
    var end: ProcessEnd
    var output: [String]
    var errors: [String]
  }

  /// Waits for the program's end.
  func result() async throws -> Result {
    defer { signal(SIGKILL) }
    let end = try await exit()
    return Result(end: end, output: try await output.all(), errors: try await errors.all())
  }

  /// Runs a program to its end.
  static func run(
    _ name: String, _ arguments: [String], environment: [String] = []
  ) async throws -> Result {
    try await CLIProgram(name, arguments, environment: environment).result()
  }
}

struct CLITestError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// The lines that come out of a pipe.
final class CLILines: Sendable {
  private let lines = Mutex<[String]>([])
  private let changed = Mutex<[CLIEvent]>([])
  private let ended = CLIEvent()
  /// When the last writer had closed the pipe.
  let endTime = Mutex<ContinuousClock.Instant?>(nil)

  func read(from descriptor: Int32) {
    DetachedThread.start { [self] in
      var rest: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 4_096)
      while case let count = Glibc.read(descriptor, &buffer, buffer.count), count > 0 {
        rest += buffer.prefix(count)
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
          append(String(decoding: rest[..<end], as: UTF8.self))
          rest.removeFirst(end + 1)
        }
      }
      if !rest.isEmpty { append(String(decoding: rest, as: UTF8.self)) }
      close(descriptor)
      endTime.withLock { $0 = .now }
      ended.signal()
      wake()
    }
  }

  /// All lines, when there can be no more.
  func all() async throws -> [String] {
    try await ended.wait("the end of the output")
    return lines.withLock { $0 }
  }

  /// Waits for a line that contains `text`.
  @discardableResult
  func line(containing text: String) async throws -> String {
    while true {
      let event = CLIEvent()
      changed.withLock { $0.append(event) }
      let isOver = ended.hasOccurred
      if let line = lines.withLock({ $0.first { $0.contains(text) } }) { return line }
      if isOver {
        throw CLITestError("no line with \"\(text)\" in \(lines.withLock { $0 })")
      }
      try await event.wait("a line with \"\(text)\"")
    }
  }

  private func append(_ line: String) {
    lines.withLock { $0.append(line) }
    wake()
  }

  private func wake() {
    let events = changed.withLock { events in
      defer { events = [] }
      return events
    }
    for event in events { event.signal() }
  }
}

/// Something that occurs once.
final class CLIEvent: Sendable {
  private struct State {
    var hasOccurred = false
    var waiting: [Int: CheckedContinuation<Bool, Never>] = [:]
    var count = 0
  }

  private let state = Mutex(State())

  var hasOccurred: Bool { state.withLock { $0.hasOccurred } }

  func signal() {
    let waiting = state.withLock { state in
      state.hasOccurred = true
      defer { state.waiting = [:] }
      return state.waiting
    }
    for continuation in waiting.values { continuation.resume(returning: true) }
  }

  func wait(_ what: String) async throws {
    let number = state.withLock { state in
      state.count += 1
      return state.count
    }
    let limit = Task {
      try await Task.sleep(for: CLIProgram.waitMax)
      state.withLock { $0.waiting.removeValue(forKey: number) }?.resume(returning: false)
    }
    defer { limit.cancel() }
    let hasOccurred = await withCheckedContinuation { continuation in
      let hasOccurred = state.withLock { state in
        if !state.hasOccurred { state.waiting[number] = continuation }
        return state.hasOccurred
      }
      if hasOccurred { continuation.resume(returning: true) }
    }
    guard hasOccurred else { throw CLITestError("waited in vain for \(what)") }
  }
}

/// A server with a store of its own, and the command line that talks to it.
struct CLIServer: Sendable {
  let program: CLIProgram
  let address: String
  let folder: String

  /// Runs `body` with a fresh server, which is gone afterwards.
  static func run(_ body: (CLIServer) async throws -> Void) async throws {
    var template = Array("/tmp/latchkey-cli-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw CLITestError("no folder for the store") }
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let server = try await CLIServer(folder)
    do {
      try await body(server)
    } catch {
      await end(server.program, folder)
      throw error
    }
    await end(server.program, folder)
  }

  private init(_ folder: String) async throws {
    self.folder = folder
    program = try CLIProgram(
      "latchkeyd", ["--listen", "127.0.0.1:0", "--store", "sqlite:\(folder)/store.db"])
    do {
      let line = try await program.output.line(containing: "listening on ")
      address = String(line.components(after: "listening on ").prefix { !", ".contains($0) })
    } catch {
      program.signal(SIGKILL)
      throw error
    }
  }

  /// Another server on the same store, at another address.
  func another() async throws -> CLIServer { try await CLIServer(folder) }

  private static func end(_ program: CLIProgram, _ folder: String) async {
    program.signal(SIGKILL)
    _ = try? await program.exit()
    for name in ["store.db", "store.db-wal", "store.db-shm", fifoName] {
      unlink("\(folder)/\(name)")
    }
    rmdir(folder)
  }

  static let fifoName = "fifo"

  /// A pipe with a name, for a command whose end shall be seen, and not that of `latchkey`.
  func makeFIFO() throws -> String {
    let path = "\(folder)/\(Self.fifoName)"
    guard mkfifo(path, 0o600) == 0 else { throw CLITestError("no FIFO: \(errorText(errno))") }
    return path
  }

  /// Starts `latchkey`, for this server.
  func start(_ arguments: String..., closesOutput: Bool = false) throws -> CLIProgram {
    try start(arguments, closesOutput: closesOutput)
  }

  private func start(_ arguments: [String], closesOutput: Bool = false) throws -> CLIProgram {
    // First, so that a test may say otherwise.
    let patience = ["--timeout", "100s"]
    return try CLIProgram(
      "latchkey", arguments.prefix(1) + patience + arguments.dropFirst(),
      environment: ["LATCHKEY_SERVER=\(address)"], closesOutput: closesOutput)
  }

  /// Runs `latchkey` to its end, for this server.
  func run(_ arguments: String...) async throws -> CLIProgram.Result { try await run(arguments) }

  func run(_ arguments: [String]) async throws -> CLIProgram.Result {
    try await start(arguments).result()
  }
}

extension String {
  fileprivate func components(after text: String) -> Substring {
    var rest = self[...]
    while !rest.isEmpty && !rest.hasPrefix(text) { rest.removeFirst() }
    return rest.dropFirst(text.count)
  }
}
