import Glibc
import TestKit
import Testing

@testable import latchkey

/// What a command under a lock started ends before another may hold the lock, whoever is killed.
@Suite("Command line: descendants", .serialized)
struct CLIDescendantsTests {
  enum End: CaseIterable {
    case terminated, killed, groupKilled, suspended, supervisorKilled, supervisorSuspended
    case bothSuspended
    case commandKilled, commandFailed, bothKilled, killedByCommandLine, killedByName

    /// What nothing but a cgroup can do.
    static var all: [End] { hasCgroup ? allCases : allCases.filter { $0 != .bothKilled } }

    static let hasCgroup: Bool = {
      let cgroup = CommandCgroup.make()
      cgroup?.remove()
      return cgroup != nil
    }()
  }

  @Test(
    "The last write of a command's descendants is before the first of the next holder",
    arguments: End.all)
  func nobodyWorksOutside(end: End) async throws {
    try await CLIServer.run { server in
      let journal = Journal(path: server.path("journal"))
      let first = try server.start(
        "lock", "k", "--ttl", "4s", "--", "sh", "-c",
        journal.startWriter("first")
          + "trap 'exit 3' USR1; echo command $$; while :; do sleep 0.05; done")
      defer { first.signal(SIGKILL) }
      try await first.output.line(containing: "writing")
      let command = try await first.output.line(containing: "command ").dropFirst(8)
      let second = try server.start(
        "lock", "k", "--", "sh", "-c", journal.write("second", times: 50))
      defer { second.signal(SIGKILL) }
      try await second.errors.line(containing: "waiting for")

      var suspended: pid_t = 0
      defer { if suspended > 0 { kill(suspended, SIGKILL) } }
      switch end {
      case .terminated: first.signal(SIGTERM)
      case .killed: first.signal(SIGKILL)
      case .groupKilled: kill(-first.id, SIGKILL)
      case .suspended: first.signal(SIGSTOP)
      case .supervisorKilled: kill(try ProcessTree.supervisor(of: first.id), SIGKILL)
      case .commandKilled: kill(try #require(pid_t(command)), SIGKILL)
      case .bothKilled:
        let supervisor = try ProcessTree.supervisor(of: first.id)
        first.signal(SIGKILL)
        kill(supervisor, SIGKILL)
      case .killedByCommandLine:
        try await killFound(by: ["pgrep", "-f", "latchkey lock .*k --ttl 4s"], from: first.id)
      case .killedByName:
        try await killFound(by: ["pgrep", "-x", "latchkey"], from: first.id)
      case .commandFailed: first.signal(SIGUSR1)
      case .bothSuspended:
        suspended = try ProcessTree.supervisor(of: first.id)
        kill(suspended, SIGSTOP)
        first.signal(SIGSTOP)
      case .supervisorSuspended:
        suspended = try ProcessTree.supervisor(of: first.id)
        kill(suspended, SIGSTOP)
        server.signal(SIGSTOP)
        // Only now the lease cannot be renewed.
        #expect(try await first.exit() == .exited(75))
        server.signal(SIGCONT)
      }
      #expect(try await second.exit() == .exited(0))
      try journal.expectInOrder("first", "second")
    }
  }

  @Test("What died while supervisor and latchkey were suspended is not said to resist")
  func goesOn() async throws {
    try await CLIServer.run { server in
      let journal = Journal(path: server.path("journal"))
      let holder = try server.start(
        "lock", "k", "--ttl", "2s", "--", "sh", "-c",
        journal.startWriter("first") + "while :; do sleep 0.05; done")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "writing")
      let supervisor = try ProcessTree.supervisor(of: holder.id)
      defer { if !holder.hasEnded { kill(supervisor, SIGKILL) } }
      kill(supervisor, SIGSTOP)
      holder.signal(SIGSTOP)
      // The witness is left, and the command's remains that nobody has waited for; or it has woken the
      // supervisor, which has ended all and itself.
      try await until {
        try ProcessTree.children(of: supervisor).filter { !ProcessTree.isZombie($0) }.count <= 1
      }
      // Longer than a kill may take before somebody is told.
      let end = ContinuousClock.now + Supervision.stuckAfter * 2
      try await until { ContinuousClock.now > end }
      kill(supervisor, SIGCONT)
      holder.signal(SIGCONT)
      #expect(try await holder.exit() == .exited(75))
      #expect(try await holder.errors.all().filter { $0.contains("cannot end") } == [])
    }
  }

