import LatchkeyServer
import Storage
import TestKit
import Testing

/// A grant after a wait of which the answer did not leave the server.
@Suite struct LostAnswerTests {
  private static let rstStream: UInt8 = 3
  private static let initialWindowSize: UInt16 = 4
  private static let cancel: [UInt8] = [0, 0, 0, 8]

  /// The peer opens no flow-control window, so that the head of an answer comes and nothing of its body.
  @Test(arguments: ["reset", "end"])
  func isTakenBackWhenTheStreamEnds(_ end: String) async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file) { configuration in
      // This peer answers no PING.
      configuration.store.lifeCountsNanoseconds = 3_600_000_000_000
    }
    let peer = try await RawConnection.open(port: server.port)
    #expect(try await Self.call(server, "Acquire", Self.lock("a")).status == 200)
    let opening = Frame.settings([(Self.initialWindowSize, 0)])
    let waiting = Frame.request(.json("Acquire", Self.lock("b", wait: "600s"), wire: 3), on: 1)
    peer.send(Frame.preface + ([opening] + waiting).flatMap(\.bytes))
    // A request that is refused at once shows that the one before it has been taken in.
    let refused = Frame.request(.json("Acquire", Self.lock("c"), wire: 3), on: 3)
    peer.send(refused.flatMap(\.bytes))
    _ = try await peer.receive { Self.heads($0).contains(3) }

    #expect(
      try await Self.call(server, "Release", "{\"key\":\"k\",\"owner\":\"a\"}").status == 200)
    _ = try await peer.receive { Self.heads($0).contains(1) }
    if end == "reset" {
      peer.send(Frame(type: Self.rstStream, stream: 1, payload: Self.cancel).bytes)
    } else {
      peer.close()
    }
    // Nobody else holds it for an hour, then.
    #expect(try await Self.call(server, "Acquire", Self.lock("d", wait: "15s")).status == 200)
    peer.close()
    try await server.stop()
  }

  private static func heads(_ bytes: [UInt8]) -> [UInt32] {
    Frame.parse(bytes).filter { $0.type == Frame.Kind.headers }.map(\.stream)
  }

  private static func lock(_ owner: String, wait: String = "0s") -> String {
    "{\"key\":\"k\",\"owner\":\"\(owner)\",\"lease\":\"3600s\",\"wait\":\"\(wait)\"}"
  }

  private static func call(
    _ server: InProcessServer, _ method: String, _ body: String
  ) async throws -> Answer {
    try await HTTPVersion.http1.send(.json(method, body, wire: 3), port: server.port)
  }
}
