import Access
import Files
import LatchkeyServer
import LockCore
import Logging
import Storage
import StorageSQLite
import TestKit
import Testing
import WireSchema

/// What /status says of a policy.
@Suite(.timeLimit(.minutes(2))) struct FleetPolicyTests {
  private func status(of server: InProcessServer) async throws -> String {
    let answer = try await HTTPVersion.http1.send(
      Call(method: "GET", path: "/status", headers: [], body: []), port: server.port)
    return String(decoding: answer.body, as: UTF8.self)
  }

  @Test func oneThatCannotBeUsedIsSaidUntilThereIsAnother() async throws {
    let folder = try StoreFolder()
    try folder.write("anybody operate", to: "policy")
    let access = try AccessControl(AccessControl.Sources(policy: folder.path("policy")))
    let server = try await InProcessServer.start(store: folder.file) { $0.access = access }
    #expect(try await !status(of: server).contains("refusals"))
    try folder.write("anybody operates", to: "policy")
    #expect(throws: FileError.self) { try access.refresh(.policy) }
    #expect(try await status(of: server).contains("policy, line 1: "))
    try folder.write("somebody hold *\nanybody operate", to: "policy")
    #expect(try access.refresh(.policy))
    #expect(try await !status(of: server).contains("refusals"))
    try await server.stop()
  }

  @Test func whoCannotHoldItIsNamedUntilItIsGone() async throws {
    let folder = try StoreFolder()
    try folder.write("anybody operate\nanybody hold *", to: "policy")
    let access = try AccessControl(AccessControl.Sources(policy: folder.path("policy")))
    let lines = Lines()
    let server = try await InProcessServer.start(store: folder.file) {
      $0.access = access
      $0.logger = Logger(label: "test") { _ in LinesHandler(lines: lines) }
    }
    func status() async throws -> String { try await self.status(of: server) }
    func said(_ line: String) async throws {
      while !lines.written.withLock({ $0.contains(line) }) {
        try await Task.sleep(for: .milliseconds(20))
      }
    }
    let first = try await status()
    #expect(first.contains(#""hasPolicy":true"#) && !first.contains("knows no policy"))
    // What 0.4.0 says of itself.
    let presence = Claim(
      kind: .presence, owner: "old/1", lease: Lease(seconds: 3)!,
      content:
        #"{"software":"0.4.0","wireOldest":1,"wireNewest":3,"shapeOldest":1,"shapeNewest":2}"#)
    let older = try Store(
      engine: SQLiteEngine(path: folder.file), clock: ManualClock().reading,
      observer: RecordingObserver())
    _ = try await older.perform(.claim(key: "_latchkey/servers/old/1", presence)).get()
    older.shutdown()
    try await said("warning the policy is not held by every server")
    #expect(try await status().contains("server old (0.4.0) knows no policy"))
    try await said("notice the policy is held by every server from now on")
    #expect(try await !status().contains("knows no policy"))
    try await server.stop()
  }

  /// Files are not replaced everywhere at the same time; of what stays so the log tells as well.
  @Test func whoHasAnotherPolicyIsNamed() async throws {
    let folder = try StoreFolder()
    try folder.write("anybody operate,hold *", to: "policy")
    try folder.write("anybody operate,read *", to: "other")
    let lines = Lines()
    func server(_ id: String, _ policy: String) async throws -> (InProcessServer, AccessControl) {
      let access = try AccessControl(AccessControl.Sources(policy: folder.path(policy)))
      let server = try await InProcessServer.start(store: folder.file) {
        $0.serverID = id
        $0.access = access
        $0.limits.fleetSettleTime = .seconds(2)
        $0.logger = Logger(label: id) { _ in LinesHandler(lines: lines) }
      }
      return (server, access)
    }
    let (first, _) = try await server("first", "policy")
    let (second, access) = try await server("second", "other")
    let remark = "server second (\(Release.version)) has another policy: "
    while try await !status(of: first).contains(remark) {}
    while lines.written.withLock({ all in
      all.count { $0.hasPrefix("warning the policy is not held by every server") }
    }) < 2 {
      try await Task.sleep(for: .milliseconds(20))
    }
    try folder.write("anybody operate,hold *", to: "other")
    #expect(try access.refresh(.policy))
    // It says so with its next renewal of its presence.
    while try await status(of: first).contains(remark) {
      try await Task.sleep(for: .milliseconds(20))
    }
    try await first.stop()
    try await second.stop()
  }

  /// An option is missing, or a name is wrong.
  @Test func namesThatNobodyCanProveAreSaid() async throws {
    let folder = try StoreFolder()
    try folder.write(
      "spiffe://example.org/a hold a\ntoken:b hold a\nuser:root operate\nanybody read *",
      to: "policy")
    try folder.write(Tokens.line(for: Tokens.new(), name: "b"), to: "tokens")
    let lines = Lines()
    let access = try AccessControl(
      AccessControl.Sources(policy: folder.path("policy"), tokens: folder.path("tokens")))
    let server = try await InProcessServer.start(store: folder.file) {
      $0.access = access
      $0.logger = Logger(label: "test") { _ in LinesHandler(lines: lines) }
    }
    func said() -> [String] {
      lines.written.withLock { $0.filter { $0.contains("nobody can prove to be here") } }
    }
    let first = said()
    #expect(first.count == 2, "\(first)")
    #expect(first.first?.contains("--tls-client-ca") ?? false, "\(first)")
    #expect(first.last?.contains("--listen unix:") ?? false, "\(first)")
    try folder.write("jwt:a hold a", to: "policy")
    #expect(server.reload())
    while said().count < 3 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(said().last?.contains("--jwt-keys") ?? false)
    try await server.stop()
  }
}
