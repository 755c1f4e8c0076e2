import Access
import Testing

@Suite struct TokensTests {
  private static func tokens(_ text: String) throws -> Tokens {
    try Tokens(reading: Array(text.utf8))
  }

  @Test func whoHasATokenIsKnownByItsName() throws {
    let (mine, other) = (Tokens.new(), Tokens.new())
    #expect(mine != other && mine.hasPrefix("latchkey_") && mine.utf8.count == 9 + 64)
    let tokens = try Self.tokens(
      "# tokens\n\n\(Tokens.line(for: mine, name: "deployer"))  # of the pipeline\r\n")
    #expect(tokens.verdict(on: mine.utf8, at: 0) == .known(Identity("token:deployer")!))
    #expect(tokens.verdict(on: other.utf8, at: 0) == .unknown)
    #expect(tokens.verdict(on: [], at: 0) == .unknown)
    #expect(tokens.verdict(on: (mine + "0").utf8, at: 0) == .unknown)
    #expect(tokens.verdict(on: mine.dropLast().utf8, at: 0) == .unknown)
    #expect(tokens.count == 1)
  }

  /// Which of both lines counts nobody could tell.
  @Test func aTokenStandsInOneLine() {
    let token = Tokens.new()
    let lines = [
      Tokens.line(for: token, name: "a", until: "2027-01-31"), Tokens.line(for: token, name: "a"),
    ]
    let error = #expect(throws: LineError.self) { try Self.tokens(lines.joined(separator: "\n")) }
    #expect(error.map { "\($0)" } == "line 2: the same token stands in line 1")
  }

  @Test func aTokenEndsWithItsDay() throws {
    let token = Tokens.new()
    let tokens = try Self.tokens(Tokens.line(for: token, name: "a", until: "2027-01-31"))
    // 2027-02-01T00:00:00Z
    let end: Int64 = 1_801_440_000
    #expect(tokens.verdict(on: token.utf8, at: end - 1) == .known(Identity("token:a")!))
    #expect(tokens.verdict(on: token.utf8, at: end) == .expired)
  }

  @Test(arguments: [
    ("1970-01-01", 86_400), ("1970-12-31", 31_536_000), ("2000-02-29", 951_868_800),
    ("2024-03-01", 1_709_337_600), ("2100-03-01", 4_107_628_800),
  ])
  func daysAreThoseOfTheCalendar(_ text: String, _ end: Int64) {
    #expect(Day(text)?.endSeconds == end)
  }

  @Test(arguments: [
    "", "2027-1-31", "2027-02-29", "2100-02-29", "2027-13-01", "2027-00-01", "2027-01-00",
    "1969-12-31", "2027/01/31", "+027-01-31", "2027-01-31-",
  ])
  func whatIsNoDayIsNone(_ text: String) { #expect(Day(text) == nil) }

  @Test(arguments: [
    "deployer", "deployer sha256:00", "deployer md5:\(String(repeating: "0", count: 64))",
    "deployer sha256:\(String(repeating: "g", count: 64))",
    "deployer sha256:\(String(repeating: "0", count: 64)) tomorrow",
    "deployer sha256:\(String(repeating: "0", count: 64)) 2027-01-31 more",
  ])
  func whatIsNotUnderstoodIsNamedWithItsLine(_ line: String) {
    let error = #expect(throws: LineError.self) { try Self.tokens("\n\(line)") }
    #expect(error?.line == 2)
    // Never the digest.
    #expect(error.map { !$0.reason.contains("0000") } == true)
  }
}
