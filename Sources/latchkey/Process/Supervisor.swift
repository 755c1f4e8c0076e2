import CLinux
import Glibc

/// The process between `latchkey` and the command that it runs under a lock: it outlives a `latchkey`
/// that is killed, and ends the command, with all that it started, before the lease is over.
///
/// Where one process of the three is killed, the others see to it that nobody works on:
/// - `latchkey`: this process learns it by the end of their socket, and ends the command;
/// - this process: the kernel kills the command (``CommandLaunch``), and `latchkey`, which adopts what
///   is left, ends that;
/// - both at once, one by one: the kernel kills the command, and the witness what it started, where the
///   command has a cgroup of its own (``CommandCgroup``); otherwise nobody does;
/// - all three at once, the witness too: the kernel kills the command, but nobody what it started.
///
/// So that no usual signal reaches more than one of them, this process leaves the process group of
/// `latchkey`, and it and the witness have other names and other command lines. What they have in
/// common is the program's file: who kills by that (`killall /path/latchkey`, and `pidof latchkey` of
/// procps) kills all three.
///
/// While `latchkey` is suspended, or hangs, this process keeps the lease's end by itself: it believes
/// in the lease as far as `latchkey` has last told (``SharedLeaseEnd``). While this process is
/// suspended as well, the witness does, for as long as the command itself lives. Where only this
/// process is suspended, `latchkey` goes on renewing the lease, and the witness knows.
///
/// A fork of `latchkey` from before its threads: it has one thread, and needs neither /proc nor the
/// program's file.
struct Supervisor {
  /// -1 once `latchkey` is gone.
  private var link: Int32
  private var supervision: Supervision
  private let leaseEnd: SharedLeaseEnd
  private var relay = SignalRelay()
  private var witness: SignalWitness?
  /// Nil once it has ended: its process id may be another's then.
  private var command: pid_t?
  private var cgroup: CommandCgroup?
  private let children: Int32
  private let alarm: Int32

  /// Forks it, before there is any other thread.
  ///
  /// - Parameter argumentCount: How many of this program's last arguments are the command.
  static func fork(argumentCount: Int) throws(Failure) -> SupervisorLink {
    // Whom a killed supervisor leaves behind, this process takes over.
    guard linux_adopt_orphans() == 0 else {
      throw Failure(.system, "cannot keep an eye on the command's processes: \(errorText(errno))")
    }
    guard let leaseEnd = SharedLeaseEnd() else {
      throw Failure(.system, "cannot get a page of memory: \(errorText(errno))")
    }
    var ends: [Int32] = [0, 0]
    let kind = Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else {
      throw Failure(.system, "cannot make a pair of sockets: \(errorText(errno))")
    }
    let process = linux_fork()
    if process == 0 {
      close(ends[0])
      run(link: ends[1], leaseEnd, argumentCount)
    }
    close(ends[1])
    guard process > 0 else {
      throw Failure(cannot: "start a process", errno)
    }
    return SupervisorLink(descriptor: ends[0], supervisor: process, leaseEnd)
  }

  private static func run(
    link: Int32, _ leaseEnd: SharedLeaseEnd, _ argumentCount: Int
  ) -> Never {
    var all = Signals.set(of: Signals.numbers)
    sigprocmask(SIG_BLOCK, &all, nil)
    // Not the program's own: who kills every "latchkey", or by the command line, shall not kill this
    // one too.
    linux_set_name("lock-supervisor")
    while true {
      guard case .message(let message) = SupervisorMessage.receive(on: link, waits: true) else {
        _exit(0)
      }
      guard case .start(let lease, let waits, let changes) = message.instruction else { continue }
      let supervision = Supervision(
        lease: .nanoseconds(lease), until: leaseEnd.value, waitsForDescendants: waits)
      guard var supervisor = Supervisor(link: link, supervision, leaseEnd) else {
        finish(.failed(errno), on: link)
      }
      // What was said since: this process may have been suspended.
      supervisor.hearLatchkey()
      supervisor.learnLeaseEnd()
      if let reason = supervisor.supervision.refusal(at: now) {
        finish(.finished(Supervision.Outcome(end: nil, reason: reason)), on: link)
      }
      guard supervisor.start(argumentCount, changes) else { finish(.failed(errno), on: link) }
      supervisor.serve()
    }
  }

  private static func finish(_ report: SupervisorReport, on link: Int32) -> Never {
    _ = SupervisorMessage(report).send(on: link)
    _exit(0)
  }

