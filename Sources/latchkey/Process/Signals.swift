import ArgumentParser
import Glibc
import Exclusion

/// A signal that reached this process.
struct ReceivedSignal: Equatable, Sendable {
  let number: Int32
  /// The process that sent it; 0 where that is of another PID namespace, or the kernel.
  let sender: pid_t
  /// Whether the kernel sent it, as it does to a terminal's whole foreground group: the command
  /// that runs in it has got it already.
  let isFromKernel: Bool
}

/// A command that takes signals in hand instead of ending by them.
protocol SignalAware: ParsableCommand {
  var awaitedSignals: [Int32] { get }
  mutating func run(_ signals: Signals) async throws
}

/// A command that holds something, as long as another program runs or until a signal.
protocol HoldingCommand: ParsableCommand {
  /// The program and its arguments, the last of this one's; none for a hold until a signal.
  var command: [String] { get }
  /// - Parameter supervisor: Who starts the program; nil where there is none.
  mutating func run(_ signals: Signals, _ supervisor: SupervisorLink?) async throws
}

/// Takes signals on the main thread, where there are no limits on what a receiver may do, unlike in
/// a signal handler. What comes before there is a receiver waits for it.
final class Signals: Sendable {
  private struct State {
    var receiver: (@Sendable (ReceivedSignal) -> Void)?
    var waiting: [ReceivedSignal] = []
  }

  /// Every signal that Linux knows.
  static let numbers: ClosedRange<Int32> = 1...64

  /// Those that a command under a lock gets from `latchkey`.
  static let forwarded = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]

  /// Those of them that ask a program to end.
  static let endRequests: Set<Int32> = [SIGTERM, SIGINT, SIGHUP, SIGQUIT]

  /// Signals that may wait for a receiver; one more changes nothing.
  static let waitingMax = 16

  private let state = Mutex(State())
  private let awaited: [Int32]

  /// Blocks the signals, so that only ``serve()`` takes them. Those that the process' caller ignores
  /// stay ignored. Only valid while there is no other thread.
  init(awaited: [Int32]) {
    let ignored = OriginalProcess.ignoredSignals
    self.awaited = awaited.filter { !ignored.contains($0) }
    var set = Self.set(of: self.awaited)
    pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  static func set(of numbers: some Sequence<Int32>) -> sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in numbers { sigaddset(&set, number) }
    return set
  }

  /// Has `receiver` called for every signal from now on, on the main thread, and at once for those
  /// that came already.
  func receive(_ receiver: @escaping @Sendable (ReceivedSignal) -> Void) {
    let waiting = state.withLock { state in
      state.receiver = receiver
      defer { state.waiting = [] }
      return state.waiting
    }
    for signal in waiting { receiver(signal) }
  }

  /// Takes signals until the process ends.
  func serve() -> Never {
    var set = Self.set(of: awaited)
    while true {
      guard !awaited.isEmpty else {
        pause()
        continue
      }
      var info = siginfo_t()
      guard sigwaitinfo(&set, &info) > 0 else { continue }
      deliver(
        ReceivedSignal(
          number: info.si_signo, sender: info._sifields._kill.si_pid,
          isFromKernel: info.si_code > 0))
    }
  }

  private func deliver(_ signal: ReceivedSignal) {
    let receiver = state.withLock { state in
      if state.receiver == nil && state.waiting.count < Self.waitingMax {
        state.waiting.append(signal)
      }
      return state.receiver
    }
    receiver?(signal)
  }
}
