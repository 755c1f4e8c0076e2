import HTTPServer
import TestKit
import Testing

/// Eight times the head takes about eight times as long to read, up to the largest that is taken.
@Suite(.serialized) struct HTTP1GrowthTests {
  struct Head: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// Header fields of about so many bytes, each with the end of its line.
    var fields: @Sendable (Int) -> String
    /// Bytes that come at a time.
    var pieceBytes = Int.max
    var status = 200
  }

  private static func many(_ size: Int) -> String {
    (0..<size / 32).map { "x-\($0): a\r\n" }.joined()
  }

  static let heads: [Head] = [
    Head(testDescription: "many fields", fields: many),
    Head(testDescription: "many fields of one name") { size in
      String(repeating: "x: a\r\n", count: size / 32)
    },
    Head(testDescription: "one long value") { "x: \(String(repeating: "a", count: $0))\r\n" },
    Head(testDescription: "one long name") { "\(String(repeating: "a", count: $0)): x\r\n" },
    Head(
      testDescription: "many hosts",
      fields: { String(repeating: "host: a\r\n", count: $0 / 32) }, status: 400),
    Head(
      testDescription: "codings",
      fields: { size in
        "transfer-encoding: " + String(repeating: "a,", count: size / 2) + "chunked\r\n"
      }, status: 501),
    Head(testDescription: "many fields, byte by byte", fields: many, pieceBytes: 1),
    Head(
      testDescription: "one long value, byte by byte",
      fields: { "x: \(String(repeating: "a", count: $0))\r\n" }, pieceBytes: 1),
    Head(
      testDescription: "blanks, byte by byte",
      fields: { "x:\(String(repeating: " ", count: $0))a\r\n" }, pieceBytes: 1),
  ]

  private static func request(_ head: Head, _ size: Int) -> [UInt8] {
    Array("GET / HTTP/1.1\r\nhost: a\r\n\(head.fields(size))\r\n".utf8)
  }

  /// The bytes of the answer to `request`, which comes in pieces.
  private static func answer(to request: [UInt8], pieceBytes: Int) -> [UInt8] {
    guard let connection = try? TestConnection() else { return [] }
    var rest = request[...]
    while !rest.isEmpty {
      let piece = rest.prefix(pieceBytes)
      rest = rest.dropFirst(piece.count)
      try? connection.send(Array(piece))
    }
    return (try? connection.takeBytes()) ?? []
  }

  @Test("of header fields", arguments: heads) func ofFields(_ head: Head) {
    let sizeMax = HTTP1Limits().headerListBytesMax * 7 / 8
    let answer = Self.answer(to: Self.request(head, sizeMax), pieceBytes: head.pieceBytes)
    // Else less of it was read.
    #expect(answer.starts(with: Array("HTTP/1.1 \(head.status) ".utf8)))
    let ratio = Growth.ratio(size: sizeMax, input: { Self.request(head, $0) }) {
      Self.answer(to: $0, pieceBytes: head.pieceBytes)
    }
    #expect(ratio <= Growth.ratioMax)
  }
}
