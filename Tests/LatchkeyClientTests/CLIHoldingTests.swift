import Glibc
import TestKit
import Testing

@testable import latchkey

@Suite("Command line: lock and presence", .serialized)
struct CLIHoldingTests {
  @Test("A killed holder takes its command with it, and the next one starts only then")
  func takeover() async throws {
    try await CLIServer.run { server in
      let first = try server.start(
        "lock", "nightly", "--ttl", "5s", "--", "sh", "-c", "echo first; exec sleep 300")
      defer { first.signal(SIGKILL) }
      try await first.output.line(containing: "first")
      let second = try server.start(
        "lock", "nightly", "--ttl", "2s", "--", "sh", "-c", "echo second")
      defer { second.signal(SIGKILL) }
      let notice = try await second.errors.line(containing: "waiting for \"nightly\", held by")
      #expect(notice.contains("/\(first.id)/"))

      first.signal(SIGKILL)
      // The command has the other end of this pipe: it is closed when the command is dead.
      #expect(try await first.output.all() == ["first"])
      #expect(try await second.output.all() == ["second"])
      #expect(try await second.exit() == .exited(0))
      let firstEnd = try #require(first.output.endTime)
      let secondEnd = try #require(second.output.endTime)
      #expect(firstEnd < secondEnd)
      #expect(try await server.run("list").output == ["KEY  KIND  OWNER  TOKEN  VALUE"])
    }
  }

