import HTTP
import NIOCore
import NIOEmbedded
import Testing

/// Random bytes, random times, random answers: whatever comes, nothing crashes, every request is
/// completed once, and nothing is kept.
@Suite struct RobustnessTests {
  @Test(arguments: 0..<8 as Range<UInt64>) func randomFramesHarmNobody(batch: UInt64) throws {
    var served = 0
    for seed in batch * 40..<batch * 40 + 40 {
      let bits = SeededBits(seed: seed)
      let client = try RawClient()
      client.receiver.answer = { request in
        if bits.next() % 2 == 0 { request.exchange.respond(TestReceiver.ok, body: request.body) }
      }
      for _ in 0..<100 where client.channel.isActive {
        try client.send(Self.bytes(bits))
        try Self.disturb(client, bits)
      }
      served += client.receiver.received.count
      client.channel.close(promise: nil)
      try client.settle()
      #expect(client.events.ends.count == 1, "seed \(seed)")
      #expect(client.receiver.received.allSatisfy { !$0.exchange.isOpen }, "seed \(seed)")
    }
    #expect(served > 0)
  }

  @Test(arguments: 0..<8 as Range<UInt64>) func brokenLinesFailRequestsOnce(batch: UInt64) throws {
    var answered = 0
    for seed in batch * 20..<batch * 20 + 20 {
      let bits = SeededBits(seed: seed)
      let pair = try Pair(grease: Grease { bits.next() })
      pair.receiver.echo()
      var outcomes: [Outcome] = []
      for round in 0..<40 {
        if pair.client.isUsable {
          let size = Int(bits.next() % 3_000)
          outcomes.append(pair.send(body: [UInt8](repeating: UInt8(round), count: size)))
        }
        if bits.next() % 8 == 0, let id = outcomes.last?.id { pair.client.cancel(id) }
        for _ in 0..<4 {
          try Self.move(from: pair.clientChannel, to: pair.serverChannel, bits)
          try Self.move(from: pair.serverChannel, to: pair.clientChannel, bits)
          pair.loop.advanceTime(by: .milliseconds(Int64(bits.next() % 1_000)))
        }
      }
      pair.clientChannel.close(promise: nil)
      pair.serverChannel.close(promise: nil)
      pair.loop.run()
      answered += outcomes.count { $0.response != nil }
      #expect(outcomes.allSatisfy { $0.results.count == 1 }, "seed \(seed)")
      #expect(pair.clientEvents.ends.count == 1, "seed \(seed)")
      #expect(pair.serverEvents.ends.count == 1, "seed \(seed)")
    }
    #expect(answered > 0)
  }

  @Test func nothingIsKeptAfterTheEnd() throws {
    weak var server: HTTP2ServerHandler?
    weak var client: HTTP2ClientHandler?
    weak var exchange: (any Exchange)?
    do {
      let pair = try Pair()
      let outcome = pair.send(body: [1, 2, 3])
      try pair.settle()
      pair.send()
      try pair.settle()
      pair.receiver.received[0].exchange.respond(TestReceiver.ok, body: [1])
      (server, client) = (pair.server, pair.client)
      exchange = pair.receiver.received[1].exchange
      try pair.settle()
      #expect(outcome.response?.body == [1])
      pair.clientChannel.close(promise: nil)
      try pair.settle()
    }
    #expect(server == nil)
    #expect(client == nil)
    #expect(exchange == nil)
  }

  @Test func aReceiverMayCloseTheChannelInPlace() throws {
    let client = try RawClient()
    client.receiver.answer = { request in
      client.channel.close(promise: nil)
      client.loop.run()
      request.exchange.respond(TestReceiver.ok, body: [1])
    }
    try client.send([
      client.openStream(1, endStream: true), client.openStream(3, endStream: true),
      client.openStream(5), Frame(type: Frame.data, flags: 1, stream: 5, payload: [1]),
    ])
    #expect(!client.channel.isActive)
    #expect(client.events.ends.count == 1)
    // What came in the same read is dropped.
    #expect(client.receiver.received.count == 1)
  }

