/// Where a server is.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
  /// A name or an address, IPv6 without brackets.
  public let host: String
  /// 1 to 65,535.
  public let port: Int

  /// The port of a server that does not say otherwise.
  public static let defaultPort = 7420

  /// The longest name that DNS knows, in bytes (RFC 1035, section 2.3.4).
  static let hostBytesMax = 253

  /// Reads `host`, `host:port`, `[IPv6]` or `[IPv6]:port`, also as a URL: with `http://` before it,
  /// and one `/` at its end. A URL without a port means ``defaultPort`` too.
  ///
  /// - Throws: ``LatchkeyError/Code/invalidRequest`` for anything else.
  public init(_ text: String) throws(LatchkeyError) {
    let url = Self.split(text)
    if url?.scheme == "https" {
      throw LatchkeyError(
        .invalidRequest, "\"\(text)\": this release does not speak TLS; write http:// or no scheme")
    }
    guard let (host, port) = Self.parse(url?.authority ?? text) else {
      throw LatchkeyError(
        .invalidRequest,
        "\"\(text)\" is not an endpoint; write host:port, or [address]:port for IPv6")
    }
    self.host = host
    self.port = port
  }

  private static func parse(_ text: String) -> (host: String, port: Int)? {
    let host: Substring
    let rest: Substring
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { return nil }
      host = text[text.index(after: text.startIndex)..<end]
      rest = text[text.index(after: end)...]
      // A zone (RFC 4007) such as %eth0 may follow.
      let address = host.prefix { $0 != "%" }
      guard address.contains(":"), address.allSatisfy({ $0.isHexDigit || ":.".contains($0) }),
        host.dropFirst(address.count + 1).allSatisfy(isHostCharacter)
      else { return nil }
    } else {
      host = text.prefix { $0 != ":" }
      rest = text.dropFirst(host.count)
      guard host.allSatisfy(isHostCharacter) else { return nil }
    }
    guard !host.isEmpty, host.utf8.count <= hostBytesMax else { return nil }
    if rest.isEmpty { return (String(host), defaultPort) }
    guard rest.first == ":", rest.dropFirst().allSatisfy({ ("0"..."9").contains($0) }),
      let port = Int(rest.dropFirst()), (1...65_535).contains(port)
    else { return nil }
    return (String(host), port)
  }

  private static func isHostCharacter(_ character: Character) -> Bool {
    character.isASCII && (character.isLetter || character.isNumber || "-._".contains(character))
  }

  /// Splits a URL (RFC 3986, section 3); nil for what has no scheme of http or https.
  private static func split(_ text: String) -> (scheme: String, authority: String)? {
    for scheme in ["http", "https"] {
      let prefix = scheme + "://"
      guard text.prefix(prefix.count).lowercased() == prefix else { continue }
      let rest = text.dropFirst(prefix.count)
      return (scheme, String(rest.hasSuffix("/") ? rest.dropLast() : rest))
    }
    return nil
  }

  /// As a URL's authority (RFC 3986, section 3.2), which ``init(_:)`` reads.
  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
