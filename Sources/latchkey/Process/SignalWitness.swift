import CLinux
import Glibc

/// A process that notes which signals reach it. It stands in the process group of the command,
/// and in the cgroup of `latchkey`, in which that of the command is (``CommandCgroup``), so what was
/// sent to all of them was sent to it too (see ``SignalRelay``).
///
/// It also watches over the lease's end: where that comes so near that the supervisor must have killed
/// the command, and has not, as where somebody suspended it and `latchkey`, it kills what the
/// supervisor has started. How far the lease reaches it knows from `latchkey` itself
/// (``SharedLeaseEnd``): where only the supervisor is suspended, the command goes on.
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
  /// - Parameters:
  ///   - cgroup: What to end where the parent is killed, and perhaps `latchkey` with it.
  ///   - lease: How long it is.
  ///   - leaseEnd: When it ends.
  static func start(
    _ cgroup: CommandCgroup?, lease: Duration, until leaseEnd: SharedLeaseEnd
  ) -> SignalWitness? {
    var ends: [Int32] = [0, 0]
    guard linux_pipe(&ends) == 0 else { return nil }
    let parent = getpid()
    let process = linux_fork()
    if process == 0 {
      run(parent: parent, output: ends[1], cgroup) {
        Supervision.lastMoment(ofLease: lease, until: leaseEnd.value)
      }
    }
    close(ends[1])
    guard process > 0 else {
      close(ends[0])
      return nil
    }
    return SignalWitness(process: process, descriptor: ends[0])
  }

  private static func run(
    parent: pid_t, output: Int32, _ cgroup: CommandCgroup?,
    until lastMoment: () -> Int64
  ) -> Never {
    guard linux_set_parent_death_signal(parentDeath) == 0, getppid() == parent else { _exit(0) }
    linux_set_name("lock-witness")
    // Whoever waits for the command's output to end shall not wait for this process.
    linux_close_all_but(output)
    var set = Signals.set(of: Signals.numbers)
    let alarm = Alarm()
    alarm?.set(at: lastMoment())
    while true {
      var info = siginfo_t()
      // A user has only so many timers; without one it looks now and then.
      var pause = timespec(nanoseconds: Supervision.killInterval.nanoseconds)
      let number = alarm == nil ? sigtimedwait(&set, &info, &pause) : sigwaitinfo(&set, &info)
      let isTimeToLook =
        number > 0 ? info.si_code == Self.ofTimer : alarm == nil && errno == EAGAIN
      guard number > 0 || isTimeToLook else { continue }
      // Before all else: once the supervisor is gone, its id may be another's.
      guard getppid() == parent else { break }
      if isTimeToLook {
        alarm?.set(at: watch(until: lastMoment(), parent, cgroup))
        continue
      }
      var record = Record(number: info.si_signo, sender: info._sifields._kill.si_pid)
      guard write(output, &record, MemoryLayout<Record>.size) > 0 else { break }
    }
    if getppid() != parent { cgroup?.end() }
    _exit(0)
  }

  // MARK: - The lease's end

  /// The `si_code` of what a timer sends: SI_TIMER, which is an enumeration's in C.
  private static let ofTimer: Int32 = -2
  /// What a timer sends when the lease may be over.
  private static let leaseEnd = question - 2

  /// A timer on the clock that goes on while the machine sleeps.
  private struct Alarm {
    /// The first one of a process is the null pointer.
    private var timer: timer_t?

    /// Nil where the system gives none.
    init?() {
      var event = sigevent()
      event.sigev_notify = Int32(SIGEV_SIGNAL)
      event.sigev_signo = leaseEnd
      guard timer_create(CLOCK_BOOTTIME, &event, &timer) == 0 else { return nil }
    }

    func set(at time: Int64) {
      var setting = itimerspec()
      // Zero would switch the alarm off.
      setting.it_value = timespec(nanoseconds: max(time, 1))
      timer_settime(timer, Int32(TIMER_ABSTIME), &setting, nil)
    }
  }

  /// Kills what the supervisor has started, if it is time for that.
  ///
  /// - Returns: When to look again.
  private static func watch(
    until lastMoment: Int64, _ supervisor: pid_t, _ cgroup: CommandCgroup?
  ) -> Int64 {
    guard lastMoment <= Supervisor.now else { return lastMoment }
    cgroup?.kill()
    var isAnyLeft = false
    if Descendants.isProcOurs {
      isAnyLeft = Descendants.signal(SIGKILL, of: supervisor, except: getpid())
      // Where processes start others and end without a pause, those that have ended pile up until the
      // supervisor waits for them, and the last one can hardly be found. It knows what to do.
      if isAnyLeft { kill(supervisor, SIGCONT) }
    } else {
      // The kernel kills the command with it (``CommandLaunch``).
      kill(supervisor, SIGKILL)
    }
    let interval = isAnyLeft ? Supervision.killInterval : Supervision.stuckInterval
    return Supervisor.now + interval.nanoseconds
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