  @Test("A command is not started where the supervisor hears of it only after the lease's end")
  func lateStart() async throws {
    try await CLIServer.run { server in
      #expect(try await server.run("claim", "k", "--owner", "x", "--ttl", "1h").end == .exited(0))
      let started = server.path("started")
      let waiting = try server.start("lock", "k", "--ttl", "2s", "--", "touch", started)
      defer { waiting.signal(SIGKILL) }
      try await waiting.errors.line(containing: "waiting for")
      let supervisor = try ProcessTree.supervisor(of: waiting.id)
      defer { if !waiting.hasEnded { kill(supervisor, SIGKILL) } }
      kill(supervisor, SIGSTOP)
      #expect(try await server.run("release", "k", "--owner", "x").end == .exited(0))
      // It is renewed: by then latchkey has told the supervisor to start.
      let json = ["get", "k", "--output", "json"]
      try await until { try await server.run(json).end == .exited(0) }
      func revision() async throws -> String? {
        try await server.run(json).output.first { $0.contains("revision") }
      }
      let granted = try await revision()
      try await until { try await revision() != granted }
      waiting.signal(SIGSTOP)
      try await until { try await server.run("get", "k").end == .exited(1) }
      kill(supervisor, SIGCONT)
      // Nobody has waited for it yet.
      try await until { ProcessTree.isZombie(supervisor) }
      #expect(try ProcessTree.faultsOfChildren(supervisor) == "0", "it had children")
      waiting.signal(SIGCONT)
      #expect(try await waiting.exit() == .exited(75))
      #expect(access(started, F_OK) != 0)
    }
  }

  /// Kills all that `finder` finds, but not those of other tests.
  private func killFound(by finder: [String], from latchkey: pid_t) async throws {
    let own = try Set(ProcessTree.all(from: latchkey))
    let found = try await Program.run("/usr/bin/env", finder).output.compactMap { pid_t($0) }
      .filter { own.contains($0) }
    #expect(found.contains(latchkey))
    for process in found { kill(process, SIGKILL) }
  }

