/// The wire versions that a peer speaks, from `oldest` to `newest`, without gaps.
///
/// It travels in three forms: as the value of the HTTP/2 setting 0x4C4B, as the header
/// `latchkey-wire: 1-3` on every response, and as the detail of the error that answers a request in
/// an unknown version. Their layout is frozen (Protocol/README.md).
package struct WireRange: Hashable, Sendable, CustomStringConvertible {
  package let oldest: UInt32
  package let newest: UInt32

  /// The highest version number that the setting has room for.
  package static let numberMax: UInt32 = 0xffff

  /// Nil unless `1 <= oldest <= newest <= numberMax`.
  package init?(oldest: UInt32, newest: UInt32) {
    guard oldest >= 1, oldest <= newest, newest <= Self.numberMax else { return nil }
    self.oldest = oldest
    self.newest = newest
  }

  package func contains(_ version: UInt32) -> Bool { (oldest...newest).contains(version) }

  /// The highest version that both sides speak; nil where there is none.
  package func newestCommon(with other: WireRange) -> UInt32? {
    let newest = min(newest, other.newest)
    return newest >= max(oldest, other.oldest) ? newest : nil
  }

  // MARK: - As a setting

  /// The id of the setting: "LK".
  package static let settingID: UInt16 = 0x4C4B

  package var settingsValue: UInt32 { newest << 16 | oldest }

  /// Nil where the value is 0 or makes no sense: the peer takes no part in the handshake.
  package init?(settingsValue: UInt32) {
    self.init(oldest: settingsValue & 0xffff, newest: settingsValue >> 16)
  }

  // MARK: - As a header

  /// The name of the header, on every response.
  package static let headerName: StaticString = "latchkey-wire"

  /// Such as "1-3"; what follows a further separator is for later versions and is ignored.
  package var headerValue: String { "\(oldest)-\(newest)" }

  package init?(headerValue: String) {
    let range = headerValue.utf8.prefix { $0 != UInt8(ascii: ";") }
      .filter { $0 != UInt8(ascii: " ") }
    let parts = range.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }
    guard parts.count == 2, let oldest = UInt32(parts[0]), let newest = UInt32(parts[1]) else {
      return nil
    }
    self.init(oldest: oldest, newest: newest)
  }

  package var description: String { oldest == newest ? "v\(oldest)" : "v\(oldest) to v\(newest)" }

  // MARK: - As a message

  package var message: Latchkey_Handshake_V1_WireRange {
    .with {
      $0.oldest = oldest
      $0.newest = newest
    }
  }

  package init?(_ message: Latchkey_Handshake_V1_WireRange) {
    self.init(oldest: message.oldest, newest: message.newest)
  }

  /// What an error detail with this message is called.
  package static let detailType = Latchkey_Handshake_V1_WireRange.protoMessageName
}
