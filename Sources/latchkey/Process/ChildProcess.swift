import Glibc
import Synchronization

/// How a process ended.
enum ProcessEnd: Equatable, Sendable {
  case exited(Int32)
  case killed(signal: Int32)

  /// Reads what waitpid(2) says of a process that ended.
  init(waitStatus: Int32) {
    let signal = waitStatus & 0x7f
    self = signal == 0 ? .exited(waitStatus >> 8 & 0xff) : .killed(signal: signal)
  }

  var exitStatus: ExitStatus {
    switch self {
    case .exited(let code): ExitStatus(rawValue: code)
    case .killed(let signal): ExitStatus(signal: signal)
    }
  }
}

/// A command that runs as a child of this process, and dies with it (see ``LaunchStage``).
///
/// The kernel ties a child to the thread that started it. So one thread starts the child and stays
/// until it has ended.
final class ChildProcess: Sendable {
  private enum State {
    case starting
    case running(pid_t)
    case ended(ProcessEnd)
    /// It could not be started: the errno.
    case failed(Int32)
  }

  private struct Shared {
    var state = State.starting
    var waiting: [CheckedContinuation<Void, Never>] = []
    /// Signals that came before the child was there; each counts once, as in the kernel.
    var pendingSignals: Set<Int32> = []
  }

  private let shared = Mutex(Shared())

  /// Starts the last `argumentCount` arguments of this process as a command.
  ///
  /// - Parameter environment: What to change in this process' environment; nil removes a variable.
  init(argumentCount: Int, environment: [(name: String, value: String?)]) {
    let block = Self.environment(changedBy: environment)
    DetachedThread.start { [self] in
      let (pid, code) = Self.spawn(argumentCount: argumentCount, environment: block)
      guard code == 0 else { return advance(to: .failed(code)) }
      advance(to: .running(pid))
      reap(pid)
    }
  }

  /// Waits for the child's end, whether the task is cancelled or not.
  func end() async throws(Failure) -> ProcessEnd {
    await withCheckedContinuation { continuation in
      let isOver = shared.withLock { shared in
        switch shared.state {
        case .starting, .running: shared.waiting.append(continuation)
        case .ended, .failed: return true
        }
        return false
      }
      if isOver { continuation.resume() }
    }
    switch shared.withLock({ $0.state }) {
    case .ended(let end): return end
    case .failed(let code):
      throw Failure(.system, "cannot start a process: \(errorText(code))")
    case .starting, .running: preconditionFailure("resumed before the child's end")
    }
  }

  var hasEnded: Bool {
    switch shared.withLock({ $0.state }) {
    case .starting, .running: false
    case .ended, .failed: true
    }
  }

  /// Sends a signal to the child. Nothing happens once it has ended: its process id may belong to
  /// another by then.
  func signal(_ number: Int32) {
    shared.withLock { shared in
      switch shared.state {
      case .starting: shared.pendingSignals.insert(number)
      case .running(let pid): kill(pid, number)
      case .ended, .failed: break
      }
    }
  }

  private func advance(to state: State) {
    let waiting = shared.withLock { shared in
      shared.state = state
      switch state {
      case .starting: return [CheckedContinuation<Void, Never>]()
      case .running(let pid):
        for number in shared.pendingSignals { kill(pid, number) }
        return []
      case .ended, .failed:
        defer { shared.waiting = [] }
        return shared.waiting
      }
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Waits until the child has ended and then until none of the orphans that it left is there.
  private func reap(_ child: pid_t) {
    while true {
      var info = siginfo_t()
      guard waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0 else {
        let code = errno
        if code == EINTR { continue }
        if !hasEnded { advance(to: .failed(code)) }
        return
      }
      let pid = info._sifields._sigchld.si_pid
      var status: Int32 = 0
      // The process id is free for others from here on, so nobody may signal it meanwhile.
      let isChild = shared.withLock { shared in
        guard waitpid(pid, &status, WNOHANG) == pid, pid == child else { return false }
        shared.state = .ended(ProcessEnd(waitStatus: status))
        return true
      }
      if isChild { advance(to: .ended(ProcessEnd(waitStatus: status))) }
    }
  }

  private static func environment(
    changedBy changes: [(name: String, value: String?)]
  ) -> [[CChar]] {
    var block: [[CChar]] = []
    var next = environ
    while let entry = next.pointee {
      let isReplaced = changes.contains {
        strncmp(entry, $0.name + "=", $0.name.utf8.count + 1) == 0
      }
      if !isReplaced {
        block.append(Array(UnsafeBufferPointer(start: entry, count: strlen(entry) + 1)))
      }
      next += 1
    }
    for case (let name, let value?) in changes {
      block.append(Array("\(name)=\(value)".utf8CString))
    }
    return block
  }

  /// - Returns: The process id, and 0 or the errno.
  private static func spawn(
    argumentCount: Int, environment: [[CChar]]
  ) -> (pid: pid_t, code: Int32) {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // The command gets the signals as the caller of this process meant them.
    var mask = OriginalProcess.signalMask
    let ignored = OriginalProcess.ignoredSignals
    var defaults = Signals.set(of: (Signals.numbers).filter { !ignored.contains($0) })
    posix_spawnattr_setsigmask(&attributes, &mask)
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    let stage = LaunchStage.arguments(parent: getpid(), descriptors: OriginalProcess.descriptors)
    let own = stage.map { strdup($0) }
    let variables = environment.map { entry in
      entry.withUnsafeBufferPointer { strdup($0.baseAddress!) }
    }
    defer { for copy in own + variables { free(copy) } }
    let first = Int(CommandLine.argc) - argumentCount
    let command = (first..<Int(CommandLine.argc)).map { CommandLine.unsafeArgv[$0] }
    var pid = pid_t()
    let code = posix_spawn(
      &pid, "/proc/self/exe", nil, &attributes, own + command + [nil], variables + [nil])
    return (pid, code)
  }
}