  @Test(
    "A command that ignores SIGTERM, and what it started, are dead before the next holder starts")
  func lostLease() async throws {
    try await CLIServer.run { server in
      let fifo = try server.makeFIFO()
      let reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
      let holder = try server.start(
        "lock", "k", "--ttl", "5s", "--", "sh", "-c",
        "exec 3>\(fifo); trap 'echo told >&3' TERM; "
          + "(trap '' TERM; echo inner; sleep 300; sleep 300) & "
          + "echo outer; while :; do sleep 0.05; done")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "inner")
      try await holder.output.line(containing: "outer")
      // Now that there are writers, reading waits for them.
      _ = fcntl(reader, F_SETFL, 0)
      let command = ProgramLines()
      command.read(from: reader)
      // The holder does not know where the next server is, so it cannot renew its lease.
      server.signal(SIGKILL)
      let another = try await server.another()
      defer { another.signal(SIGKILL) }
      let next = try another.start("lock", "k", "--", "echo", "next")
      defer { next.signal(SIGKILL) }

      // The end of what it writes is the death of all who could write it.
      #expect(try await command.all() == ["told"])
      #expect(try await next.output.all() == ["next"])
      let end = try #require(command.endTime)
      let nextEnd = try #require(next.output.endTime)
      #expect(end < nextEnd)
      #expect(try await holder.exit() == .exited(75))
      let errors = try await holder.errors.all()
      // The shell may say before that its own child was terminated.
      #expect(errors.last?.hasPrefix("latchkey: the lease of ") == true)
      #expect(errors.last?.contains("could not be renewed") == true)
    }
  }

  @Test(
    "Signals reach the command",
    arguments: [
      ("TERM", SIGTERM), ("INT", SIGINT), ("HUP", SIGHUP), ("QUIT", SIGQUIT), ("USR1", SIGUSR1),
      ("USR2", SIGUSR2),
    ])
  func forwardsSignals(name: String, number: Int32) async throws {
    try await CLIServer.run { server in
      let holder = try server.start(
        "lock", "k", "--", "sh", "-c",
        "trap 'echo got; exit 9' \(name); echo ready; while :; do sleep 0.05; done")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "ready")
      holder.signal(number)
      #expect(try await holder.exit() == .exited(9))
      #expect(try await holder.output.all() == ["ready", "got"])
      #expect(try await server.run("get", "k").end == .exited(1))
    }
  }

  @Test("A signal ends the wait for a lock")
  func signalWhileWaiting() async throws {
    try await CLIServer.run { server in
      #expect(try await server.run("claim", "k", "--owner", "x", "--ttl", "1h").end == .exited(0))
      let waiting = try server.start("lock", "k", "--", "echo", "never")
      defer { waiting.signal(SIGKILL) }
      let notice = try await waiting.errors.line(containing: "waiting for")
      #expect(notice == "latchkey: waiting for \"k\", held by \"x\"")
      waiting.signal(SIGTERM)
      #expect(try await waiting.exit() == .exited(143))
      #expect(try await waiting.output.all() == [])
      let list = try await server.run("list")
      #expect(list.output.count == 2)
    }
  }

  @Test("The command gets its arguments byte by byte, three variables, and no open files of ours")
  func environmentOfCommand() async throws {
    try await CLIServer.run { server in
      let result = try await server.run(
        "lock", "k", "--owner", "me", "--", "sh", "-c",
        "echo \"$LATCHKEY_KEY $LATCHKEY_OWNER $LATCHKEY_TOKEN $#:$2\"; ls /proc/self/fd | tr '\\n' ' '; echo; "
          + "grep -E 'Sig(Blk|Ign)' /proc/self/status", "a", "b c", "--flag")
      #expect(result.end == .exited(0))
      // 3 is the folder that ls reads.
      #expect(result.output.prefix(2) == ["k me 1 2:--flag", "0 1 2 3 "])
      #expect(result.output.count == 4)
      #expect(result.output.dropFirst(2).allSatisfy { signals(in: $0) == 0 })
    }
  }

  @Test("What the caller ignores stays ignored, as under nohup")
  func ignoredSignals() async throws {
    try await CLIServer.run { server in
      let result = try await Program.run(
        "/bin/sh",
        [
          "-c",
          "trap '' HUP; exec \(Program.folder)/latchkey lock k -- grep SigIgn /proc/self/status",
        ], environment: ["LATCHKEY_SERVER=\(server.address)"])
      #expect(result.end == .exited(0))
      #expect(result.output.map { signals(in: $0) } == [1 << (SIGHUP - 1)])
    }
  }

  @Test("A caller that ignores the end of children does not keep the command's end from us")
  func ignoredChildren() async throws {
    try await CLIServer.run { server in
      let result = try await Program.run(
        "/bin/sh",
        ["-c", "trap '' CHLD; exec \(Program.folder)/latchkey lock k -- sh -c 'exit 7'"],
        environment: ["LATCHKEY_SERVER=\(server.address)"])
      #expect(result.end == .exited(7))
    }
  }

  @Test("A presence without a command is there until a signal")
  func presence() async throws {
    try await CLIServer.run { server in
      let holder = try server.start("presence", "cells/1", "--owner", "o", "--value", "10.0.0.7")
      defer { holder.signal(SIGKILL) }
      try await holder.errors.line(containing: "present at \"cells/1\"")
      let get = try await server.run("get", "cells/1")
      #expect(get.output.last == "cells/1  presence  o      1      10.0.0.7")
      holder.signal(SIGTERM)
      #expect(try await holder.exit() == .exited(0))
      #expect(try await server.run("get", "cells/1").end == .exited(1))
    }
  }

  @Test("A presence is there while its command runs")
  func presenceWithCommand() async throws {
    try await CLIServer.run { server in
      let holder = try server.start(
        "presence", "p", "--", "sh", "-c",
        "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done")
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "ready")
      #expect(try await server.run("get", "p").end == .exited(0))
      holder.signal(SIGTERM)
      #expect(try await holder.exit() == .exited(4))
      #expect(try await server.run("get", "p").end == .exited(1))
    }
  }

  /// Reads a line such as "SigIgn:\t0000000000000001". The two signals that glibc keeps to itself, and
  /// which every program that it started ignores at first, are left out.
  private func signals(in line: String) -> UInt64? {
    let glibcInternal: UInt64 = 1 << 31 | 1 << 32
    return UInt64(line.suffix(16), radix: 16).map { $0 & ~glibcInternal }
  }
}