  @Test("Neither supervisor nor witness shows the command line, and the command has its arguments")
  func commandLines() async throws {
    try await CLIServer.run { server in
      let script = "echo \"$0 $1\"; while :; do sleep 0.05; done"
      let holder = try server.start(
        "lock", "k", "--", "sh", "-c", script, "a b", "c")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "a b c")
      let supervisor = try ProcessTree.supervisor(of: holder.id)
      #expect(ProcessTree.arguments(of: supervisor) == ["lock-supervisor"])
      let started = try ProcessTree.children(of: supervisor)
      #expect(
        Set(started.map { ProcessTree.arguments(of: $0) }) == [
          ["lock-witness"], ["sh", "-c", script, "a b", "c"],
        ])
    }
  }

  @Test(
    "Cgroups that were left are removed by the next command, but not those in use",
    .enabled("needs a cgroup") { End.hasCgroup })
  func leftCgroups() async throws {
    try await CLIServer.run { server in
      // No process has such an id (PID_MAX_LIMIT).
      let left = try #require(CommandCgroup.of(1 << 23)).path
      let inner = "\(left)/latchkey-1"
      #expect(mkdir(left, 0o755) == 0 || errno == EEXIST)
      #expect(mkdir(inner, 0o755) == 0 || errno == EEXIST)
      let fifo = try server.makeFIFO()
      let daemon = try await server.run(
        "lock", "k", "--", "sh", "-c",
        "setsid sh -c 'exec >&- 2>&-; read line < \(fifo)' & cat /proc/self/cgroup; exit 0")
      #expect(daemon.end == .exited(0))
      #expect(access(left, F_OK) != 0)
      let own = try #require(daemon.output.first { $0.hasPrefix("0::") })
      let supervisor = try #require(own.split(separator: "-").last.flatMap { pid_t($0) })
      let used = try #require(CommandCgroup.of(supervisor)).path
      #expect(access(used, F_OK) == 0)
      #expect(try await server.run("lock", "k", "--", "true").end == .exited(0))
      #expect(access(used, F_OK) == 0)
      #expect(close(open(fifo, O_WRONLY)) == 0)
      try await until {
        let end = try await server.run("lock", "k", "--", "true").end
        return end == .exited(0) && access(used, F_OK) != 0
      }
    }
  }

  @Test(
    "The cgroup of a supervisor that was killed is removed",
    .enabled("needs a cgroup") { End.hasCgroup })
  func cgroupOfKilledSupervisor() async throws {
    try await CLIServer.run { server in
      let holder = try server.start(
        "lock", "k", "--", "sh", "-c", "echo started; while :; do sleep 0.05; done")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "started")
      let supervisor = try ProcessTree.supervisor(of: holder.id)
      let cgroup = try #require(CommandCgroup.of(supervisor)).path
      #expect(access(cgroup, F_OK) == 0)
      kill(supervisor, SIGKILL)
      #expect(try await holder.exit() != .exited(0))
      #expect(access(cgroup, F_OK) != 0)
    }
  }

  @Test("What a command leaves behind of its own accord goes on, unless it is to be waited for")
  func daemons() async throws {
    try await CLIServer.run { server in
      // A daemon that lives until somebody has opened the FIFO and closed it.
      func daemon(_ fifo: String) -> String {
        "setsid sh -c 'exec >&- 2>&-; read line < \(fifo)' & exit 0"
      }
      let free = try server.makeFIFO("free")
      #expect(try await server.run("lock", "k", "--", "sh", "-c", daemon(free)).end == .exited(0))
      #expect(try await server.run("get", "k").end == .exited(1))
      // Opening it for writing works once there is a reader: it lives.
      #expect(close(open(free, O_WRONLY)) == 0)

      let awaited = try server.makeFIFO("awaited")
      let waiting = try server.start(
        "lock", "k", "--wait-descendants", "--", "sh", "-c", daemon(awaited))
      defer { waiting.signal(SIGKILL) }
      let writer = open(awaited, O_WRONLY)
      #expect(try await server.run("get", "k").end == .exited(0))
      #expect(!waiting.hasEnded)
      close(writer)
      #expect(try await waiting.exit() == .exited(0))
      #expect(try await server.run("get", "k").end == .exited(1))
    }
  }

  @Test("A signal ends the wait for descendants, and them")
  func interruptedWait() async throws {
    try await CLIServer.run { server in
      let journal = Journal(path: server.path("journal"))
      let waiting = try server.start(
        "lock", "k", "--wait-descendants", "--", "sh", "-c",
        journal.startWriter("daemon") + "echo left; exit 0")
      defer { waiting.signal(SIGKILL) }
      try await waiting.output.line(containing: "writing")
      let supervisor = try ProcessTree.supervisor(of: waiting.id)
      // The command itself has ended: its supervisor has the daemon for a child.
      try await until {
        let children = try ProcessTree.children(of: supervisor)
        return children.count == 1 && ProcessTree.name(of: children[0]) == "sh"
      }
      waiting.signal(SIGTERM)
      #expect(try await waiting.exit() == .exited(143))
      // The end of its output is the death of the daemon.
      #expect(try await waiting.output.all().contains("left"))
    }
  }

  @Test(
    "In a PID namespace with a foreign /proc the command is stopped in time",
    .enabled("needs namespaces") { await Namespaces.prefix("-fp") != nil })
  func foreignProc() async throws {
    let unshare = try #require(await Namespaces.prefix("-fp"))
    try await stopsInTime(unshare)
  }

  @Test(
    "Without /proc the command runs with its arguments, and is stopped in time",
    .enabled("needs namespaces") { await Namespaces.prefix("-m") != nil })
  func noProc() async throws {
    let unshare = try #require(await Namespaces.prefix("-m"))
    let hidden = unshare + ["sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"]
    try await CLIServer.run { server in
      let result = try await server.runUnder(
        hidden, "lock", "k", "--", "sh", "-c", "echo $1", "a", "b")
      #expect(result.output == ["b"])
      #expect(result.end == .exited(0))
    }
    try await stopsInTime(hidden)
  }

  private func stopsInTime(_ prefix: [String]) async throws {
    try await CLIServer.run { server in
      let journal = Journal(path: server.path("journal"))
      let first = try server.startUnder(
        prefix, "lock", "k", "--ttl", "4s", "--", "sh", "-c",
        journal.startWriter("first") + "while :; do sleep 0.05; done")
      defer { first.signal(SIGKILL) }
      try await first.output.line(containing: "writing")
      server.signal(SIGSTOP)
      // All that could write have ended, or this would not.
      _ = try await first.output.all()
      #expect(try await first.exit() == .exited(75))
      server.signal(SIGCONT)
      let second = try await server.run(
        "lock", "k", "--", "sh", "-c", journal.write("second", times: 50))
      #expect(second.end == .exited(0))
      try journal.expectInOrder("first", "second")
    }
  }
}
