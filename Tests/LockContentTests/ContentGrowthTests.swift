import LockContent
import TestKit
import Testing

/// Eight times the text takes about eight times as long, whatever is in it.
@Suite(.serialized) struct ContentGrowthTests {
  /// The largest value, in bytes.
  private static let sizeMax = 65_536

  struct Shape: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// A text of about so many bytes.
    var text: @Sendable (Int) -> String
  }

  private static func members(_ count: Int, _ member: (Int) -> String) -> String {
    "{" + (0..<count).map(member).joined(separator: ",") + "}"
  }

  static let shapes = [
    Shape(testDescription: "one name of marks") { "{\"\(Marks.run($0 / 2))\":1}" },
    Shape(testDescription: "one nested name of marks") { "{\"a\":{\"\(Marks.run($0 / 2))\":1}}" },
    Shape(testDescription: "one text of marks") { "{\"a\":\"\(Marks.run($0 / 2))\"}" },
    Shape(testDescription: "a name with as many marks as may be") {
      "{\"\(Marks.bounded(bytes: $0))\":1}"
    },
    Shape(testDescription: "names with marks") { size in
      members(size / 50) { "\"\($0)\(Marks.run(20))\":1" }
    },
    Shape(testDescription: "many names") { members($0 / 8) { "\"\($0)\":1" } },
    Shape(testDescription: "nested as deep as may be") { size in
      members(size / 120) { index in
        "\"\(index)\":" + String(repeating: "{\"é\":", count: 14) + "1"
          + String(repeating: "}", count: 14)
      }
    },
    Shape(testDescription: "nested deeper than may be") {
      String(repeating: "{\"a\":", count: $0 / 6) + "1" + String(repeating: "}", count: $0 / 6)
    },
    Shape(testDescription: "lists without an end") {
      "{\"a\":" + String(repeating: "[", count: $0)
    },
    Shape(testDescription: "a number of many digits") {
      "{\"a\":" + String(repeating: "7", count: $0) + "}"
    },
    Shape(testDescription: "a number of many zeros") {
      "{\"a\":0." + String(repeating: "0", count: $0) + "1}"
    },
    Shape(testDescription: "escapes") {
      "{\"a\":\"" + String(repeating: "\\u00fc", count: $0 / 6) + "\"}"
    },
    Shape(testDescription: "blanks") { "{\"a\":" + String(repeating: " ", count: $0) + "1}" },
  ]

  @Test(arguments: shapes) func ofReading(_ shape: Shape) {
    let ratio = Growth.ratio(size: Self.sizeMax, input: shape.text) { Attributes(exactly: $0) }
    #expect(ratio <= Growth.ratioMax)
  }

  @Test(arguments: shapes) func ofWhatIsKept(_ shape: Shape) {
    let ratio = Growth.ratio(
      size: Self.sizeMax, input: { Attributes(exactly: shape.text($0)) ?? [:] }
    ) { attributes in
      (attributes.json, Attributes(binary: attributes.binary[...]), attributes.isSound)
    }
    #expect(ratio <= Growth.ratioMax)
  }

  /// As bytes that a row may have: names of marks among them, which are only ever a text.
  @Test func ofBytesWithNamesThatCostTooMuch() {
    let ratio = Growth.ratio(size: Self.sizeMax) { size -> [UInt8] in
      (["zone": 1, Marks.run(size / 2): ["a": 1]] as Attributes).binary
    } work: { bytes in
      (
        Attributes.isBinary(bytes[...]), Attributes(binary: bytes[...]),
        Attributes.json(ofUnsafeBinary: bytes[...])
      )
    }
    #expect(ratio <= Growth.ratioMax)
  }
}
