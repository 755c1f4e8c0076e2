import Glibc

/// Writes lines to a descriptor on a thread of its own, so that nobody waits for who reads them: not even
/// where that is nobody. What does not fit into the queue is dropped and counted.
///
/// The descriptor's flags are never touched: it may be shared with other processes.
///
/// `@unchecked Sendable`: everything mutable is touched only under `mutex`.
package final class LineWriter: @unchecked Sendable {
  /// Bytes of lines that wait to be written.
  package static let queueBytesMax = 1 << 20

  private let descriptor: Int32
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var queue: [UInt8] = []
  /// Whether the thread has taken bytes that it has not written yet.
  private var isWriting = false
  /// Lines dropped that no line has told of yet.
  private var untold = 0
  private var reportDrops: (@Sendable (Int) -> Void)?
  /// Lines dropped before there was anybody to report them to.
  private var unreported = 0

  /// Lives as long as the process: so does its thread.
  package init(_ descriptor: Int32) {
    self.descriptor = descriptor
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
  package func write(_ line: String) {
    let bytes = Array(line.utf8) + [UInt8(ascii: "\n")]
    locked {
      let notice = untold == 0 ? [] : Self.notice(of: untold)
      guard queue.count + notice.count + bytes.count <= Self.queueBytesMax else {
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

  /// Waits until everything is written, or `nanoseconds` have passed. Returns whether it was.
  @discardableResult
  package func flush(nanoseconds: Int64) -> Bool {
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    let total = Int64(deadline.tv_nsec) + nanoseconds
    deadline.tv_sec += Int(total / 1_000_000_000)
    deadline.tv_nsec = Int(total % 1_000_000_000)
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
        while queue.isEmpty { pthread_cond_wait(changed, mutex) }
        isWriting = true
        defer { queue = [] }
        return queue
      }
      let written = writeAll(bytes)
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

  /// Returns how many bytes were written.
  private func writeAll(_ bytes: [UInt8]) -> Int {
    bytes.withUnsafeBytes { bytes in
      var written = 0
      while written < bytes.count {
        let count = Glibc.write(descriptor, bytes.baseAddress! + written, bytes.count - written)
        if count > 0 {
          written += count
        } else if errno == EAGAIN {
          // Somebody else made it non-blocking.
          var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          poll(&ready, 1, -1)
        } else if errno != EINTR {
          break
        }
      }
      return written
    }
  }

  private func drop(_ count: Int) {
    guard let reportDrops else {
      unreported += count
      return
    }
    reportDrops(count)
  }

  private static func notice(of count: Int) -> [UInt8] {
    Array("(\(count) lines were dropped here: nobody read them in time)\n".utf8)
  }

  private func locked<R>(_ body: () -> R) -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body()
  }
}
