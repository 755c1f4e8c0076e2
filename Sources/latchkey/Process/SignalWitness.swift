import CLinux
import Glibc

/// A process that only notes which signals reach it. It stands in the process group of the command,
/// and in the cgroup of `latchkey`, in which that of the command is (``CommandCgroup``), so what was
/// sent to all of them was sent to it too (see ``SignalRelay``).
struct SignalWitness {
  /// What it tells of each signal.
  struct Record {
    var number: Int32
    var sender: pid_t
  }

  let process: pid_t
  /// ``Record``s come out of it.
  let descriptor: Int32

  /// The signal that it is asked by, the last one: what reached it before comes out before, since
  /// the kernel hands out pending signals in the order of their numbers.
  private static let question = Signals.numbers.upperBound
  /// What it is woken by when its parent has ended.
  private static let parentDeath = question - 1

  /// Starts one, as a child of this process. Nil where the system has no room for it: then every
  /// signal is passed on, as it would be without a witness.
  ///
  /// - Parameter cgroup: What to end where the parent is killed, and perhaps `latchkey` with it.
  static func start(_ cgroup: CommandCgroup?) -> SignalWitness? {
    var ends: [Int32] = [0, 0]
    guard linux_pipe(&ends) == 0 else { return nil }
    let parent = getpid()
    let process = linux_fork()
    if process == 0 { run(parent: parent, output: ends[1], cgroup) }
    close(ends[1])
    guard process > 0 else {
      close(ends[0])
      return nil
    }
    return SignalWitness(process: process, descriptor: ends[0])
  }

  private static func run(parent: pid_t, output: Int32, _ cgroup: CommandCgroup?) -> Never {
    guard linux_set_parent_death_signal(parentDeath) == 0, getppid() == parent else { _exit(0) }
    linux_set_name("lock-witness")
    // Whoever waits for the command's output to end shall not wait for this process.
    linux_close_all_but(output)
    var set = Signals.set(of: Signals.numbers)
    while true {
      var info = siginfo_t()
      guard sigwaitinfo(&set, &info) > 0 else { continue }
      var record = Record(number: info.si_signo, sender: info._sifields._kill.si_pid)
      guard getppid() == parent,
        write(output, &record, MemoryLayout<Record>.size) > 0
      else { break }
    }
    if getppid() != parent { cgroup?.end() }
    _exit(0)
  }

  /// Has it write an answer behind all that reached it.
  func ask() { kill(process, Self.question) }

  func end() { kill(process, SIGKILL) }

  enum Reading {
    case signal(Record)
    case answer
    /// It has ended.
    case end
  }

  /// Reads what it says next; waits for it.
  func read() -> Reading {
    var record = Record(number: 0, sender: 0)
    let size = MemoryLayout<Record>.size
    var count = 0
    repeat { count = Glibc.read(descriptor, &record, size) } while count < 0 && errno == EINTR
    guard count == size else { return .end }
    return record.number == Self.question && record.sender == getpid()
      ? .answer : .signal(record)
  }
}
