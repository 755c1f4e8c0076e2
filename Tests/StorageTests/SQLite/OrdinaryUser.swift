import Glibc

@testable import Storage

/// Runs `body` on a thread that may do to files only what an ordinary user may.
func asOrdinaryUser<R: Sendable>(_ body: @escaping @Sendable () -> R) -> R? {
  guard geteuid() == 0 else { return body() }
  typealias SetUser = @convention(c) (uid_t) -> Int32
  guard let symbol = dlsym(nil, "setfsuid") else { return nil }
  let setUser = unsafeBitCast(symbol, to: SetUser.self)
  let box = ResultBox<R>()
  let thread = BlockingThread {
    _ = setUser(65_534)
    box.value = body()
  }
  thread.join()
  return box.value
}

/// `@unchecked Sendable`: written by a thread that is joined before it is read.
private final class ResultBox<R>: @unchecked Sendable {
  var value: R?
}
