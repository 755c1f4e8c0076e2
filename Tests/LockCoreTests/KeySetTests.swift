import LockCore
import Testing

@Suite struct KeySetTests {
  @Test func aKeyIsInItByItsNameOrByHowItBegins() {
    let keys = KeySet(prefixes: ["b/", "a/b/", "a/", "c"], names: ["d", "c1", "e/f"])
    for key in ["a/", "a/1", "a/b/c", "b/x", "c", "c1", "cc", "d", "e/f"] {
      #expect(keys.contains(key), "\(key)")
    }
    for key in ["", "a", "b", "ab", "d1", "e/", "e/fg", "B/x"] {
      #expect(!keys.contains(key), "\(key)")
    }
    #expect(keys.containsAll(beginningWith: "a/b") && keys.containsAll(beginningWith: "c1"))
    #expect(!keys.containsAll(beginningWith: "") && !keys.containsAll(beginningWith: "d"))
  }

  @Test func allAndNoneAreWhatTheySay() {
    #expect(KeySet.all.contains("") && KeySet.all.contains("x") && KeySet.all.isAll)
    #expect(!KeySet.none.contains("") && KeySet.none.isEmpty && !KeySet.none.isAll)
  }

  @Test func namesAreComparedByTheirBytes() {
    let keys = KeySet(prefixes: ["\u{e9}"], names: ["x\u{e9}"])
    #expect(keys.contains("\u{e9}1") && keys.contains("x\u{e9}"))
    #expect(!keys.contains("e\u{301}1") && !keys.contains("xe\u{301}"))
  }

  /// Beside what is said in the plainest way.
  @Test func itIsWhatThePlainestWaySays() {
    var generator = SystemRandomNumberGenerator()
    func text(_ max: Int) -> String {
      String(
        (0..<Int.random(in: 0...max, using: &generator)).map { _ in
          "abc".randomElement(using: &generator)!
        })
    }
    for _ in 0..<300 {
      let prefixes = (0..<Int.random(in: 0...8)).map { _ in text(5) }
      let names = (0..<Int.random(in: 0...4)).map { _ in text(5) }
      let keys = KeySet(prefixes: prefixes, names: names)
      for _ in 0..<20 {
        let key = text(7)
        #expect(
          keys.contains(key) == (names.contains(key) || prefixes.contains { key.hasPrefix($0) }))
        // Stretch by stretch there are the keys of the set that are not less, and no others.
        var stretches: [KeySet.Stretch] = []
        var next = keys.stretch(from: key)
        while let stretch = next {
          #expect(stretches.last.map { $0.text < stretch.text } ?? true)
          stretches.append(stretch)
          next = keys.stretch(after: stretch.text)
        }
        for _ in 0..<20 {
          let other = text(7)
          let isIn = stretches.count {
            $0.isOneKey ? other == $0.text : other.hasPrefix($0.text)
          }
          #expect(isIn == (keys.contains(other) && other >= key ? 1 : 0) || other < key)
        }
      }
    }
  }
}
