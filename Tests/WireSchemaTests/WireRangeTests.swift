import Testing
import WireSchema

@Suite("Wire ranges")
struct WireRangeTests {
  @Test(
    "bounds are 1 <= oldest <= newest <= 65535",
    arguments: [
      (1, 1, true), (1, 65_535, true), (65_535, 65_535, true), (3, 4, true),
      (0, 1, false), (0, 0, false), (2, 1, false), (1, 65_536, false),
      (UInt32.max, UInt32.max, false),
    ] as [(UInt32, UInt32, Bool)])
  func bounds(_ oldest: UInt32, _ newest: UInt32, _ isRange: Bool) {
    #expect((WireRange(oldest: oldest, newest: newest) != nil) == isRange)
  }

  @Test("the setting holds newest above oldest")
  func packing() throws {
    let range = try #require(WireRange(oldest: 2, newest: 0x1234))
    #expect(range.settingsValue == 0x1234_0002)
    #expect(WireRange(settingsValue: 0x1234_0002) == range)
  }

  @Test(
    "a setting that makes no sense means no handshake",
    arguments: [0, 1, 0x0001_0000, 0x0001_0002, 0xffff_0000, 0x0000_ffff] as [UInt32])
  func settingWithoutMeaning(_ value: UInt32) {
    #expect(WireRange(settingsValue: value) == nil)
  }

  @Test("every form leads back to the range")
  func roundTrips() throws {
    let numbers: [UInt32] = [1, 2, 3, 9, 10, 255, 256, 65_534, 65_535]
    for oldest in numbers {
      for newest in numbers where newest >= oldest {
        let range = try #require(WireRange(oldest: oldest, newest: newest))
        #expect(WireRange(settingsValue: range.settingsValue) == range)
        #expect(WireRange(headerValue: range.headerValue) == range)
        #expect(WireRange(range.message) == range)
      }
    }
  }

  @Test(
    "headers that mean nothing",
    arguments: [
      "", " ", "-", "1", "1-", "-1", "1-2-3", "0-1", "2-1", "1-65536", "a-b", "v1-v2", "1–2",
      ";1-2", "4294967296-1", "1,2",
    ])
  func headerWithoutMeaning(_ header: String) {
    #expect(WireRange(headerValue: header) == nil)
  }

  @Test(
    "headers of later versions may say more",
    arguments: ["1-3", " 1-3 ", "1 - 3", "1-3;", "1-3; later=7", "1-3;1-9"])
  func headerWithMore(_ header: String) {
    #expect(WireRange(headerValue: header) == WireRange(oldest: 1, newest: 3))
  }

  /// Ranges of versions 1 to 4 against each other; nil where they have nothing in common.
  @Test("the highest common version is spoken by both, and there is no higher one")
  func newestCommon() throws {
    let all = (1...4).flatMap { oldest in
      (oldest...4).compactMap { WireRange(oldest: UInt32(oldest), newest: UInt32($0)) }
    }
    #expect(all.count == 10)
    for a in all {
      for b in all {
        let both = (1...4).map(UInt32.init).filter { a.contains($0) && b.contains($0) }
        #expect(a.newestCommon(with: b) == both.last)
        #expect(a.newestCommon(with: b) == b.newestCommon(with: a))
      }
    }
  }

  @Test("contains has inclusive bounds")
  func contains() throws {
    let range = try #require(WireRange(oldest: 2, newest: 4))
    #expect((0...6).map { range.contains($0) } == [false, false, true, true, true, false, false])
  }

  @Test("people read it as versions")
  func description() throws {
    #expect("\(try #require(WireRange(oldest: 1, newest: 1)))" == "v1")
    #expect("\(try #require(WireRange(oldest: 1, newest: 3)))" == "v1 to v3")
  }
}
