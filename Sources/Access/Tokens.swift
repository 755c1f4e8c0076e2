import Crypto

/// The bearer tokens that are known, by their digests: who reads the file can present none of them.
///
/// A file of lines, each of which is empty, a comment that begins with "#", or a token's:
///
/// ```
/// # name      digest                                   until when, if not for ever
/// deployer    sha256:1b4f0e9851971998e732078544c96b36…  2027-01-31
/// ```
package struct Tokens: Sendable {
  /// How a token begins, so that it is found where it should not be.
  package static let beginning = "latchkey_"
  /// Random bytes of a token: nobody guesses it.
  package static let randomBytes = 32
  package static let bytesMax = 4 << 20
  package static let tokensMax = 100_000
  /// The longest text that is looked at as a token, in bytes.
  package static let tokenBytesMax = 512

  /// Who it is, and until when.
  private struct Entry: Sendable {
    let identity: Identity
    let digest: [UInt8]
    /// In seconds since 1970; nil for ever.
    let end: Int64?
    /// Where it stands.
    let line: Int
  }

  /// By the first bytes of the digest, which say nothing of the token.
  private var entries: [UInt64: [Entry]] = [:]
  package private(set) var count = 0

  package init() {}

  package enum Verdict: Equatable, Sendable {
    case known(Identity)
    case unknown
    case expired
  }

  /// What stands for a token that is shown.
  package struct Digest: Sendable {
    fileprivate let bytes: [UInt8]

    /// Nil where `token` is too long to be one.
    package init?(of token: some Collection<UInt8>) {
      guard token.count <= Tokens.tokenBytesMax else { return nil }
      bytes = Array(SHA256.hash(data: Array(token)))
    }
  }

  /// - Parameters:
  ///   - digest: Nil for what is none.
  ///   - now: In seconds since 1970.
  package func verdict(on digest: Digest?, at now: Int64) -> Verdict {
    guard let digest = digest?.bytes else { return .unknown }
    var verdict = Verdict.unknown
    // Whatever is found is compared in whole, and in the same time wherever it differs.
    for entry in entries[Self.start(of: digest)] ?? [] where Self.isSame(entry.digest, digest) {
      guard let end = entry.end, end <= now else { return .known(entry.identity) }
      verdict = .expired
    }
    return verdict
  }

  package func verdict(on token: some Collection<UInt8>, at now: Int64) -> Verdict {
    verdict(on: Digest(of: token), at: now)
  }

  private static func start(of digest: [UInt8]) -> UInt64 {
    digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func isSame(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.count == b.count && zip(a, b).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }

  // MARK: - The file

  /// - Throws: ``LineError`` for the first line that is not understood.
  package init(reading bytes: [UInt8]) throws(LineError) {
    for (index, line) in bytes.split(
      separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false
    ).enumerated() {
      guard let text = String(validating: line, as: UTF8.self), !line.contains(0) else {
        throw LineError(line: index + 1, reason: "this is no text in UTF-8")
      }
      let words = text.utf8.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }.map { String($0)! }
      let said = words.prefix { !$0.hasPrefix("#") }
      if said.isEmpty { continue }
      try add(Array(said), line: index + 1)
    }
  }

  private mutating func add(_ words: [String], line: Int) throws(LineError) {
    guard (2...3).contains(words.count) else {
      throw LineError(
        line: line,
        reason: "a token has a name, a digest, and perhaps a day: NAME sha256:DIGEST 2027-01-31")
    }
    guard let identity = Identity("token:\(words[0])") else {
      throw LineError(
        line: line, reason: "a name has 1 to \(Identity.bytesMax - 6) bytes of visible text")
    }
    let algorithm = "sha256:"
    guard words[1].hasPrefix(algorithm),
      let digest = Self.bytes(hex: words[1].utf8.dropFirst(algorithm.utf8.count)),
      digest.count == 32
    else {
      throw LineError(
        line: line,
        reason: "a digest is sha256: and 64 hexadecimal digits; latchkeyd token new prints one")
    }
    var end: Int64?
    if words.count == 3 {
      guard let day = Day(words[2]) else {
        throw LineError(line: line, reason: "the third word is no day; write 2027-01-31")
      }
      end = day.endSeconds
    }
    if let first = entries[Self.start(of: digest)]?.first(where: { $0.digest == digest }) {
      throw LineError(line: line, reason: "the same token stands in line \(first.line)")
    }
    count += 1
    guard count <= Self.tokensMax else {
      throw LineError(line: line, reason: "there are more than \(Self.tokensMax) tokens")
    }
    entries[Self.start(of: digest), default: []].append(
      Entry(identity: identity, digest: digest, end: end, line: line))
  }

  private static func bytes(hex: Substring.UTF8View) -> [UInt8]? {
    guard hex.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    var high: UInt8?
    for digit in hex {
      let value: UInt8
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
      default: return nil
      }
      if let first = high {
        bytes.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    return bytes
  }

  // MARK: - New ones

  /// A token that nobody has had before.
  package static func new() -> String {
    var random = SystemRandomNumberGenerator()
    let bytes = (0..<randomBytes).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    return beginning + bytes.hex
  }

  /// What stands for `token` in the file.
  package static func line(for token: String, name: String, until day: String? = nil) -> String {
    let digest = SHA256.hash(data: Array(token.utf8))
    return "\(name) sha256:\(digest.hex)" + (day.map { " \($0)" } ?? "")
  }
}

extension Sequence<UInt8> {
  /// In hexadecimal digits, two for each.
  var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}

/// A day of the calendar, which ends at midnight UTC.
package struct Day {
  /// The first second that is not in it any more, since 1970.
  package let endSeconds: Int64

  /// `2027-01-31`
  package init?(_ text: String) {
    let parts = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
    guard parts.map(\.count) == [4, 2, 2],
      parts.joined().allSatisfy({ (0x30...0x39).contains($0) }),
      let year = Int64(Substring(parts[0])), let month = Int64(Substring(parts[1])),
      let day = Int64(Substring(parts[2])), year >= 1970, (1...12).contains(month),
      (1...Self.days(of: month, year)).contains(day)
    else { return nil }
    let before = (1..<month).reduce(0) { $0 + Self.days(of: $1, year) }
    let leapDays = (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 - 477
    endSeconds = ((year - 1970) * 365 + leapDays + before + day) * 86_400
  }

  private static func days(of month: Int64, _ year: Int64) -> Int64 {
    switch month {
    case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }
}
