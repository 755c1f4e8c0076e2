import LockCore
import Testing

@Suite struct NameTests {
  @Test(arguments: [
    ("", 4, false), ("a", 4, true), ("abcd", 4, true), ("abcde", 4, false),
    // Bytes count, not characters.
    ("\u{E9}\u{E9}", 4, true), ("\u{E9}\u{E9}a", 4, false), ("\u{1F512}", 4, true),
    ("\u{1F512}a", 4, false), ("a\0", 4, false), ("\0", 4, false), (" ", 4, true),
  ])
  func namesHaveBytesAndNoNUL(_ text: String, _ bytesMax: Int, _ isName: Bool) {
    #expect(NameLimits.isName(text, bytesMax: bytesMax) == isName)
    #expect(NameLimits.isText(text, bytesMax: bytesMax) == (isName || text.isEmpty))
  }

  @Test(arguments: [
    ("_latchkey/", true), ("_latchkey/servers/a", true), ("_latchkey", false),
    ("_LATCHKEY/", false), ("a/_latchkey/", false), ("", false), ("_latchkey\u{2044}x", false),
    // A mark that joins the slash to one character does not hide it.
    ("_latchkey/\u{301}", true),
  ])
  func reservedKeysStartWithThePrefixByBytes(_ key: String, _ isReserved: Bool) {
    #expect(ReservedKeys.contains(key) == isReserved)
  }

  @Test func serversAreUnderTheReservedPrefix() {
    #expect(ReservedKeys.contains(ReservedKeys.servers))
  }

  @Test func sameNamesHaveTheSameBytes() {
    let (composed, decomposed) = ("\u{E9}", "e\u{301}")
    #expect(!composed.isSameName(as: decomposed))
    #expect(composed.isSameName(as: composed))
    #expect(!"a".isSameName(as: "ab"))
    #expect(NameBytes(composed) != NameBytes(decomposed))
    #expect(NameBytes("key") == NameBytes("key"))
    #expect(Set([NameBytes(composed), NameBytes(decomposed), NameBytes(composed)]).count == 2)
  }

  @Test(arguments: [
    (Int64.min, false), (-1, false), (0, false), (1, true), (Lease.secondsMax, true),
    (Lease.secondsMax + 1, false), (Int64.max, false),
  ])
  func leasesAreWholeSecondsWithinBounds(_ seconds: Int64, _ isLease: Bool) {
    let lease = Lease(seconds: seconds)
    #expect((lease != nil) == isLease)
    if let lease { #expect(lease.nanoseconds / 1_000_000_000 == seconds) }
  }

  @Test(arguments: [
    ((1, 1), (1, 1), false), ((1, 2), (1, 1), true), ((1, 1), (1, 2), false),
    ((2, 1), (1, 9), true), ((1, 9), (2, 1), false),
  ])
  func sightingsAreOrderedByTokenThenRevision(
    _ a: (Int64, Int64), _ b: (Int64, Int64), _ isLater: Bool
  ) {
    let (a, b) = (
      Sighting(token: a.0, revision: a.1), Sighting(token: b.0, revision: b.1)
    )
    #expect(a.isLater(than: b) == isLater)
  }
}
