import CLinux
import Glibc
import NIOCore

/// What a server process asks of its operating system.
enum ProcessSetup {
  static func prepare() {
    // A peer that went away is an error of a write, not the end of the process.
    signal(SIGPIPE, SIG_IGN)
    raiseFileLimit()
    boundMemory()
  }

  /// As many open files as the system allows: each connection is one.
  private static func raiseFileLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }

  /// glibc keeps freed memory in one arena for each thread and, after a large block was freed, stops
  /// giving such blocks back at once. A long list would then stay resident for good.
  private static func boundMemory() {
    mallopt(M_ARENA_MAX, 2)
    mallopt(M_MMAP_THRESHOLD, 256 << 10)
    mallopt(M_TRIM_THRESHOLD, 1 << 20)
  }
}

/// The cause in an error of the operating system, in its own words.
func reason(of error: any Error) -> String {
  guard let error = error as? IOError else { return "\(error)" }
  return String(cString: strerror(error.errnoCode))
}
