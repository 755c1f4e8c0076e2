import Glibc
import TestKit
import Testing

/// What one peer of HTTP/1.1 did to a server of 0.3.0, done to the program as it is.
@Suite struct HTTP1AbuseTests {
  private static let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

  /// What a connection may make the server grow by, in KiB. A peer that is let do so sends four
  /// times as much in a moment.
  private static let growthMax = 16 << 10
  private static let floodBytes = 64 << 20

  @Test func whoPipelinesAndReadsNothingDoesNotEndTheServer() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    for _ in 0..<2 {
      let peer = try PlainSocket(port: server.port, receiveBytes: 2_304, sendSeconds: 1)
      peer.send(String(repeating: "GET / HTTP/1.1\r\nHost:\r\n\r\n", count: 160_000))
      // It closes, with all of that behind it.
    }
    // A server that fell is not there to be asked, nor does it end in good order.
    for _ in 0..<20 {
      let answer = try await HTTPVersion.http1.send(
        Call(method: "GET", path: "/healthz", headers: [], body: []), port: server.port)
      #expect(answer.status == 200)
    }
    server.program.signal(SIGTERM)
    #expect(try await server.program.exit() == .exited(0))
  }

  struct Flood: Sendable, CustomTestStringConvertible {
    var start: String
    var byte: Character

    var testDescription: String { start.debugDescription }
  }

  static let floods: [Flood] = [
    Flood(
      start: "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
      byte: "A"),
    Flood(start: "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", byte: "A"),
    Flood(start: "GET / HTTP/1.1\r\nA:", byte: " "),
    Flood(start: "GET / HTTP/1.1\r\nContent-Length:", byte: "\t"),
    Flood(start: "GET /", byte: " "),
    Flood(
      start: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:", byte: " "),
    Flood(
      start: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", byte: "a"),
  ]

  @Test(arguments: floods) func whatDoesNotEndTakesNoRoom(_ flood: Flood) async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    let health = Call(method: "GET", path: "/healthz", headers: [], body: [])
    #expect(try await HTTPVersion.http1.send(health, port: server.port).status == 200)
    let before = try server.residentKiB()
    let peer = try PlainSocket(port: server.port, sendSeconds: 1)
    peer.send(flood.start)
    let piece = [UInt8](repeating: flood.byte.asciiValue!, count: 1 << 20)
    var sent = 0
    while sent < Self.floodBytes, case let count = peer.send(piece), count > 0 { sent += count }
    #expect(try await HTTPVersion.http1.send(health, port: server.port).status == 200)
    let growth = try server.residentKiB() - before
    #expect(growth < Self.growthMax, "\(growth) KiB for \(sent) bytes")
    try await server.end()
  }

  // MARK: - Half-closed connections

  @Test func whoEndsItsSideGetsItsAnswer() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    for number in 0..<30 {
      let body = #"{"key":"k\#(number)","owner":"o","lease":"60s"}"#
      let peer = try PlainSocket(port: server.port)
      peer.send(
        "POST /latchkey.v3.Locks/Acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
          + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
      peer.endOutput()
      let answer = String(decoding: peer.readToEnd(), as: UTF8.self)
      #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(answer)")
      #expect(answer.contains(#""token":"1""#))
    }
    for version in ["1.0", "1.1"] {
      let peer = try PlainSocket(port: server.port)
      peer.send("GET /readyz HTTP/\(version)\r\nHost: x\r\n\r\n")
      peer.endOutput()
      let answer = String(decoding: peer.readToEnd(), as: UTF8.self)
      #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("ready\n"), "\(answer)")
    }
    try await server.end()
  }

  /// A process that is gone for good looks the same, so nobody may be granted a lock that way.
  @Test func whoEndsItsSideWhileItWaitsLeavesTheLine() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    func acquire(_ owner: String, _ wait: String) -> Call {
      .json("Acquire", #"{"key":"k","owner":"\#(owner)","lease":"60s"\#(wait)}"#, wire: 3)
    }
    #expect(try await HTTPVersion.http2.send(acquire("one", ""), port: server.port).status == 200)
    let waiting = acquire("two", #","wait":"60s""#)
    let peer = try PlainSocket(port: server.port)
    peer.send(
      "POST \(waiting.path) HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        + "Content-Length: \(waiting.body.count)\r\n\r\n"
        + String(decoding: waiting.body, as: UTF8.self))
    try await server.untilMetric("latchkey_waiters 1")
    peer.endOutput()
    let answer = String(decoding: peer.readToEnd(), as: UTF8.self)
    #expect(
      answer.hasPrefix("HTTP/1.1 499 ") && answer.contains(#""code":"canceled""#), "\(answer)")
    try await server.untilMetric("latchkey_waiters 0")
    let release = Call.json("Release", #"{"key":"k","token":"1"}"#, wire: 3)
    #expect(try await HTTPVersion.http2.send(release, port: server.port).status == 200)
    let three = try await HTTPVersion.http2.send(acquire("three", ""), port: server.port)
    #expect(three.status == 200)
    try await server.end()
  }

  // MARK: - What comes by mistake, and what fails

  @Test func mistakesAreCalledByTheirNames() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(store: folder.file)
    let hello: [UInt8] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3] + Array(repeating: 7, count: 512)
    for (bytes, reason, line) in [
      (hello, "tls", "a client speaks TLS to this port"),
      (
        Array("PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n\(Self.get)".utf8), "proxy",
        "the PROXY protocol"
      ),
    ] {
      for _ in 0..<3 {
        let peer = try PlainSocket(port: server.port)
        peer.send(bytes)
        let answer = String(decoding: peer.readToEnd(), as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"), "\(answer)")
      }
      try await server.untilMetric("latchkey_connections_failed_total{reason=\"\(reason)\"} 3")
      try await server.program.errors.line(containing: line)
    }
    try await server.end()
    let lines = try await server.program.errors.all()
    for text in ["speaks TLS", "PROXY protocol"] {
      #expect(lines.count { $0.contains(text) } == 1, "\(lines)")
    }
  }

  /// The system refuses connections as long as there are too few descriptors: said once, and
  /// counted.
  @Test func connectionsThatCannotBeAcceptedAreSaidOnce() async throws {
    let folder = try StoreFolder()
    let server = try await ServerProgram.start(
      "/bin/sh", store: folder.file,
      before: ["-c", "ulimit -n 48; exec \"$0\" \"$@\"", Program.folder + "/latchkeyd"])
    let known = try PlainSocket(port: server.port)
    known.send(Self.get)
    _ = known.read { $0.suffix(3) == Array("ok\n".utf8) }
    let others = try (0..<60).map { _ in try PlainSocket(port: server.port) }
    try await server.program.errors.line(containing: "a connection could not be accepted")
    // Each look that fails is counted, and looks go on; the line comes once.
    var metrics = ""
    repeat {
      known.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
      let answer = known.read { HTTP1Answer.parse($0) != nil }
      metrics = String(decoding: HTTP1Answer.parse(answer)?.body ?? [], as: UTF8.self)
      try #require(!metrics.isEmpty)
      try await Task.sleep(for: .milliseconds(50))
    } while metrics.contains("latchkey_connections_failed_total{reason=\"accept\"} 1\n")
    withExtendedLifetime(others) {}
    try await server.end()
    let lines = try await server.program.errors.all()
    #expect(lines.count { $0.contains("could not be accepted") } == 1, "\(lines)")
  }

  // MARK: - Idle connections

  @Test(arguments: HTTPVersion.allCases)
  func idleConnectionsEndWhenTheOptionSays(_ version: HTTPVersion) async throws {
    let folder = try StoreFolder()
    let option = version == .http1 ? "--http1-idle-seconds" : "--http2-idle-seconds"
    let server = try await ServerProgram.start(store: folder.file, arguments: [option, "5"])
    let peer = try await RawConnection.open(port: server.port)
    switch version {
    case .http1: peer.send(Array(Self.get.utf8))
    case .http2:
      peer.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0])
    }
    // The server closes: nothing else ends this wait before a minute is over.
    let start = ContinuousClock.now
    _ = try await peer.receive { _ in false }
    let time = ContinuousClock.now - start
    #expect(time >= .seconds(4) && time < .seconds(60), "\(time)")
    try await server.end()
  }
}

extension ServerProgram {
  /// Resident memory of the process.
  fileprivate func residentKiB() throws -> Int {
    let file = try #require(fopen("/proc/\(program.id)/status", "r"))
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(
        decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      let words = text.split { " \t\n".contains($0) }
      if words.first == "VmRSS:" { return try #require(Int(words[1])) }
    }
    throw ProgramError("no VmRSS")
  }

  /// Waits until /metrics has this line.
  fileprivate func untilMetric(_ line: String) async throws {
    while true {
      let answer = try await HTTPVersion.http2.send(
        Call(method: "GET", path: "/metrics", headers: [], body: []), port: port)
      if String(decoding: answer.body, as: UTF8.self).contains(line + "\n") { return }
      try await Task.sleep(for: .milliseconds(10))
    }
  }
}
