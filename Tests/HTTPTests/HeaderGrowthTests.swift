import HTTP
import TestKit
import Testing

/// Eight times the header list takes about eight times as long to read, up to the largest that is taken.
@Suite(.serialized) struct HeaderGrowthTests {
  struct List: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// A list that counts about so many bytes (RFC 9113 6.5.2).
    var fields: @Sendable (Int) -> [(String, String)]
    /// Bytes of the block in each frame.
    var frameBytes = 16_384
  }

  private static func many(_ size: Int) -> [(String, String)] {
    (0..<size / 40).map { ("x-\($0)", "a") }
  }

  static let lists = [
    List(testDescription: "many fields", fields: many),
    List(testDescription: "many fields of one name") { size in
      [(String, String)](repeating: ("x", "a"), count: size / 40)
    },
    List(testDescription: "one long value") { [("x", String(repeating: "a", count: $0))] },
    List(testDescription: "one long name") { [(String(repeating: "a", count: $0), "x")] },
    List(testDescription: "many fields in many frames", fields: many, frameBytes: 2_000),
    List(
      testDescription: "one long value in many frames",
      fields: { [("x", String(repeating: "a", count: $0))] }, frameBytes: 2_000),
  ]

  private static func frames(_ list: List, _ size: Int) -> [Frame] {
    var rest = (PlainHPACK.request + PlainHPACK.block(list.fields(size)))[...]
    var frames: [Frame] = []
    while !rest.isEmpty {
      let piece = Array(rest.prefix(list.frameBytes))
      rest = rest.dropFirst(piece.count)
      frames.append(
        Frame(
          type: frames.isEmpty ? Frame.headers : Frame.continuation,
          flags: (frames.isEmpty ? Frame.endStream : 0) | (rest.isEmpty ? Frame.endHeaders : 0),
          stream: 1, payload: piece))
    }
    return frames
  }

  /// How many requests came of `frames`.
  private static func read(_ frames: [Frame]) -> Int {
    guard let client = try? RawClient() else { return 0 }
    try? client.send(frames)
    return client.receiver.received.count
  }

  @Test(arguments: lists) func ofRequests(_ list: List) {
    let sizeMax = HTTP2Limits().headerListBytesMax * 7 / 8
    #expect(Self.read(Self.frames(list, sizeMax)) == 1)
    let ratio = Growth.ratio(size: sizeMax, input: { Self.frames(list, $0) }, work: Self.read)
    #expect(ratio <= Growth.ratioMax)
  }
}
