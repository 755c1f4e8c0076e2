import Access
import CryptoExtras
import FoundationEssentials
import JWTKit
import TestKit
import Testing

/// JWTs that are signed by the library that verifies them, and those that nobody should take.
@Suite struct JWTTests {
  private static let now: Int64 = 1_800_000_000
  private static let terms = JWTs.Terms(issuer: "https://issuer.example", audience: "latchkey")

  private let folder: StoreFolder
  private let key = ES256PrivateKey()

  init() throws { folder = try StoreFolder() }

  private func jwts(_ set: String) throws -> JWTs {
    try folder.write(set, to: "keys")
    let control = try AccessControl(
      AccessControl.Sources(jwtKeys: folder.path("keys"), jwtTerms: Self.terms))
    return try #require(control.current.jwts)
  }

  private func member(id: String? = "k1", algorithm: String? = "ES256") throws -> String {
    let point = try #require(key.parameters)
    return Self.json([
      "kty": "EC", "crv": "P-256", "x": Self.url(point.x), "y": Self.url(point.y), "use": "sig",
      "kid": id, "alg": algorithm,
    ])
  }

  private static func url(_ base64: String) -> String {
    base64.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }

  private static func json(_ members: KeyValuePairs<String, String?>) -> String {
    "{\(members.compactMap { name, value in value.map { "\"\(name)\":\"\($0)\"" } }.joined(separator: ","))}"
  }

  /// What is signed: whatever claims a test wants.
  private struct Claims: JWTPayload {
    var members: [String: JWTHeaderField]
    func verify(using _: some JWTAlgorithm) {}
    init(_ members: [String: JWTHeaderField]) { self.members = members }
    init(from decoder: any Decoder) throws {
      members = try decoder.singleValueContainer().decode([String: JWTHeaderField].self)
    }
    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      try container.encode(members)
    }
  }

  private static let usual: [String: JWTHeaderField] = [
    "iss": "https://issuer.example", "sub": "system:serviceaccount:prod:cron",
    "aud": "latchkey", "exp": .int(Int(now) + 600), "iat": .int(Int(now)),
  ]

  private func signed(
    _ changes: [String: JWTHeaderField?] = [:], id: String? = "k1", header: JWTHeader = JWTHeader()
  ) async throws -> [UInt8] {
    var claims = Self.usual
    for (name, value) in changes { claims[name] = value }
    let kid = id.map { JWKIdentifier(string: $0) }
    let keys = await JWTKeyCollection().add(ecdsa: key, kid: kid)
    return Array(try await keys.sign(Claims(claims), kid: kid, header: header).utf8)
  }

  private func isWrong(_ verdict: JWTs.Verdict, _ part: String = "") -> Bool {
    if case .wrong(let why) = verdict { part.isEmpty || why.contains(part) } else { false }
  }

  @Test func aSubjectIsKnownUntilItsJWTEnds() async throws {
    let jwts = try jwts(#"{"keys":[\#(member())]}"#)
    let identity = try #require(Identity("jwt:system:serviceaccount:prod:cron"))
    let token = try await signed()
    #expect(jwts.verdict(on: token, at: Self.now) == .known(identity, until: Self.now + 600))
    #expect(jwts.verdict(on: token, at: Self.now + 599) == .known(identity, until: Self.now + 600))
    #expect(isWrong(jwts.verdict(on: token, at: Self.now + 600), "any more"))
    let list = try await signed(["aud": .array(["other", "latchkey"])])
    #expect(jwts.verdict(on: list, at: Self.now) == .known(identity, until: Self.now + 600))
  }

  @Test func whatIsSaidIsLookedAt() async throws {
    let jwts = try jwts(#"{"keys":[\#(member())]}"#)
    for (changes, why) in [
      (["iss": "https://issuer.example/"], "another issuer"), (["iss": nil], "another issuer"),
      (["aud": "latchkey2"], "another audience"), (["aud": .array([])], "another audience"),
      (["aud": nil], "another audience"), (["aud": .array(["a"])], "another audience"),
      (["exp": nil], "until when"), (["exp": .decimal(1e300)], "until when"),
      (["nbf": .int(Int(Self.now) + 61)], "not valid yet"), (["sub": nil], "no subject"),
      (["sub": ""], "no subject"), (["sub": "two words"], "no subject"),
      (["sub": "a\u{202E}b"], "no subject"),
      (["sub": .int(7)], "usual claims"), (["nbf": .decimal(1e300)], "not valid yet"),
      (["exp": "soon"], "usual claims"),
      (["aud": .object([:])], "usual claims"),
    ] as [([String: JWTHeaderField?], String)] {
      let verdict = jwts.verdict(on: try await signed(changes), at: Self.now)
      #expect(isWrong(verdict, why), "\(changes): \(verdict)")
    }
    // Clocks are never quite the same.
    let early = try await signed(["nbf": .int(Int(Self.now) + 60)])
    #expect(!isWrong(jwts.verdict(on: early, at: Self.now)))
  }

  @Test func onlyWhatAKeySignedIsTaken() async throws {
    let jwts = try jwts(#"{"keys":[\#(member()),\#(member(id: nil, algorithm: nil))]}"#)
    let token = try await signed()
    #expect(!isWrong(jwts.verdict(on: token, at: Self.now)))
    // Any change of any part, but for bits of the last character that say nothing.
    for index in token.indices.dropLast() where token[index] != UInt8(ascii: ".") {
      var other = token
      other[index] = other[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
      #expect(isWrong(jwts.verdict(on: other, at: Self.now)), "\(index)")
    }
    let parts = token.split(separator: UInt8(ascii: "."))
    for header in [
      #"{"alg":"none"}"#, #"{"alg":"none","kid":"k1"}"#, #"{"alg":"HS256","kid":"k1"}"#,
      #"{"alg":"ES384","kid":"k1"}"#, #"{"alg":"es256","kid":"k1"}"#, #"{"kid":"k1"}"#, "{}", "[]",
      #"{"alg":["ES256"]}"#, #"{"alg":"ES256","kid":"k2","n":1e300}"#, #"{"alg":1e300}"#,
      #"{"alg":"ES256","kid":7}"#,
    ] {
      let head = Self.url(Data(header.utf8).base64EncodedString())
      for signature in [parts[2], []] {
        let forged = Array(head.utf8) + [0x2E] + parts[1] + [0x2E] + signature
        #expect(isWrong(jwts.verdict(on: forged, at: Self.now)), "\(header)")
      }
    }
    // Who asks for what is not known here is not answered without it.
    let critical = try await signed(header: ["crit": .array(["exp"]), "exp": .int(1)])
    #expect(isWrong(jwts.verdict(on: critical, at: Self.now), "not known here"))
    for rubbish in ["..", "a.b.c", "e30.e30.", "....", String(repeating: "a.", count: 9_000)] {
      #expect(isWrong(jwts.verdict(on: Array(rubbish.utf8), at: Self.now)))
    }
    let stranger = ES256PrivateKey()
    let keys = await JWTKeyCollection().add(ecdsa: stranger, kid: "k1")
    let forged = Array(try await keys.sign(Claims(Self.usual)).utf8)
    #expect(isWrong(jwts.verdict(on: forged, at: Self.now), "no key that is known"))
  }

  /// What says nothing of its key, or names one that has none, is tried with all that it may be.
  @Test func keysAreFoundByTheirNames() async throws {
    let named = try jwts(#"{"keys":[\#(member())]}"#)
    #expect(isWrong(named.verdict(on: try await signed(id: "k2"), at: Self.now), "no key"))
    #expect(!isWrong(named.verdict(on: try await signed(id: nil), at: Self.now)))
    let nameless = try jwts(#"{"keys":[\#(member(id: nil))]}"#)
    for id in ["k2", nil] {
      #expect(!isWrong(nameless.verdict(on: try await signed(id: id), at: Self.now)))
    }
  }

  @Test func keysOfAllUsualKindsVerify() async throws {
    let rsa = try Insecure.RSA.PrivateKey(backing: .init(keySize: .bits2048))
    let primitives = try rsa.publicKey.getKeyPrimitives()
    let edwards = try EdDSA.PrivateKey()
    let set = [
      Self.json([
        "kty": "RSA", "kid": "r", "n": Self.url(primitives.modulus.base64EncodedString()),
        "e": Self.url(primitives.publicExponent.base64EncodedString()),
      ]),
      Self.json([
        "kty": "OKP", "crv": "Ed25519", "kid": "e",
        "x": Self.url(edwards.publicKey.rawRepresentation.base64EncodedString()),
      ]),
    ]
    let jwts = try jwts(#"{"keys":[\#(set.joined(separator: ","))]}"#)
    for keys in [
      await JWTKeyCollection().add(rsa: rsa, digestAlgorithm: .sha256, kid: "r"),
      await JWTKeyCollection().add(rsa: rsa, digestAlgorithm: .sha512, kid: "r"),
      await JWTKeyCollection().add(pss: rsa, digestAlgorithm: .sha384, kid: "r"),
      await JWTKeyCollection().add(eddsa: edwards, kid: "e"),
    ] {
      let token = Array(try await keys.sign(Claims(Self.usual)).utf8)
      #expect(!isWrong(jwts.verdict(on: token, at: Self.now)))
    }
  }

  @Test func whatIsNoSetOfPublicKeysIsRefused() throws {
    for (set, why) in [
      ("", "no JWK set"), ("{}", "no JWK set"), (#"{"keys":{}}"#, "no JWK set"),
      (#"{"keys":[]}"#, "no key that can be used"),
      (#"{"keys":[{"kty":"new"},{}]}"#, "no key that can be used"),
      (#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#, "private"),
      (#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","alg":"ES256"}]}"#, "no key that"),
      (#"{"keys":[{"kty":1e300,"alg":1e300,"x":[1e300]}]}"#, "no key that can be used"),
      (#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#, "no key that can be used"),
      ("{\"keys\":[\(Array(repeating: "{}", count: 65).joined(separator: ","))]}", "more than 64"),
      (String(repeating: "[", count: 100_000), "no JWK set"),
    ] {
      do {
        _ = try jwts(set)
        Issue.record("\(set.prefix(80)) is taken")
      } catch {
        #expect("\(error)".contains(why), "\(set.prefix(80)): \(error)")
        #expect("\(error)".hasPrefix(folder.path("keys")))
      }
    }
    // What is not known beside what is.
    let set = try #"{"keys":[{"kty":"new"},\#(member()),{"kty":"RSA","use":"enc"}],"more":1}"#
    #expect(try jwts(set).count == 1)
  }
}
