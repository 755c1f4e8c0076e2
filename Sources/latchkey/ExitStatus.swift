import CLinux
import Glibc
import LatchkeyClient

/// What the program says to its caller when it ends: the codes of sysexits.h and of shells.
struct ExitStatus: RawRepresentable, Hashable, Sendable {
  let rawValue: Int32

  static let success = ExitStatus(rawValue: 0)
  /// `get`: nobody holds the key.
  static let notHeld = ExitStatus(rawValue: 1)
  /// EX_USAGE
  static let usage = ExitStatus(rawValue: 64)
  /// EX_UNAVAILABLE
  static let unavailable = ExitStatus(rawValue: 69)
  /// EX_SOFTWARE
  static let failed = ExitStatus(rawValue: 70)
  /// EX_OSERR
  static let system = ExitStatus(rawValue: 71)
  /// EX_IOERR
  static let output = ExitStatus(rawValue: 74)
  /// EX_TEMPFAIL: the lock is held by another, or was lost. `--exit-code` has another for the former.
  static let notToBeHad = ExitStatus(rawValue: 75)
  /// EX_PROTOCOL
  static let noCommonVersion = ExitStatus(rawValue: 76)
  /// EX_NOPERM: the server does not know who asks, or that one may not do it.
  static let denied = ExitStatus(rawValue: 77)
  /// As shells do: the command was found and cannot be executed.
  static let notExecutable = ExitStatus(rawValue: 126)
  /// As shells do: there is no such command.
  static let notFound = ExitStatus(rawValue: 127)

  init(rawValue: Int32) { self.rawValue = rawValue }

  /// As shells do: ended by the signal `number`.
  init(signal number: Int32) { rawValue = 128 + number }
}

/// Ends the program with a status other than success and nothing more to say.
struct CommandEnd: Error {
  let status: ExitStatus
}

/// Ends the program with a message on the standard error output.
struct Failure: Error {
  let status: ExitStatus
  let message: String

  init(_ status: ExitStatus, _ message: String) {
    self.status = status
    self.message = message
  }

  /// - Parameters:
  ///   - what: What the system did not allow, such as "start a thread".
  ///   - code: The errno.
  init(cannot what: String, _ code: Int32) {
    let limit = String(cString: linux_limit_behind(code))
    self.init(.system, "cannot \(what): \(errorText(code))\(limit)")
  }
}

func exitProcess(_ status: ExitStatus) -> Never {
  StandardError.flush()
  exit(status.rawValue)
}

/// The words for an errno.
func errorText(_ code: Int32) -> String {
  String(cString: strerror(code))
}
