import Glibc
import TestKit
import Testing

@testable import latchkey

/// Supervisors that are suspended while `latchkey` itself goes on, and witnesses that stand still.
@Suite("Command line: a suspended supervisor or witness", .serialized)
struct CLISuspensionTests {
  @Test("A command whose supervisor alone is suspended goes on for as long as its lease is renewed")
  func supervisorAlone() async throws {
    try await CLIServer.run { server in
      let fifo = try server.makeFIFO()
      let lease = 8
      let holder = try server.start(
        "lock", "k", "--ttl", "\(lease)s", "--", "sh", "-c",
        "echo working; read line < \(fifo); exit 7")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "working")
      let supervisor = try ProcessTree.supervisor(of: holder.id)
      defer { if !holder.hasEnded { kill(supervisor, SIGKILL) } }
      kill(supervisor, SIGSTOP)
      // By then the lease is over of which the supervisor has heard.
      let end = ContinuousClock.now + .seconds(lease + 2)
      try await until { ContinuousClock.now > end }
      #expect(!holder.hasEnded)
      #expect(try await server.run("get", "k").end == .exited(0))
      // Refused where nobody has it open for reading.
      let writer = open(fifo, O_WRONLY | O_NONBLOCK)
      defer { close(writer) }
      #expect(writer >= 0, "the command has ended")

      kill(supervisor, SIGCONT)
      // It has noticed how late it is, and waits again.
      try await until {
        Descendants.text(of: "/proc/\(supervisor)/stat")?.contains(") S ") == true
      }
      #expect(write(writer, "\n", 1) == 1)
      #expect(try await holder.exit() == .exited(7))
      #expect(try await holder.errors.all() == [])
    }
  }

  /// Those that have ended pile up, since nobody waits for them.
  @Test("Processes that start others without a pause end in time, whatever is suspended")
  func bothSuspended() async throws {
    try await CLIServer.run { server in
      let (beat, stop) = (server.path("beat"), server.path("stop"))
      let chain = #"trap "" TERM; [ -e "$STOP" ] && exit; echo >> "$BEAT"; setsid sh -c "$CHAIN" &"#
      let variables = ["BEAT=\(beat)", "STOP=\(stop)", "CHAIN=\(chain)"]
      defer { close(open(stop, O_CREAT | O_WRONLY, 0o600)) }
      let holder = try server.start(
        ["lock", "k", "--ttl", "4s", "--", "sh", "-c", #"sh -c "$CHAIN"; sleep 100"#],
        environment: variables)
      defer { holder.signal(SIGKILL) }
      try await until { access(beat, F_OK) == 0 }
      let supervisor = try ProcessTree.supervisor(of: holder.id)
      defer { if !holder.hasEnded { kill(supervisor, SIGKILL) } }
      holder.signal(SIGSTOP)
      kill(supervisor, SIGSTOP)
      let next = try await server.run(
        [
          "lock", "k", "--ttl", "4s", "--", "sh", "-c",
          #"wc -c < "$BEAT"; sleep 1; wc -c < "$BEAT""#,
        ],
        environment: variables)
      #expect(next.end == .exited(0))
      #expect(next.output.count == 2 && next.output.first == next.output.last)
      holder.signal(SIGCONT)
      #expect(try await holder.exit() == .exited(75))
    }
  }

  @Test("A signal that comes while the start is on its way to the supervisor prevents it")
  func signalBeforeStart() async throws {
    try await CLIServer.run { server in
      #expect(try await server.run("claim", "k", "--owner", "x", "--ttl", "1h").end == .exited(0))
      let started = server.path("started")
      let waiting = try server.start("lock", "k", "--ttl", "15s", "--", "touch", started)
      defer { waiting.signal(SIGKILL) }
      try await waiting.errors.line(containing: "waiting for")
      let supervisor = try ProcessTree.supervisor(of: waiting.id)
      defer { if !waiting.hasEnded { kill(supervisor, SIGKILL) } }
      kill(supervisor, SIGSTOP)
      #expect(try await server.run("release", "k", "--owner", "x").end == .exited(0))
      let json = ["get", "k", "--output", "json"]
      try await until { try await server.run(json).end == .exited(0) }
      func revision() async throws -> String? {
        try await server.run(json).output.first { $0.contains("revision") }
      }
      func untilRenewed() async throws {
        let last = try await revision()
        try await until { try await revision() != last }
      }
      // By then latchkey has told the supervisor to start.
      try await untilRenewed()
      waiting.signal(SIGTERM)
      // And of the signal by then.
      try await untilRenewed()
      kill(supervisor, SIGCONT)
      #expect(try await waiting.exit() == .exited(143))
      #expect(access(started, F_OK) != 0)
      #expect(try await server.run("get", "k").end == .exited(1))
    }
  }

  /// The start of a command line whose rest may choose process ids.
  private static func choosesIDs() async -> [String]? {
    guard getuid() == 0, CLIDescendantsTests.End.hasCgroup,
      let unshare = await Namespaces.prefix("-fp")
    else { return nil }
    let prefix = unshare + ["--mount-proc", "sh", "-c"]
    let probe = prefix.dropFirst() + ["echo 9 > /proc/sys/kernel/ns_last_pid"]
    let result = try? await Program.run(prefix[0], Array(probe))
    return result?.end == .exited(0) ? prefix : nil
  }

  @Test(
    "A witness that stood still until its supervisor's id was another's leaves that one alone",
    .enabled("needs root, namespaces and a cgroup") { await choosesIDs() != nil })
  func reusedID() async throws {
    let prefix = try #require(await Self.choosesIDs())
    let parent = try #require(CommandCgroup.of(getpid())).path.split(separator: "/").dropLast()
    let freezer = "/" + parent.joined(separator: "/") + "/freezer-\(getpid())"
    defer { rmdir(freezer) }
    // SIGCONT would wake the witness before the lease's end does, so a cgroup is frozen.
    let script = #"""
      "$1/latchkey" lock k --ttl 2s -- sh -c 'while :; do sleep 0.05; done' &
      latchkey=$!
      until witness=$(pgrep -x lock-witness) && supervisor=$(pgrep -x lock-supervisor) &&
        pgrep -P "$supervisor" -x sh > /dev/null 2>&1; do sleep 0.05; done
      mkdir "$2" && echo $witness > "$2/cgroup.procs" && echo 1 > "$2/cgroup.freeze"
      until grep -q 'frozen 1' "$2/cgroup.events"; do sleep 0.05; done
      kill -KILL $latchkey $supervisor
      while [ -e /proc/$supervisor ]; do sleep 0.05; done
      until [ "$stranger" = $supervisor ]; do
        echo $((supervisor - 1)) > /proc/sys/kernel/ns_last_pid
        sh -c 'sleep 300; exit' & stranger=$!
      done
      until child=$(pgrep -P $stranger); do sleep 0.05; done
      # Both wait for it: the lease's end, and the supervisor's.
      until grep -q 'ShdPnd:.6000000000000000' /proc/$witness/status; do sleep 0.05; done
      echo 0 > "$2/cgroup.freeze"
      while [ -e /proc/$witness ]; do sleep 0.05; done
      kill -0 $child && echo spared
      """#
    try await CLIServer.run { server in
      let result = try await Program.run(
        prefix[0], prefix.dropFirst() + [script, "sh", Program.folder, freezer],
        environment: ["LATCHKEY_SERVER=\(server.address)"])
      #expect(result.output == ["spared"])
    }
  }
}
