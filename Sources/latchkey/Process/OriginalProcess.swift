import CLinux
import Glibc
import Exclusion

/// The process as its caller started it. A command that runs under a lock shall find it like this,
/// whatever libraries have done to it since.
enum OriginalProcess {
  private struct Memory: Sendable {
    var ignored: Set<Int32> = []
    var mask = sigset_t()
  }

  private static let remembered = Mutex(Memory())

  /// The arguments, from the program's name on, byte by byte as `main` got them.
  static var argumentCount: Int { Int(linux_argument_count()) }
  static var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> { linux_arguments() }

  /// The arguments as texts, without the program's name.
  static var argumentTexts: [String] {
    (1..<max(1, argumentCount)).map { String(cString: arguments[$0]!) }
  }

  /// Refuses what is not UTF-8: as a text it would be the same as another one that is not either.
  ///
  /// - Parameter count: So many of the last arguments are another program's, and may be any bytes.
  static func checkTexts(dropLast count: Int) throws(Failure) {
    for index in 1..<max(1, argumentCount - count)
    where String(validatingCString: arguments[index]!) == nil {
      throw Failure(.usage, "argument \(index) is not UTF-8: \"\(argumentTexts[index - 1])\"")
    }
  }

  /// The signals that the caller ignores, as `nohup` and background jobs of a shell do.
  static var ignoredSignals: Set<Int32> { remembered.withLock { $0.ignored } }

  /// The signals that the caller blocks.
  static var signalMask: sigset_t { remembered.withLock { $0.mask } }

  /// To be called once, before any thread, socket or signal handler exists.
  static func remember() {
    linux_open_standard_streams()
    var ignored: Set<Int32> = []
    for signal in Signals.numbers {
      var action = sigaction()
      guard sigaction(signal, nil, &action) == 0 else { continue }
      if unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1 {
        ignored.insert(signal)
      }
    }
    var mask = sigset_t()
    pthread_sigmask(SIG_BLOCK, nil, &mask)
    let memory = Memory(ignored: ignored, mask: mask)
    remembered.withLock { $0 = memory }
    // Where it is ignored, the kernel reaps children by itself, and nobody learns how they ended. The
    // command gets it like this as well: few programs are prepared for anything else.
    signal(SIGCHLD, SIG_DFL)
  }
}

/// The names of a directory's entries, "." and ".." included.
func entryNames(of directory: OpaquePointer) -> [String] {
  var names: [String] = []
  while let entry = readdir(directory) {
    names.append(
      withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      })
  }
  return names
}
