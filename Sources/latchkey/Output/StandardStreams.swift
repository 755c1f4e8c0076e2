import Glibc

/// What a command prints for its caller.
enum StandardOutput {
  static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Writes `text` and a line's end. Ends the program where nobody reads any more, in silence and
  /// with the status that a shell shows for SIGPIPE, or where writing fails for another reason.
  static func line(_ text: String) {
    switch writeAll(text + "\n", to: STDOUT_FILENO) {
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

  static func line(_ text: String) { write(text + "\n") }

  /// Writes as far as it can: there is nobody to tell of an error here.
  static func write(_ text: String) { _ = writeAll(text, to: STDERR_FILENO) }
}

/// Writes all of `text`.
///
/// - Returns: 0, or the errno.
private func writeAll(_ text: String, to descriptor: Int32) -> Int32 {
  var text = text
  return text.withUTF8 { bytes in
    var rest = UnsafeRawBufferPointer(bytes)
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
