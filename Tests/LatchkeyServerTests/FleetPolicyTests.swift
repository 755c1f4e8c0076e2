import Access
import Files
import LatchkeyServer
import LockCore
import Logging
import Storage
import StorageSQLite
import TestKit
import Testing

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
}
