package import Glibc
import Exclusion

/// How a process ended.
package enum ProgramEnd: Equatable, Sendable {
  case exited(Int32)
  /// By a signal.
  case killed(Int32)

  package init(waitStatus status: Int32) {
    let signal = status & 0x7f
    self = signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal)
  }
}

/// A program that runs beside the tests, with its output line by line.
package final class Program: Sendable {
  /// Generous: the machine may be busy with other tests.
  package static let waitMax = Duration.seconds(120)

  /// Where the programs of this package are: beside the test binary.
  package static let folder: String = {
    let path = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { buffer in
      let count = readlink("/proc/self/exe", buffer.baseAddress!, buffer.count)
      return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    return String(path[..<path.lastIndex(of: "/")!])
  }()

  /// More than the tests ever have open.
  private static let descriptorsMax: Int32 = 1_024

  /// Which mutant is being tried (.ci/mutate), so that programs are the same one.
  private static let mutant =
    getenv("LATCHKEY_MUTANT").map { ["LATCHKEY_MUTANT=\(String(cString: $0))"] } ?? []

  package let id: pid_t
  package let output: ProgramLines
  package let errors: ProgramLines
  private let end = Mutex<ProgramEnd?>(nil)
  private let ended = TestEvent()

  /// Starts a program of this package, or any other by its path, in a process group of its own.
  package init(
    _ name: String, _ arguments: [String], environment: [String] = [],
    closesOutput: Bool = false
  ) throws {
    let path = name.hasPrefix("/") ? name : Self.folder + "/" + name
    var output: [Int32] = [0, 0]
    var errors: [Int32] = [0, 0]
    guard pipe(&output) == 0, pipe(&errors) == 0 else {
      throw ProgramError("no pipe: \(String(cString: strerror(errno)))")
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
    var none = sigset_t()
    sigemptyset(&none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes,
      Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
    // Its own LATCHKEY_SERVER, if anyone's.
    let variables = ["PATH=/usr/local/bin:/usr/bin:/bin"] + Self.mutant + environment
    let argv = ([path] + arguments).map { strdup($0) }
    let envp = variables.map { strdup($0) }
    defer { for copy in argv + envp { free(copy) } }
    var id = pid_t()
    let code = posix_spawn(&id, path, &actions, &attributes, argv + [nil], envp + [nil])
    close(output[1])
    close(errors[1])
    guard code == 0 else {
      throw ProgramError("cannot start \(path): \(String(cString: strerror(code)))")
    }
    self.id = id
    self.output = ProgramLines()
    self.errors = ProgramLines()
    if closesOutput { close(output[0]) } else { self.output.read(from: output[0]) }
    self.errors.read(from: errors[0])
    detachThread { [self, id] in
      var status: Int32 = 0
      while waitpid(id, &status, 0) == -1 && errno == EINTR {}
      end.withLock { $0 = ProgramEnd(waitStatus: status) }
      ended.signal()
    }
  }

  package var hasEnded: Bool { ended.hasOccurred }

  package func signal(_ number: Int32) {
    end.withLock { end in
      if end == nil { kill(id, number) }
    }
  }

  /// Waits for the program's end.
  package func exit() async throws -> ProgramEnd {
    try await ended.wait("the end of process \(id)")
    return end.withLock { $0! }
  }

  /// What came of a program.
  package struct Result: Sendable {
    package var end: ProgramEnd
    package var output: [String]
    package var errors: [String]
  }

  /// Waits for the program's end.
  package func result() async throws -> Result {
    defer { signal(SIGKILL) }
    let end = try await exit()
    return Result(end: end, output: try await output.all(), errors: try await errors.all())
  }

  /// Runs a program to its end.
  package static func run(
    _ name: String, _ arguments: [String], environment: [String] = []
  ) async throws -> Result {
    try await Program(name, arguments, environment: environment).result()
  }
}

package struct ProgramError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// The lines that come out of a pipe.
package final class ProgramLines: Sendable {
  private let lines = Mutex<[String]>([])
  private let changed = Mutex<[TestEvent]>([])
  private let ended = TestEvent()
  /// When the last writer had closed the pipe.
  package var endTime: ContinuousClock.Instant? { end.withLock { $0 } }
  private let end = Mutex<ContinuousClock.Instant?>(nil)

  package init() {}

  package func read(from descriptor: Int32) {
    detachThread { [self] in
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
      end.withLock { $0 = .now }
      ended.signal()
      wake()
    }
  }

  /// All lines, when there can be no more.
  package func all() async throws -> [String] {
    try await ended.wait("the end of the output")
    return lines.withLock { $0 }
  }

  /// Waits for a line that contains `text`.
  @discardableResult
  package func line(containing text: String) async throws -> String {
    while true {
      let event = TestEvent()
      changed.withLock { $0.append(event) }
      let isOver = ended.hasOccurred
      if let line = lines.withLock({ $0.first { $0.contains(text) } }) { return line }
      if isOver {
        throw ProgramError("no line with \"\(text)\" in \(lines.withLock { $0 })")
      }
      try await event.wait("a line with \"\(text)\"")
    }
  }

  /// Whether a line that was read contains `text`.
  package func isSaid(_ text: String) -> Bool {
    lines.withLock { $0.contains { $0.contains(text) } }
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
package final class TestEvent: Sendable {
  private struct State {
    var hasOccurred = false
    var waiting: [Int: CheckedContinuation<Bool, Never>] = [:]
    var count = 0
  }

  private let state = Mutex(State())

  package init() {}

  package var hasOccurred: Bool { state.withLock { $0.hasOccurred } }

  package func signal() {
    let waiting = state.withLock { state in
      state.hasOccurred = true
      defer { state.waiting = [:] }
      return state.waiting
    }
    for continuation in waiting.values { continuation.resume(returning: true) }
  }

  package func wait(_ what: String) async throws {
    let number = state.withLock { state in
      state.count += 1
      return state.count
    }
    let limit = Task {
      try await Task.sleep(for: Program.waitMax)
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
    guard hasOccurred else { throw ProgramError("waited in vain for \(what)") }
  }
}

/// Runs `body` on a thread of its own: it blocks.
private func detachThread(_ body: @escaping @Sendable () -> Void) {
  final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  let code = pthread_create(
    &thread, nil,
    { argument in
      Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, Unmanaged.passRetained(Start(body)).toOpaque())
  precondition(code == 0, "cannot start a thread: \(code)")
  pthread_detach(thread)
}
