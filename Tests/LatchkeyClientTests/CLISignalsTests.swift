import Glibc
import TestKit
import Testing

/// A signal reaches a command under a lock once, whatever it was sent to.
@Suite("Command line: signals", .serialized)
struct CLISignalsTests {
  /// Says each signal that it gets, and ends after SIGUSR1.
  private static let listener = """
    import signal, sys
    awaited = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    print("ready", flush=True)
    while True:
        number = signal.sigwait(awaited)
        print("got", signal.Signals(number).name, flush=True)
        if number == signal.SIGUSR1: sys.exit(0)
    """

  enum Sending: CaseIterable {
    case toLatchkey, toGroup, toEachProcess, byTimeout
  }

  @Test("A signal reaches the command once", arguments: Sending.allCases)
  func once(sending: Sending) async throws {
    try await CLIServer.run { server in
      let prefix = sending == .byTimeout ? ["/usr/bin/timeout", "1000"] : ["/usr/bin/env"]
      let holder = try server.startUnder(
        prefix, "lock", "k", "--timeout", "100s", "--", "/usr/bin/env", "python3", "-c",
        Self.listener)
      defer { holder.signal(SIGKILL) }
      try await holder.output.line(containing: "ready")
      switch sending {
      case .toLatchkey, .byTimeout: holder.signal(SIGTERM)
      case .toGroup: kill(-holder.id, SIGTERM)
      // As systemd does with KillMode=control-group.
      case .toEachProcess:
        for process in try ProcessTree.all(from: holder.id) { kill(process, SIGTERM) }
      }
      try await holder.output.line(containing: "got SIGTERM")
      // Whatever of it is still under way comes before this one.
      let latchkey =
        sending == .byTimeout ? try #require(ProcessTree.children(of: holder.id).first) : holder.id
      kill(latchkey, SIGUSR1)
      #expect(try await holder.output.all() == ["ready", "got SIGTERM", "got SIGUSR1"])
    }
  }

  @Test("On a terminal, ^C reaches the command once, and it can read what is typed")
  func terminal() async throws {
    try await CLIServer.run { server in
      // Plays the person: starts the rest of its arguments on a terminal.
      let person = """
        import os, pty, sys
        child, terminal = pty.fork()
        if child == 0: os.execvp(sys.argv[1], sys.argv[1:])
        seen = b""
        def until(text):
            global seen
            while text not in seen:
                try: more = os.read(terminal, 1000)
                except OSError: more = b""
                if not more: sys.exit("no %r in %r" % (text, seen))
                seen += more
        until(b"ready")
        os.write(terminal, b"typed\\n")
        until(b"read typed")
        os.write(terminal, b"\\x03")
        until(b"got SIGINT")
        os.kill(child, 10)
        until(b"got SIGUSR1")
        _, status = os.waitpid(child, 0)
        print("interrupts:", seen.count(b"got SIGINT"), "status:", status)
        """
      let command = """
        import signal, sys
        awaited = {signal.SIGINT, signal.SIGUSR1}
        signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
        print("ready", flush=True)
        print("read", sys.stdin.readline(), flush=True)
        while True:
            number = signal.sigwait(awaited)
            print("got", signal.Signals(number).name, flush=True)
            if number == signal.SIGUSR1: sys.exit(0)
        """
      let result = try await server.runUnder(
        ["/usr/bin/env", "python3", "-c", person], "lock", "k", "--timeout", "100s", "--",
        "/usr/bin/env", "python3", "-c", command)
      #expect(result.errors == [])
      #expect(result.output == ["interrupts: 1 status: 0"])
    }
  }

  @Test("^Z stops the command with latchkey, and both go on together")
  func jobControl() async throws {
    try await CLIServer.run { server in
      let person = """
        import os, pty, signal, sys
        child, terminal = pty.fork()
        if child == 0: os.execvp(sys.argv[1], sys.argv[1:])
        seen = b""
        while b"ready" not in seen: seen += os.read(terminal, 1000)
        # A shell gives its jobs a group of their own, which this one has as the leader of its session; one
        # without a parent in its session cannot be stopped by ^Z, so it is done by hand.
        os.killpg(child, signal.SIGSTOP)
        _, status = os.waitpid(child, os.WUNTRACED)
        print("stopped:", os.WIFSTOPPED(status), flush=True)
        os.killpg(child, signal.SIGCONT)
        os.write(terminal, b"typed\\n")
        while b"read typed" not in seen: seen += os.read(terminal, 1000)
        _, status = os.waitpid(child, 0)
        print("status:", status)
        """
      let result = try await server.runUnder(
        ["/usr/bin/env", "python3", "-c", person], "lock", "k", "--timeout", "100s", "--", "sh",
        "-c", "echo ready; read line; echo read $line")
      #expect(result.output == ["stopped: True", "status: 0"])
    }
  }
}
