import TestKit
import Testing

/// Many who wait over one connection, as behind a proxy, and give up within their first second.
@Suite struct WaitsTakenBackTests {
  @Test func theConnectionGoesOn() async throws {
    let folder = try StoreFolder()
    let server = try await InProcessServer.start(store: folder.file)
    let peer = try await RawConnection.open(port: server.port)
    let held = try await HTTPVersion.http1.send(
      .json("Acquire", Self.lock("a", wait: "0s"), wire: 3), port: server.port)
    #expect(held.status == 200)
    var frames = [Frame.settings([])]
    for number in 0..<700 as Range<UInt32> {
      let stream = 1 + 2 * number
      frames += Frame.request(.json("Acquire", Self.lock("w\(number)"), wire: 3), on: stream)
      frames.append(Frame(type: 3, stream: stream, payload: [0, 0, 0, 8]))
    }
    let last = 1_401 as UInt32
    frames += Frame.request(.json("Acquire", Self.lock("last", wait: "0s"), wire: 3), on: last)
    peer.send(Frame.preface + frames.flatMap(\.bytes))
    _ = try await peer.receive { bytes in
      Frame.parse(bytes).contains { $0.type == Frame.Kind.headers && $0.stream == last }
    }
    peer.close()
    try await server.stop()
  }

  private static func lock(_ owner: String, wait: String = "600s") -> String {
    "{\"key\":\"k\",\"owner\":\"\(owner)\",\"lease\":\"3600s\",\"wait\":\"\(wait)\"}"
  }
}
