import HTTP2
import NIOCore
import NIOEmbedded
import Testing

/// What a hostile server can make a client keep.
@Suite struct HostileServerTests {
  @Test func theSumOfUnfinishedResponsesIsBounded() throws {
    var limits = HTTP2Limits()
    limits.bufferedResponseBytesMax = 10_000
    let server = try RawServer(limits: limits)
    let part = [UInt8](repeating: 1, count: 6_000)
    for round in 0..<20 as Range<UInt32> {
      let first = 1 + 4 * round
      let outcomes = [try server.request(), try server.request()]
      for stream in [first, first + 2] {
        try server.send([
          RawServer.headers(stream), RawServer.data(stream, part, endStream: false),
        ])
      }
      #expect(outcomes[0].results.isEmpty)
      #expect(outcomes[1].error?.code == .responseTooLarge)
      // What is complete or was given up counts no more.
      try server.send([RawServer.data(first, [2])])
      #expect(outcomes[0].response?.body.count == 6_001)
    }
    #expect(server.client.isUsable)
  }

  @Test func headersOfUnfinishedResponsesCountToo() throws {
    var limits = HTTP2Limits()
    limits.bufferedResponseBytesMax = 10_000
    let server = try RawServer(limits: limits)
    let fields = [(":status", "200"), ("x", String(repeating: "v", count: 6_000))]
    let outcomes = [try server.request(), try server.request()]
    // Interim responses are not kept.
    for _ in 0..<5 {
      try server.send([RawServer.headers(1, [(":status", "103"), fields[1]])])
    }
    for stream in [1, 3] as [UInt32] { try server.send([RawServer.headers(stream, fields)]) }
    #expect(outcomes[0].results.isEmpty)
    #expect(outcomes[1].error?.code == .responseTooLarge)
    try server.send([RawServer.data(1, [])])
    #expect(outcomes[0].response?.status == 200)
  }

  @Test func requestsThatAreGivenUpCountWhileTheServerTakesNothing() throws {
    var limits = HTTP2Limits()
    limits.clientRequestsMax = 5
    let server = try RawServer(limits: limits)
    server.channel.isWritable = false
    for _ in 0..<5 {
      let outcome = try server.request()
      server.client.cancel(try #require(outcome.id))
      #expect(outcome.error?.code == .cancelled)
    }
    let more = try server.request()
    #expect(more.error?.code == .tooManyRequests)
    server.channel.isWritable = true
    server.channel.pipeline.fireChannelWritabilityChanged()
    try server.settle()
    let last = try server.request()
    #expect(last.results.isEmpty)
  }
}
