import LockContent
import TestKit
import Testing

/// A long run of combining marks costs the square of its length wherever it is normalised: such names are
/// found before.
@Suite struct StreamSafeTests {
  @Test(
    "thirty non-starters in a row are the most",
    arguments: [
      ("", true), ("plain text", true), (Marks.run(30), true), (Marks.run(31), false),
      ("a" + Marks.run(30) + "b" + Marks.run(30), true), ("a" + Marks.run(31) + "b", false),
      (String(repeating: "x", count: 1_000) + Marks.run(31), false),
      (Marks.run(31) + String(repeating: "x", count: 1_000), false),
      // Of four bytes each, and with those of two among them.
      (String(repeating: "\u{1D165}", count: 30), true),
      (String(repeating: "\u{1D165}", count: 31), false),
      (String(repeating: "\u{1D165}\u{301}", count: 16), false),
      // Starters, however many: letters, syllables that decompose, joiners, vowel signs.
      (String(repeating: "é", count: 100), true), (String(repeating: "각", count: 100), true),
      (String(repeating: "\u{1100}", count: 100), true),
      (String(repeating: "\u{200D}", count: 100), true),
      (String(repeating: "\u{93E}", count: 100), true),
      (Marks.bounded(bytes: 10_000), true), (Marks.bounded(bytes: 10_000) + Marks.run(31), false),
    ] as [(String, Bool)])
  func bound(_ text: String, _ isSafe: Bool) {
    #expect(text.isStreamSafe == isSafe)
  }

  /// Counts one by one what the type under test jumps over.
  private static func longestRun(_ text: String) -> Int {
    var (longest, run) = (0, 0)
    for scalar in text.unicodeScalars {
      run = scalar.properties.canonicalCombiningClass == .notReordered ? 0 : run + 1
      longest = max(longest, run)
    }
    return longest
  }

  @Test("every run is found, wherever it stands", arguments: 0..<20 as Range<UInt64>)
  func everywhere(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let scalars: [Unicode.Scalar] = ["a", "\u{315}", "\u{316}", "\u{1D165}", "\u{64B}", "字", "🔒"]
    for _ in 0..<500 {
      var text = ""
      for _ in 0..<Int.random(in: 0...6, using: &random) {
        let scalar = scalars.randomElement(using: &random)!
        let count = Int.random(in: 0...35, using: &random)
        text += String(String.UnicodeScalarView(repeating: scalar, count: count))
      }
      let expected = Self.longestRun(text) <= StreamSafe.nonStartersMax
      #expect(text.isStreamSafe == expected, "\(text.unicodeScalars.map(\.value))")
      // In the midst of what is not UTF-8 as well.
      let noise: [UInt8] = [0xff, 0xcc, 0xf0, 0x80]
      let bytes = noise + Array(text.utf8) + noise
      #expect(bytes.withUnsafeBufferPointer(StreamSafe.holds) == expected)
    }
  }

  @Test("bytes that are not UTF-8 are not marks")
  func noise() {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<2_000 {
      let bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in
        UInt8.random(in: 0x80...0xff, using: &random)
      }
      _ = bytes.withUnsafeBufferPointer(StreamSafe.holds)
    }
    for byte in UInt8.min...UInt8.max {
      let bytes = [UInt8](repeating: byte, count: 500)
      #expect(bytes.withUnsafeBufferPointer(StreamSafe.holds))
    }
  }

  // MARK: - Attributes

  private static let long = "n" + Marks.run(31)
  private static let short = "n" + Marks.run(30)

  @Test(
    "an object with a name that costs too much is a text",
    arguments: [
      "{\"\(long)\":1}", "{\"a\":{\"\(long)\":1}}", "{\"a\":[{\"b\":1,\"\(long)\":null}]}",
      "{\"n" + String(repeating: "\\u0315", count: 31) + "\":1}",
    ])
  func textOnly(_ text: String) {
    #expect(Attributes(exactly: text) == nil)
    #expect(Content(text: text).attributes == nil)
  }

  @Test("texts may have as many marks as they like, and names up to the bound")
  func values() throws {
    let text = "{\"\(Self.short)\":\"\(Self.long)\"}"
    let attributes = try #require(Attributes(exactly: text))
    #expect(attributes.isSound)
    #expect(attributes.json.isSameText(as: text))
    #expect(Attributes(binary: attributes.binary[...]) == attributes)
    #expect(Attributes.isBinary(attributes.binary[...]))
  }

  @Test("attributes with such a name are not sound")
  func unsound() {
    #expect(!Attributes([Self.long: 1]).isSound)
    #expect(!Attributes(["a": [.nested([Self.long: 1])]]).isSound)
    #expect(Attributes([Self.short: 1]).isSound)
  }

  @Test("bytes with such a name are not attributes, but their text is to be had")
  func binary() {
    let all: [Attributes] = [
      [Self.long: 1], ["a": 1, "z": [1, .nested([Self.long: "x\n", "b": .null])], "é": -0.5],
    ]
    for attributes in all {
      // What releases before 0.3.1 wrote.
      let bytes = attributes.binary
      #expect(!Attributes.isBinary(bytes[...]))
      #expect(Attributes(binary: bytes[...]) == nil)
      #expect(
        Attributes.json(ofUnsafeBinary: bytes[...])?.isSameText(as: attributes.json) == true)
    }
    #expect(Attributes.json(ofUnsafeBinary: (["a": 1] as Attributes).binary[...]) == nil)
    for length in 0..<all[1].binary.count {
      #expect(Attributes.json(ofUnsafeBinary: all[1].binary[..<length]) == nil)
    }
  }
}
