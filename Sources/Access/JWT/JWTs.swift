import FoundationEssentials

/// JWTs (RFC 7519) of one issuer for one audience: those of Kubernetes' service accounts, or of an OpenID provider.
package struct JWTs: Sendable {
  /// The longest text that is looked at as a JWT, in bytes.
  package static let bytesMax = 8_192
  /// For how long a JWT may be ahead of this machine's clock, in seconds.
  package static let leewaySeconds: Int64 = 60
  /// What looking at one costs, as much as reading a body of so many bytes does.
  package static let verificationCost = 8_192

  /// Whose JWTs are taken, and for whom they have to be.
  package struct Terms: Hashable, Sendable {
    package let issuer: String
    package let audience: String

    package init(issuer: String, audience: String) {
      self.issuer = issuer
      self.audience = audience
    }
  }

  private let keys: JSONWebKeys
  private let terms: Terms

  init(_ keys: JSONWebKeys, _ terms: Terms) {
    self.keys = keys
    self.terms = terms
  }

  package var count: Int { keys.count }

  package enum Verdict: Equatable, Sendable {
    /// Until then, in seconds since 1970.
    case known(Identity, until: Int64)
    /// Why it proves nothing, in words for its owner.
    case wrong(String)
  }

  /// Whether `token` has the form of a JWT, which none has that ``Tokens/new()`` makes.
  package static func mayBe(_ token: some Collection<UInt8>) -> Bool {
    token.count(where: { $0 == UInt8(ascii: ".") }) == 2
  }

  /// Takes as long as some hundred requests where there are many keys: not for event loops.
  ///
  /// - Parameter now: In seconds since 1970.
  package func verdict(on token: [UInt8], at now: Int64) -> Verdict {
    guard token.count <= Self.bytesMax else {
      return .wrong("the JWT has more than \(Self.bytesMax) bytes")
    }
    let parts = token.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 3, let signature = Data(base64URL: parts[2]),
      let header = Self.decoded(Header.self, parts[0])
    else { return .wrong("this is no JWT") }
    guard !header.isCritical else { return .wrong("the JWT asks for what is not known here") }
    let signed = token[..<parts[1].endIndex]
    let candidates = keys.keys(id: header.kid, algorithm: header.alg)
    guard candidates.contains(where: { $0.hasSigned(signed, signature) }) else {
      return .wrong("the JWT is signed by no key that is known here")
    }
    return verdict(onSigned: parts[1], at: now)
  }

  /// With none of the library's own types, which end the process at a number that is no `Int`, or an empty list.
  private static func decoded<Part: Decodable>(_: Part.Type, _ part: ArraySlice<UInt8>) -> Part? {
    Data(base64URL: part).flatMap { try? JSONDecoder().decode(Part.self, from: $0) }
  }

  /// - Parameter part: Claims that are signed.
  func verdict(onSigned part: ArraySlice<UInt8>, at now: Int64) -> Verdict {
    guard let claims = Self.decoded(Claims.self, part) else {
      return .wrong("the JWT does not have the usual claims")
    }
    guard claims.iss == terms.issuer else {
      return .wrong("the JWT is of another issuer than \(terms.issuer)")
    }
    guard claims.aud?.names.contains(terms.audience) == true else {
      return .wrong("the JWT is for another audience than \"\(terms.audience)\"")
    }
    guard let exp = claims.exp, let until = Int64(exactly: exp.rounded(.up)) else {
      return .wrong("the JWT does not say until when it is valid")
    }
    if until <= now { return .wrong("the JWT is not valid any more") }
    if let nbf = claims.nbf, nbf > Double(now + Self.leewaySeconds) {
      return .wrong("the JWT is not valid yet")
    }
    guard let identity = claims.sub.flatMap({ $0.isEmpty ? nil : Identity("jwt:\($0)") }) else {
      return .wrong("the JWT has no subject that is a name")
    }
    return .known(identity, until: until)
  }

  private struct Header: Decodable {
    private enum Name: String, CodingKey { case alg, kid, crit }

    let alg: String
    let kid: String?
    /// Whether it is not to be understood without more than is known here (RFC 7515, section 4.1.11).
    let isCritical: Bool

    init(from decoder: any Decoder) throws {
      let members = try decoder.container(keyedBy: Name.self)
      alg = try members.decode(String.self, forKey: .alg)
      kid = try members.decodeIfPresent(String.self, forKey: .kid)
      isCritical = members.contains(.crit)
    }
  }

  private struct Claims: Decodable {
    let iss: String?
    let sub: String?
    let aud: Audience?
    /// In seconds since 1970.
    let exp: Double?
    let nbf: Double?
  }

  /// One name or a list of them.
  private struct Audience: Decodable {
    let names: [String]

    init(from decoder: any Decoder) throws {
      let value = try decoder.singleValueContainer()
      names = try (try? [value.decode(String.self)]) ?? value.decode([String].self)
    }
  }
}

extension Data {
  /// Nil where `text` is no base64url without padding (RFC 7515, section 2).
  fileprivate init?(base64URL text: ArraySlice<UInt8>) {
    var text = text.map { byte in
      switch byte {
      case UInt8(ascii: "-"): UInt8(ascii: "+")
      case UInt8(ascii: "_"): UInt8(ascii: "/")
      // None of these is of this alphabet.
      case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="): UInt8(0)
      default: byte
      }
    }
    text += Array(repeating: UInt8(ascii: "="), count: (4 - text.count % 4) % 4)
    self.init(base64Encoded: Data(text))
  }
}
