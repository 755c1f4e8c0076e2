/// How a process ended.
enum ProcessEnd: Equatable, Sendable {
  case exited(Int32)
  case killed(signal: Int32)

  /// Reads what waitpid(2) says of a process that ended.
  init(waitStatus: Int32) {
    let signal = waitStatus & 0x7f
    self = signal == 0 ? .exited(waitStatus >> 8 & 0xff) : .killed(signal: signal)
  }

  var exitStatus: ExitStatus {
    switch self {
    case .exited(let code): ExitStatus(rawValue: code)
    case .killed(let signal): ExitStatus(signal: signal)
    }
  }
}
