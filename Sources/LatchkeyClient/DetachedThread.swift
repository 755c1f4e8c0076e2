import Glibc

/// A thread of the operating system, for what blocks.
///
/// Not one of libdispatch: where the system has no room for a thread, that tries again for ever and
/// holds up whoever asked for it, which may be the event loop that keeps the leases.
package enum DetachedThread {
  private final class Start {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  /// - Returns: 0, or the errno: `body` is not called then.
  package static func start(_ body: @escaping @Sendable () -> Void) -> Int32 {
    let start = Unmanaged.passRetained(Start(body))
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
        return nil
      }, start.toOpaque())
    guard code == 0 else {
      start.release()
      return code
    }
    pthread_detach(thread)
    return 0
  }
}
