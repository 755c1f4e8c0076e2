import Glibc
import Exclusion

/// The signals that others send this process. None of them ends it but those that are meant to.
enum ProcessSignals {
  /// Their default would end the process without a drain, or for one failed write.
  private static let ignored = [
    // A peer that went away, and a file that may not grow, are errors of a write.
    SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM,
  ]

  private static let receiver = Mutex<(@Sendable (Int32) -> Void)?>(nil)
  /// Both ends of the pipe by which a handler tells the thread; set once, before there is a handler.
  nonisolated(unsafe) private static var pipeEnds: (read: Int32, write: Int32) = (-1, -1)

  /// Ignores what is to be ignored. To be called first of all.
  static func ignore() {
    for number in ignored { signal(number, SIG_IGN) }
    // Until there is somebody to tell.
    signal(SIGHUP, SIG_IGN)
  }

  /// Has `body` told of each SIGTERM, SIGINT and SIGHUP from now on, one after the other on a thread of
  /// its own. Called once.
  static func receive(_ body: @escaping @Sendable (Int32) -> Void) {
    var ends: [Int32] = [0, 0]
    precondition(pipe(&ends) == 0, "no pipe: \(errno)")
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    // A handler never waits; so many signals that the pipe is full are not told apart.
    _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
    pipeEnds = (ends[0], ends[1])
    receiver.withLock { $0 = body }
    startThread()
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { number in
      let error = errno
      var byte = UInt8(truncatingIfNeeded: number)
      _ = write(ProcessSignals.pipeEnds.write, &byte, 1)
      errno = error
    }
    action.sa_flags = SA_RESTART
    for number in [SIGTERM, SIGINT, SIGHUP] { sigaction(number, &action, nil) }
  }

  private static func startThread() {
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { _ in
        var byte: UInt8 = 0
        while true {
          guard read(ProcessSignals.pipeEnds.read, &byte, 1) == 1 else { continue }
          let body = ProcessSignals.receiver.withLock { $0 }
          body?(Int32(byte))
        }
      }, nil)
    precondition(code == 0, "cannot start a thread: \(code)")
    pthread_detach(thread)
  }
}
