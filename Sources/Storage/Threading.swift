import Glibc
import LockCore

/// What became of an element that was offered to a queue.
enum Admission {
  case admitted, full, closed
  /// Others may still get in.
  case fullOfSource
}

/// A queue between threads: bounded, taken in batches, with a wait that ends at a point in time.
///
/// `@unchecked Sendable`: `elements`, `isClosed` and `wantedCount` are touched only under `mutex`.
package final class BatchQueue<Element: Sendable>: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let capacity: Int
  // No check of exclusive access at run time: the mutex sees to it.
  @exclusivity(unchecked) private var elements: [Element] = []
  private var isClosed = false
  /// With how many elements whoever waits goes on; nobody does where it is `Int.max`.
  private var wantedCount = Int.max

  package init(capacity: Int) {
    self.capacity = capacity
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func append(_ element: Element) -> Admission {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if isClosed { return .closed }
    if elements.count >= capacity { return .full }
    elements.append(element)
    if elements.count >= wantedCount { pthread_cond_signal(condition) }
    return .admitted
  }

  /// Appends what must not be lost and is rare, such as the end of a scan, over the bound as well.
  package func appendAlways(_ element: Element) {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    elements.append(element)
    if elements.count >= wantedCount { pthread_cond_signal(condition) }
  }

  /// Takes up to `max` elements, in order. Waits while there are none, until the queue is closed or
  /// `nanoseconds` have passed; with nil, until there are some.
  package func take(max: Int, waitNanoseconds: Int64?) -> [Element] {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    waitLocked(for: 1, nanoseconds: waitNanoseconds)
    if elements.count <= max {
      let taken = elements
      elements = []
      // The next batch is likely to be as large as this one.
      elements.reserveCapacity(taken.count)
      return taken
    }
    let taken = Array(elements.prefix(max))
    elements.removeFirst(max)
    return taken
  }

  /// Waits until there are `count` elements, the queue is closed, or `nanoseconds` have passed.
  func wait(for count: Int, nanoseconds: Int64) {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    waitLocked(for: count, nanoseconds: nanoseconds)
  }

  private func waitLocked(for count: Int, nanoseconds: Int64?) {
    guard elements.count < count, !isClosed else { return }
    wantedCount = count
    defer { wantedCount = .max }
    guard let nanoseconds else {
      while elements.count < count, !isClosed { pthread_cond_wait(condition, mutex) }
      return
    }
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    let end = Int64(deadline.tv_nsec) + Swift.max(0, nanoseconds)
    deadline.tv_sec += Int(end / 1_000_000_000)
    deadline.tv_nsec = Int(end % 1_000_000_000)
    while elements.count < count, !isClosed {
      if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return }
    }
  }

  /// Nothing more gets in; what is in can still be taken.
  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  var hasEnded: Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return isClosed && elements.isEmpty
  }

  var count: Int {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return elements.count
  }
}

/// A thread of the operating system, for calls that block.
package final class BlockingThread: Sendable {
  private let thread: pthread_t

  package init(_ body: @escaping @Sendable () -> Void) {
    let (thread, code) = Self.start(body)
    precondition(code == 0, "cannot start a thread: \(code)")
    self.thread = thread
  }

  /// Starts one for whose end nobody waits.
  ///
  /// - Returns: False where the system has no room for it.
  package static func detached(_ body: @escaping @Sendable () -> Void) -> Bool {
    let (thread, code) = start(body)
    if code == 0 { pthread_detach(thread) }
    return code == 0
  }

  private static func start(
    _ body: @escaping @Sendable () -> Void
  ) -> (thread: pthread_t, code: Int32) {
    let box = Unmanaged.passRetained(Start(body))
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
    if code != 0 { box.release() }
    return (thread, code)
  }

  /// Has the calling thread wait.
  package static func sleep(nanoseconds: Int64) {
    guard nanoseconds > 0 else { return }
    var pause = timespec(
      tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    nanosleep(&pause, nil)
  }

  /// Waits until the thread has ended. Called once.
  func join() { pthread_join(thread, nil) }

  private final class Start: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
