import LockContent
import TestKit
import Testing

@Suite("Attributes")
struct AttributesTests {
  @Test(
    "a JSON object is seen as attributes",
    arguments: [
      ("{}", Attributes()),
      (" {\"a\" : 1 }\n", ["a": 1]),
      (#"{"b":true,"a":false,"c":null}"#, ["a": false, "b": true, "c": .null]),
      (
        #"{"zone":"z1","nested":{"deep":[1,"two",[3]]}}"#,
        ["zone": "z1", "nested": ["deep": [1, "two", [3]]]]
      ),
      (#"{"s":"\u00fc\ud83d\udd12\n\/\\\""}"#, ["s": "ü🔒\n/\\\""]),
      (
        #"{"n":[0,-1,0.5,1e3,1E+2,15.0,1e-7,123456789012345,1e23]}"#,
        ["n": [0, -1, 0.5, 1000, 100, 15, 1e-7, 123_456_789_012_345, 1e23]]
      ),
      (#"{"":""}"#, ["": ""]),
    ] as [(String, Attributes)])
  func objects(_ text: String, _ attributes: Attributes) {
    #expect(Attributes(exactly: text) == attributes)
  }

  @Test(
    "whatever attributes cannot hold exactly is a text",
    arguments: [
      "", " ", "text", "[1]", "1", "null", "\"a\"", "{", "}", "{]", "{\"a\"}", "{\"a\":}",
      "{\"a\":1,}", "{,}", "{\"a\":1}}", "{\"a\":1} x", "{\"a\":1 \"b\":2}", "{a:1}", "{'a':1}",
      #"{"a":1,"a":1}"#, #"{"a":1,"\u0061":2}"#,
      "{\"\u{e9}\":1,\"e\u{301}\":2}",  // one name in two Unicode spellings
      #"{"a":9007199254740993}"#, #"{"a":0.1000000000000000055}"#, #"{"a":1e400}"#,
      #"{"a":1e-400}"#, #"{"a":01}"#, #"{"a":+1}"#, #"{"a":.5}"#, #"{"a":1.}"#, #"{"a":1e}"#,
      #"{"a":-}"#, #"{"a":NaN}"#, #"{"a":0x1}"#, #"{"a":1e99999999999999999999}"#,
      #"{"a":"\u0000"}"#, #"{"\u0000":1}"#, #"{"a":"\ud800"}"#, #"{"a":"\udc00\ud800"}"#,
      #"{"a":"\x"}"#, #"{"a":"\u00g0"}"#, "{\"a\":\"\n\"}", #"{"a":"b}"#, #"{"a":tru}"#,
      #"{"a":True}"#, "\u{feff}{}",
    ])
  func texts(_ text: String) {
    #expect(Attributes(exactly: text) == nil)
  }

  @Test("nesting has a bound")
  func levels() {
    let deepest = String(repeating: #"{"a":"#, count: 15) + "[]" + String(repeating: "}", count: 15)
    #expect(Attributes(exactly: deepest)?.isSound == true)
    #expect(Attributes(exactly: "{\"a\":\(deepest)}") == nil)
    var value = AttributeValue.nested([:])
    for _ in 0..<15 { value = ["a": value] }
    guard case .nested(let sound) = value else {
      Issue.record("not nested")
      return
    }
    #expect(sound.isSound)
    #expect(!(["a": value] as Attributes).isSound)
  }

  @Test("what no text can show is not sound")
  func unsound() {
    for value in [.number(.nan), .number(.infinity), "\0", ["\0"], ["\0": 1]] as [AttributeValue] {
      #expect(!(["a": value] as Attributes).isSound)
    }
  }

  @Test(
    "the canonical text",
    arguments: [
      (["b": 1, "a": 1.0], #"{"a":1,"b":1}"#),
      (
        [
          "n": [
            0, -0.0, 0.1, 1e15, 1e16, 1e20, 1e21, 1.5e22, -1.5e-9, 1e-6, 1e-7, 0.000001234, 1e300,
            2.5e-308, 123.456, 123_456_789_012_345_680,
          ]
        ],
        #"{"n":[0,0,0.1,1000000000000000,10000000000000000,100000000000000000000,1e+21,1.5e+22,"#
          + #"-1.5e-9,0.000001,1e-7,0.000001234,1e+300,2.5e-308,123.456,123456789012345680]}"#
      ),
      (["s": "\"\\/\n\r\t\u{8}\u{1f}ü🔒"], #"{"s":"\"\\/\n\r\t\u0008\u001fü🔒"}"#),
      (["\u{ffff}": 1, "\u{10000}": 2], "{\"\u{ffff}\":1,\"\u{10000}\":2}"),
    ] as [(Attributes, String)])
  func canonical(_ attributes: Attributes, _ text: String) {
    #expect(attributes.json == text)
    #expect(Attributes(exactly: text) == attributes)
  }

  @Test("text and attributes are two views of one thing")
  func roundTrip() {
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<2_000 {
      let attributes = Attributes.random(using: &generator)
      #expect(attributes.isSound)
      let text = attributes.json
      #expect(Attributes(exactly: text) == attributes)
      #expect(Content(text: text) == Content(attributes))
      #expect(Content(text: text).attributes == attributes)
      // Another spelling is the same attributes, and stays as it was written.
      let spelled = Content(text: " " + text)
      #expect(spelled.attributes == attributes && spelled.text == " " + text)
      #expect(spelled != Content(attributes))
      // So are the bytes, which are smaller than most texts.
      let binary = attributes.binary
      #expect(Attributes.isBinary(binary[...]) && Attributes(binary: binary[...]) == attributes)
      #expect(
        Content(binary: binary).text == text && Content(binary: binary) == Content(text: text))
      for end in binary.indices { #expect(Attributes(binary: binary[..<end]) == nil) }
    }
  }

  @Test("bytes that are no attributes are refused, and passing over them says the same")
  func rubbish() {
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<5_000 {
      var bytes = Attributes.random(using: &generator).binary
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let index = bytes.indices.randomElement(using: &generator)!
        bytes[index] = UInt8.random(in: 0...255, using: &generator)
      }
      #expect(Attributes.isBinary(bytes[...]) == (Attributes(binary: bytes[...]) != nil))
    }
    let deep = Array(repeating: [UInt8](arrayLiteral: 1, 0, 6), count: 100_000).flatMap(\.self)
    #expect(!Attributes.isBinary(deep[...]) && Attributes(binary: deep[...]) == nil)
    // Out of order, twice, and twice in two spellings, also further down.
    let pairs: [[String]] = [["b", "a"], ["a", "a"], ["e\u{301}", "\u{E9}"], ["K", "\u{212A}"]]
    for names in pairs {
      var object: [UInt8] = [2]
      for name in names { object += [UInt8(name.utf8.count)] + Array(name.utf8) + [0] }
      for start in [[], [1, 1, 97, 6], [1, 1, 97, 5, 1, 6]] as [[UInt8]] {
        let bytes = start + object
        #expect(!Attributes.isBinary(bytes[...]) && Attributes(binary: bytes[...]) == nil)
      }
    }
    let apart = [2, 1, 75, 0, 2, 0xC3, 0xA9, 0] as [UInt8]
    #expect(Attributes.isBinary(apart[...]) && Attributes(binary: apart[...]) != nil)
  }
}