  @Test func aCompletionMayCloseTheChannelInPlace() throws {
    let pair = try Pair()
    pair.receiver.echo()
    var results = 0
    for _ in 0..<3 {
      pair.client.send(method: "POST", path: "/", fields: [], body: [1]) { _ in
        results += 1
        pair.clientChannel.close(promise: nil)
        pair.loop.run()
      }
    }
    try pair.settle()
    #expect(results == 3)
    #expect(pair.clientEvents.ends.count == 1)
  }

  // Noise.

  /// A few frames, mostly of known types on the first streams, now and then cut or changed.
  private static func bytes(_ bits: SeededBits) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<1 + bits.next() % 6 { bytes += frame(bits).bytes }
    if bits.next() % 40 == 0 {
      bytes[Int(bits.next() % UInt64(bytes.count))] ^= 1 << (bits.next() % 8)
    }
    if bits.next() % 200 == 0 { bytes.removeLast(Int(bits.next() % UInt64(bytes.count))) }
    return bytes
  }

  private static func frame(_ bits: SeededBits) -> Frame {
    let stream = UInt32(1 + 2 * (bits.next() % 40))
    switch bits.next() % 16 {
    case 0...5:
      return Frame(
        type: Frame.headers, flags: UInt8(4 | bits.next() & 1), stream: stream,
        payload: PlainHPACK.request)
    case 6...8:
      let size = Int(bits.next() % 600)
      return Frame(
        type: Frame.data, flags: UInt8(bits.next() & 1), stream: stream,
        payload: [UInt8](repeating: 1, count: size))
    case 9:
      return Frame(type: Frame.reset, stream: stream, payload: Frame.number(8))
    case 10:
      return Frame(
        type: Frame.windowUpdate, stream: bits.next() % 2 == 0 ? 0 : stream,
        payload: Frame.number(UInt32(1 + bits.next() % 1_000)))
    case 11:
      return Frame(type: Frame.ping, payload: Array(1...8))
    case 12:
      return Frame(type: Frame.settings, payload: Frame.setting(4, UInt32(bits.next() % 100_000)))
    case 13:
      return Frame(type: 0x4C, payload: [UInt8](repeating: 2, count: Int(bits.next() % 5_000)))
    case 14:
      return Frame(
        type: UInt8(bits.next() & 0xff), flags: UInt8(bits.next() & 0xff), stream: stream,
        payload: (0..<bits.next() % 20).map { _ in UInt8(bits.next() & 0xff) })
    default:
      return Frame(
        type: Frame.headers, flags: UInt8(4 | bits.next() & 1), stream: stream,
        payload: PlainHPACK.block([("x-trailer", "1")]))
    }
  }

  private static func disturb(_ client: RawClient, _ bits: SeededBits) throws {
    switch bits.next() % 12 {
    case 0:
      client.channel.isWritable.toggle()
      client.channel.pipeline.fireChannelWritabilityChanged()
    case 1: try client.advance(by: .seconds(Int64(bits.next() % 8)))
    case 2:
      let late = client.receiver.received.randomElement(using: bits)
      late?.exchange.respond(TestReceiver.ok, body: [UInt8](repeating: 3, count: 10_000))
    case 3 where bits.next() % 10 == 0: client.server.beginDrain()
    case 4:
      client.server.update(
        offer: HandshakeOffer(settingsValue: UInt32(bits.next() & 0xff), hello: [1]))
    default: break
    }
  }

  /// Moves what was written, in pieces, and rarely breaks a byte.
  private static func move(
    from: EmbeddedChannel, to: EmbeddedChannel, _ bits: SeededBits
  ) throws {
    for write in try from.takeWrites() {
      var rest = write[...]
      if bits.next() % 100 == 0 {
        rest[Int(bits.next() % UInt64(write.count))] ^= 1 << (bits.next() % 8)
      }
      while !rest.isEmpty, to.isActive {
        let piece = rest.prefix(1 + Int(bits.next() % 700))
        try to.writeInbound(ByteBuffer(bytes: piece))
        rest = rest.dropFirst(piece.count)
      }
    }
  }
}

extension Array {
  fileprivate func randomElement(using bits: SeededBits) -> Element? {
    isEmpty ? nil : self[Int(bits.next() % UInt64(count))]
  }
}
