import Glibc

/// Writes lines to a descriptor on a thread of its own, so that nobody waits for who reads them: not even
/// where that is nobody. What does not fit into the queue is dropped and counted; so is what cannot be written, unless
/// it is to be kept until it can.
///
/// The descriptor's flags are never touched: it may be shared with other processes.
///
/// `@unchecked Sendable`: everything mutable is touched only under `mutex`, but for the descriptor, which is the
/// thread's.
package final class LineWriter: @unchecked Sendable {
  /// Bytes of lines that wait to be written.
  package static let queueBytesMax = 1 << 20

  private var descriptor: Int32
  /// The one that is to take its place.
  private var nextDescriptor: Int32?
  private let queueBytesMax: Int
  /// Whether what cannot be written is tried again.
  private let keepsTrying: Bool
  /// Opens the file anew where somebody has removed it; nil where it is none, or nobody cares.
  private let reopen: (@Sendable () -> Int32?)?
  /// What is written where so many lines were dropped.
  private let notice: @Sendable (Int) -> [UInt8]
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var queue: [UInt8] = []
  /// Whether the thread has taken bytes that it has not written yet.
  private var isWriting = false
  /// Lines dropped that no line has told of yet.
  private var untold = 0
  /// Why nothing can be written at the moment; nil where it can, as far as is known.
  private var latestFailure: Int32?
  private var reportFailure: (@Sendable (Int32?) -> Void)?
  private var reportDrops: (@Sendable (Int) -> Void)?
  /// Lines dropped before there was anybody to report them to.
  private var unreported = 0

  /// Lives as long as the process: so does its thread.
  ///
  /// - Parameter reopen: Opens the file anew where somebody has removed it; nil, and the error in `errno`, where that
  ///   fails.
  package init(
    _ descriptor: Int32, queueBytesMax: Int = queueBytesMax, keepsTrying: Bool = false,
    reopen: (@Sendable () -> Int32?)? = nil,
    notice: @escaping @Sendable (Int) -> [UInt8] = {
      Array("(\($0) lines were dropped here: nobody read them in time)".utf8)
    }
  ) {
    self.descriptor = descriptor
    self.queueBytesMax = queueBytesMax
    self.keepsTrying = keepsTrying
    self.reopen = reopen
    self.notice = notice
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(changed, &attributes)
    pthread_condattr_destroy(&attributes)
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<LineWriter>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    precondition(code == 0, "cannot start a thread: \(code)")
    pthread_detach(thread)
  }

  /// Queues a line; its end is added. The first that fits after others were dropped says how many.
  package func write(_ line: String) { write(Array(line.utf8)) }

  /// The same, of a line in UTF-8.
  package func write(_ line: [UInt8]) {
    let end = [UInt8(ascii: "\n")]
    let bytes = line + end
    locked {
      let notice = untold == 0 ? [] : notice(untold) + end
      guard queue.count + notice.count + bytes.count <= queueBytesMax else {
        untold += 1
        return drop(1)
      }
      untold = 0
      queue += notice + bytes
      pthread_cond_broadcast(changed)
    }
  }

  /// Has `body` told of every line that is dropped, also of those that were.
  package func reportDrops(to body: @escaping @Sendable (Int) -> Void) {
    locked {
      reportDrops = body
      if unreported > 0 { body(unreported) }
      unreported = 0
    }
  }

  /// Writes to another one from the next line on, and closes the one before.
  package func replace(with descriptor: Int32) {
    locked {
      if let unused = nextDescriptor { close(unused) }
      nextDescriptor = descriptor
      pthread_cond_broadcast(changed)
    }
  }

  /// Why nothing can be written at the moment, as an `errno`; nil where it can, as far as is known.
  package var failure: Int32? { locked { latestFailure } }

  /// Has `body` told where that changes. On the thread that writes.
  package func reportFailure(to body: @escaping @Sendable (Int32?) -> Void) {
    locked { reportFailure = body }
  }

  /// Waits until everything is written, or `nanoseconds` have passed. Returns whether it was.
  @discardableResult
  package func flush(nanoseconds: Int64) -> Bool {
    var deadline = Self.deadline(in: nanoseconds)
    return locked {
      while isWriting || !queue.isEmpty {
        if pthread_cond_timedwait(changed, mutex, &deadline) == ETIMEDOUT { return false }
      }
      return true
    }
  }

  // MARK: - The thread

  private func run() {
    while true {
      let bytes = locked { () -> [UInt8] in
        isWriting = false
        pthread_cond_broadcast(changed)
        while queue.isEmpty, nextDescriptor == nil { pthread_cond_wait(changed, mutex) }
        takeNextDescriptor()
        isWriting = true
        defer { queue = [] }
        return queue
      }
      var written = writeAll(bytes, from: 0)
      while written < bytes.count, keepsTrying {
        written = waitForAnotherTry(bytes, from: written)
        written = writeAll(bytes, from: written)
      }
      if written < bytes.count {
        // Nobody will ever read them: a pipe without a reader, a full disk.
        let lost = bytes[written...].count { $0 == UInt8(ascii: "\n") }
        locked {
          untold += lost
          drop(lost)
        }
      }
    }
  }

  private static let pauseNanoseconds: Int64 = 1_000_000_000
  /// How long nobody may read before that is a failure.
  private static let patienceMilliseconds: Int32 = 1_000

  /// - Returns: From where to go on: from the beginning of a line, where that is in another file.
  private func waitForAnotherTry(_ bytes: [UInt8], from written: Int) -> Int {
    var deadline = Self.deadline(in: Self.pauseNanoseconds)
    return locked {
      while nextDescriptor == nil {
        if pthread_cond_timedwait(changed, mutex, &deadline) == ETIMEDOUT { return written }
      }
      takeNextDescriptor()
      return Self.beginOfLine(bytes, at: written)
    }
  }

  private func takeNextDescriptor() {
    guard let next = nextDescriptor else { return }
    close(descriptor)
    (descriptor, nextDescriptor) = (next, nil)
  }

  private func note(failure: Int32?) {
    let report = locked { () -> (@Sendable (Int32?) -> Void)? in
      defer { latestFailure = failure }
      return (latestFailure == nil) == (failure == nil) ? nil : reportFailure
    }
    report?(failure)
  }

  /// Returns where it has come to.
  private func writeAll(_ bytes: [UInt8], from start: Int) -> Int {
    var start = start
    if !bytes.isEmpty {
      switch place() {
      case .same: break
      case .another: start = Self.beginOfLine(bytes, at: start)
      case .none:
        note(failure: errno)
        return start
      }
    }
    return bytes.withUnsafeBytes { bytes in
      var written = start
      while written < bytes.count {
        let count = Glibc.write(descriptor, bytes.baseAddress! + written, bytes.count - written)
        if count > 0 {
          written += count
        } else if errno == EAGAIN {
          // It is a pipe, and nobody reads it at the moment; or somebody else made it non-blocking.
          var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          guard poll(&ready, 1, keepsTrying ? Self.patienceMilliseconds : -1) != 0 else {
            note(failure: EAGAIN)
            return written
          }
        } else if errno != EINTR {
          note(failure: errno)
          return written
        }
      }
      note(failure: nil)
      return written
    }
  }

  /// Where the next bytes go.
  private enum Place {
    case same
    /// The file was removed, and is made anew.
    case another
    /// Nowhere where they could be found again; the error is in `errno`.
    case none
  }

  private func place() -> Place {
    guard let reopen else { return .same }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return .none }
    guard status.st_nlink == 0, status.st_mode & S_IFMT == S_IFREG else { return .same }
    guard let next = reopen() else { return .none }
    close(descriptor)
    descriptor = next
    return .another
  }

  /// Of the line that has come to `place`: in another file, all of it is written.
  private static func beginOfLine(_ bytes: [UInt8], at place: Int) -> Int {
    (bytes[..<place].lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
  }

  private func drop(_ count: Int) {
    guard let reportDrops else {
      unreported += count
      return
    }
    reportDrops(count)
  }

  /// For a wait on ``changed``.
  private static func deadline(in nanoseconds: Int64) -> timespec {
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    let total = Int64(deadline.tv_nsec) + nanoseconds
    deadline.tv_sec += Int(total / 1_000_000_000)
    deadline.tv_nsec = Int(total % 1_000_000_000)
    return deadline
  }

  private func locked<R>(_ body: () -> R) -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body()
  }
}
