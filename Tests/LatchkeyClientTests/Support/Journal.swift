import Glibc
import TestKit
import Testing

@testable import latchkey

/// A file that several processes append words to.
struct Journal: Sendable {
  let path: String

  /// A shell's command: a process in a session of its own, which takes no notice of SIGTERM, writes
  /// `word` for as long as it lives, and says "writing" when it has begun.
  func startWriter(_ word: String) -> String {
    "setsid sh -c 'trap \"\" TERM INT HUP; echo \(word) >> \(path); echo writing; "
      + "while :; do echo \(word) >> \(path); sleep 0.02; done' & "
  }

  /// A shell's command: writes `word` again and again, so that a survivor would write in between.
  func write(_ word: String, times: Int) -> String {
    "i=0; while [ $i -lt \(times) ]; do echo \(word) >> \(path); sleep 0.02; i=$((i+1)); done"
  }

  func expectInOrder(
    _ first: String, _ second: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let words = try readText(path).split(separator: "\n").map(String.init)
    let lastFirst = try #require(words.lastIndex(of: first), sourceLocation: sourceLocation)
    let firstSecond = try #require(words.firstIndex(of: second), sourceLocation: sourceLocation)
    #expect(lastFirst < firstSecond, sourceLocation: sourceLocation)
  }
}

/// Processes as /proc shows them.
enum ProcessTree {
  static func children(of process: pid_t) throws -> [pid_t] {
    try readText("/proc/\(process)/task/\(process)/children").split(separator: " ")
      .compactMap { pid_t($0) }
  }

  /// Nil where there is none any more.
  static func name(of process: pid_t) -> String? {
    (try? readText("/proc/\(process)/comm"))?.split(separator: "\n").first.map(String.init)
  }

  /// Whether it has ended, and its parent has not noticed yet; also where there is none any more.
  static func isZombie(_ process: pid_t) -> Bool {
    guard let stat = try? readText("/proc/\(process)/stat") else { return true }
    return Descendants.Process(stat: stat)?.isZombie ?? true
  }

  /// The page faults of those of its children that have ended: none where it never had any.
  static func faultsOfChildren(_ process: pid_t) throws -> String {
    let stat = try readText("/proc/\(process)/stat")
    // "pid (name) state ppid pgrp session tty tpgid flags minflt cminflt …"
    let fields = stat.split(separator: ")").last?.split(separator: " ") ?? []
    return String(try #require(fields.count > 8 ? fields[8] : nil))
  }

  /// What it shows as its command line, without what is empty; nil where there is none any more.
  static func arguments(of process: pid_t) -> [String]? {
    (try? readText("/proc/\(process)/cmdline"))?.split(separator: "\0").map(String.init)
  }

  /// The process that watches over the command of a `latchkey`.
  static func supervisor(of latchkey: pid_t) throws -> pid_t {
    let found = try children(of: latchkey).first { name(of: $0) == "lock-supervisor" }
    return try #require(found)
  }

  /// A process and all that it started.
  static func all(from root: pid_t) throws -> [pid_t] {
    [root] + (try children(of: root).flatMap { try all(from: $0) })
  }
}

/// What `unshare` can do for whoever runs the tests.
enum Namespaces {
  /// The start of a command line that runs the rest in new namespaces: those of root, or, where that is
  /// not allowed, with a user namespace. Nil where neither is.
  static func prefix(_ options: String) async -> [String]? {
    for user in ["", "Ur"] {
      var prefix = ["/usr/bin/unshare", "-" + user + options.dropFirst()]
      // What it starts does not outlive a test that failed.
      if options.contains("f") { prefix.append("--kill-child") }
      let result = try? await Program.run(prefix[0], Array(prefix[1...]) + ["true"])
      if result?.end == .exited(0) { return prefix }
    }
    return nil
  }
}

func readText(_ path: String) throws -> String {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw ProgramError("no file \(path)") }
  defer { close(descriptor) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4_096)
  while case let count = read(descriptor, &buffer, buffer.count), count > 0 {
    bytes += buffer.prefix(count)
  }
  return String(decoding: bytes, as: UTF8.self)
}