  /// Nil, with errno set, where the system does not give what is needed.
  private init?(link: Int32, _ supervision: Supervision, _ leaseEnd: SharedLeaseEnd) {
    self.link = link
    self.supervision = supervision
    self.leaseEnd = leaseEnd
    var ends = Signals.set(of: [SIGCHLD])
    children = signalfd(-1, &ends, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
    alarm = timerfd_create(CLOCK_BOOTTIME, Int32(TFD_CLOEXEC | TFD_NONBLOCK))
    guard children >= 0, alarm >= 0, linux_adopt_orphans() == 0 else { return nil }
  }

  /// Starts the command.
  ///
  /// - Returns: Whether it could, or errno says why not.
  private mutating func start(_ argumentCount: Int, _ changes: [EnvironmentChange]) -> Bool {
    cgroup = CommandCgroup.make()
    witness = SignalWitness.start(cgroup, lease: supervision.lease, until: leaseEnd)
    let process = CommandLaunch.start(argumentCount: argumentCount, changes, in: cgroup) {
      // Witness and command stay in the group of `latchkey`, and with it in the foreground of a
      // terminal; signals to the group do not reach this process from here on. In a session of its own,
      // since a group whose last member with a parent elsewhere in its session ends gets SIGHUP where
      // one of it is stopped: so the end of the command would end the script that called `latchkey`.
      setsid()
    }
    guard process > 0 else {
      let code = errno
      witness?.end()
      cgroup?.remove()
      errno = code
      return false
    }
    command = process
    return true
  }

  // MARK: - Events

  private mutating func serve() -> Never {
    while true {
      setAlarm()
      var polled = [link, children, alarm, witness?.descriptor ?? -1].map {
        pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
      }
      guard poll(&polled, nfds_t(polled.count), -1) > 0 else { continue }
      // The witness first: what it got explains what comes from `latchkey`.
      if polled[3].revents != 0 { hearWitness() }
      if polled[0].revents != 0 { hearLatchkey() }
      if polled[1].revents != 0 { drain(children, by: MemoryLayout<signalfd_siginfo>.size) }
      if polled[2].revents != 0 { drain(alarm, by: MemoryLayout<UInt64>.size) }
      // What died while this process was suspended does not resist.
      if supervision.isEnding { reap() }
      decide(.time)
      perform(relay.timePassed(at: Self.now))
      // Also without SIGCHLD: which of several were sent is not told.
      reap()
    }
  }

  /// Nanoseconds on the clock that goes on while the machine sleeps.
  static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_BOOTTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  private func setAlarm() {
    let next = [supervision.nextAlarm, relay.nextAlarm].compactMap(\.self).min()
    var setting = itimerspec()
    // Zero would switch the alarm off.
    setting.it_value = timespec(nanoseconds: next.map { max($0, 1) } ?? 0)
    timerfd_settime(alarm, Int32(TFD_TIMER_ABSTIME), &setting, nil)
  }

  private func drain(_ descriptor: Int32, by size: Int) {
    withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { buffer in
      while read(descriptor, buffer.baseAddress!, size) > 0 {}
    }
  }

  private mutating func hearWitness() {
    guard let witness else { return }
    switch witness.read() {
    case .signal(let record):
      // What this process sends to the command and its group is no news.
      guard record.sender != getpid() else { return }
      relay.witnessed(record.number, from: record.sender, at: Self.now)
    case .answer: perform(relay.witnessAnswered())
    case .end: loseWitness()
    }
  }

  private mutating func loseWitness() {
    guard let witness else { return }
    close(witness.descriptor)
    self.witness = nil
    // Nobody answers any more.
    perform(relay.witnessAnswered())
  }

  private mutating func hearLatchkey() {
    while true {
      switch SupervisorMessage.receive(on: link, waits: false) {
      case .nothing: return
      case .end:
        decide(.latchkeyEnded)
        close(link)
        // Is not polled.
        link = -1
        return
      case .message(let message):
        switch message.instruction {
        case .start: break
        case .stop: decide(.stop)
        case .signal(let signal): received(signal)
        }
      }
    }
  }

  private mutating func received(_ signal: ReceivedSignal) {
    // What the kernel sends goes to a terminal's whole foreground group.
    if !signal.isFromKernel {
      relay.received(signal.number, from: signal.sender, at: Self.now)
    }
    guard Signals.endRequests.contains(signal.number) else { return }
    decide(.endRequested(signal.number))
  }

  private mutating func reap() {
    var ended: ProcessEnd?
    let command = command
    let isNobodyLeft = Descendants.reap { process, end in
      if process == command { ended = end }
    }
    if let ended {
      self.command = nil
      // There is nobody to pass signals on to.
      witness?.end()
      decide(.commandEnded(ended))
    }
    if isNobodyLeft { decide(.allEnded) }
  }

  /// Has what happened decided upon, by the lease's end as it is now.
  private mutating func decide(_ event: Supervision.Event) {
    learnLeaseEnd()
    perform(supervision.handle(event, at: Self.now))
  }

  private mutating func learnLeaseEnd() {
    perform(supervision.handle(.leaseGood(until: leaseEnd.value), at: Self.now))
  }

  // MARK: - Actions

  private mutating func perform(_ actions: [Supervision.Action]) {
    for action in actions {
      switch action {
      case .signalAll(let number):
        if number == SIGKILL { cgroup?.kill() }
        Descendants.signal(number, except: witness?.process)
      case .sayEnding: _ = SupervisorMessage(.ending).send(on: link)
      case .sayStuck:
        let text = Descendants.stuckText(except: witness?.process)
        StandardError.lineNow("latchkey: \(text)")
      case .finish(let outcome):
        cgroup?.remove()
        Self.finish(.finished(outcome), on: link)
      }
    }
  }

  private mutating func perform(_ actions: [SignalRelay.Action]) {
    for action in actions {
      switch action {
      case .forward(let number): if let command { kill(command, number) }
      case .askWitness:
        if let witness {
          witness.ask()
        } else {
          perform(relay.witnessAnswered())
        }
      }
    }
  }
}

extension timespec {
  init(nanoseconds: Int64) {
    self.init(
      tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}
