/// Where a server is.
public struct Endpoint: Hashable, Sendable, CustomStringConvertible {
  /// A name or an address, IPv6 without brackets; empty for a socket of this machine.
  public let host: String
  /// 1 to 65,535; 0 for a socket of this machine.
  public let port: Int
  /// Whether TLS is spoken with it, as ``LatchkeyClient/Configuration/tls-swift.property`` says.
  public let isSecure: Bool
  /// The path of a socket of this machine; nil for a host.
  public let socketPath: String?

  /// The port of a server that does not say otherwise.
  public static let defaultPort = 7420

  /// The longest name that DNS knows, in bytes (RFC 1035, section 2.3.4).
  static let hostBytesMax = 253
  /// The longest path of a socket, in bytes (unix(7)).
  static let pathBytesMax = 107

  /// Reads `host`, `host:port`, `[IPv6]` or `[IPv6]:port`, also as a URL: with `http://` before it, or with
  /// `https://` for TLS, and one `/` at its end. A URL without a port means ``defaultPort`` too. `unix:PATH` is
  /// a socket of this machine.
  ///
  /// - Throws: ``LatchkeyError/Code/invalidRequest`` for anything else.
  public init(_ text: String) throws(LatchkeyError) {
    let socket = "unix:"
    if text.hasPrefix(socket) {
      let path = String(text.dropFirst(socket.count))
      guard (1...Self.pathBytesMax).contains(path.utf8.count), !path.utf8.contains(0) else {
        throw LatchkeyError(
          .invalidRequest, "\"\(text)\": a socket's path has 1 to \(Self.pathBytesMax) bytes")
      }
      (host, port, isSecure, socketPath) = ("", 0, false, path)
      return
    }
    let url = Self.split(text)
    guard let (host, port) = Self.parse(url?.authority ?? text) else {
      throw LatchkeyError(
        .invalidRequest,
        "\"\(text)\" is not an endpoint; write host:port, or [address]:port for IPv6")
    }
    self.host = host
    self.port = port
    isSecure = url?.scheme == "https"
    socketPath = nil
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

  /// As ``init(_:)`` reads it: with a scheme where it is not clear text.
  public var description: String {
    if let socketPath { return "unix:\(socketPath)" }
    return (isSecure ? "https://" : "") + authority
  }

  /// As a URL's authority (RFC 3986, section 3.2).
  var authority: String {
    guard socketPath == nil else { return "localhost" }
    return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}
