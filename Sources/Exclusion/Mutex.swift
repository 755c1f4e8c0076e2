#if LATCHKEY_TSAN
  import Glibc

  /// Takes the place of the standard library's in builds for ThreadSanitizer, which cannot see that one on Linux: it
  /// would take whatever is guarded so for a race.
  package struct Mutex<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    package init(_ initial: consuming sending Value) {
      lock = .allocate(capacity: 1)
      value = .allocate(capacity: 1)
      pthread_mutex_init(lock, nil)
      value.initialize(to: initial)
    }

    deinit {
      value.deinitialize(count: 1)
      value.deallocate()
      pthread_mutex_destroy(lock)
      lock.deallocate()
    }

    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
      _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
      pthread_mutex_lock(lock)
      defer { pthread_mutex_unlock(lock) }
      return try body(&value.pointee)
    }
  }
#else
  package import struct Synchronization.Mutex

  /// What is guarded so is seen by one thread at a time.
  package typealias Mutex<Value: ~Copyable> = Synchronization.Mutex<Value>
#endif
