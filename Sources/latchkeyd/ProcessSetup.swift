import CLinux
import Glibc
import NIOCore

/// What a server process asks of its operating system.
enum ProcessSetup {
  static func prepare() {
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

  /// Gives back what was freed in between of what is in use.
  @Sendable static func trimMemory() { malloc_trim(0) }

  /// Gives back the pages of code that only the start needed: parsing arguments, binding symbols,
  /// looking up protocol conformances. They are most of a resting server's memory. What is needed
  /// again comes back from the page cache.
  ///
  /// Only executable mappings of files: nothing ever writes to those, so nothing can be lost.
  static func releaseStartUpPages() {
    guard let maps = readFile("/proc/self/maps") else { return }
    for line in maps.split(separator: "\n") {
      // 55bf18d5d000-55bf1a29c000 r-xp 00000000 fe:00 16236579 /usr/bin/latchkeyd
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      guard fields.count >= 6, fields[1] == "r-xp", fields[5].hasPrefix("/") else { continue }
      let range = fields[0].split(separator: "-")
      guard range.count == 2, let start = UInt(range[0], radix: 16),
        let end = UInt(range[1], radix: 16),
        let address = UnsafeMutableRawPointer(bitPattern: start)
      else { continue }
      madvise(address, Int(end - start), MADV_DONTNEED)
    }
  }

  /// Whether what is written to `descriptor` goes to the journal of systemd (systemd.exec(5), JOURNAL_STREAM).
  static func isJournal(_ descriptor: Int32) -> Bool {
    guard let said = getenv("JOURNAL_STREAM").map({ String(cString: $0) }) else { return false }
    var status = stat()
    return fstat(descriptor, &status) == 0 && said == "\(status.st_dev):\(status.st_ino)"
  }

  private static func readFile(_ path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while case let count = read(file, &chunk, chunk.count), count > 0 {
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// The cause in an error of the operating system, in its own words.
func reason(of error: any Error) -> String {
  switch error {
  case let error as IOError: String(cString: strerror(error.errnoCode))
  case is SocketAddressError.UnknownHost: "the name is not known"
  default: "\(error)"
  }
}
