import Glibc

/// What a command prints for its caller.
enum StandardOutput {
  static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Writes `text` and a line's end. Ends the program where nobody reads any more, in silence and
  /// with the status that a shell shows for SIGPIPE, or where writing fails for another reason.
  static func line(_ text: String) {
    switch writeAll(Array((text + "\n").utf8), to: STDOUT_FILENO) {
    case 0: return
    case EPIPE: exitProcess(ExitStatus(signal: SIGPIPE))
    case let code:
      StandardError.line("latchkey: cannot write the output: \(errorText(code))")
      exitProcess(.output)
    }
  }
}

/// What a command says to a person.
enum StandardError {
  static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// Writes `text`, in which nothing can steer a terminal, and a line's end.
  static func line(_ text: String) { write(text.escapingControls() + "\n") }

  /// Writes `text` as it is. Returns at once, whoever reads it when: a lease may depend on this thread.
  static func write(_ text: String) { output.write(text) }

  /// The same as ``line(_:)`` for a process that has one thread: what cannot be written at once is
  /// left out.
  static func lineNow(_ text: String) {
    var ready = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
    guard poll(&ready, 1, 0) > 0 else { return }
    // A pipe that is ready takes so much at once.
    let bytes = (text.escapingControls() + "\n").utf8.prefix(Int(PIPE_BUF))
    _ = writeAll(Array(bytes), to: STDERR_FILENO)
  }

  /// Waits for what is still to be written, but not long.
  static func flush() { output.flush() }

  private static let output = PatientOutput(STDERR_FILENO)
}

/// Writes all of `bytes`, however long that takes.
///
/// - Returns: 0, or the errno.
func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
  bytes.withUnsafeBytes { bytes in
    var rest = bytes
    while !rest.isEmpty {
      let count = write(descriptor, rest.baseAddress!, rest.count)
      if count > 0 {
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      } else if errno == EAGAIN {
        // The caller's descriptor may be non-blocking.
        var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&ready, 1, -1)
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }
}

/// The width of the terminal that the output goes to, in columns; nil where it is none.
func terminalColumns() -> Int? {
  guard StandardOutput.isTerminal else { return nil }
  var size = winsize()
  if ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
  return getenv("COLUMNS").flatMap { Int(String(cString: $0)) }.flatMap { $0 > 0 ? $0 : nil }
}
