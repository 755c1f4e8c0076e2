@testable import Access
import FoundationEssentials
import NIOSSL
import TLS

/// Files that say who may do what, and what peers show of who they are. The first byte says which.
func fuzzProofs(_ input: UnsafeRawBufferPointer) {
  guard let first = input.first else { return }
  let rest = Array(input.dropFirst())
  switch first % 6 {
  case 0:
    guard let policy = try? Policy(reading: rest) else { return }
    let identity = Identity("token:ci/7")
    let permissions = policy.permissions(of: identity)
    for right in Right.allCases {
      let rule = policy.rule(giving: right, on: "jobs/a", to: identity)
      precondition(
        permissions.may(right, on: "jobs/a") == (rule != nil),
        "what is allowed is what a rule says that it is")
    }
  case 1: _ = (try? Tokens(reading: rest))?.verdict(on: rest, at: 0)
  case 2: _ = try? JSONWebKeys(reading: rest)
  case 3:
    let parts = rest.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
    let token = parts.map { Array(Data($0).base64EncodedString().utf8) }.joined(separator: [0x2E])
    guard case .wrong = jwts.verdict(on: Array(token), at: 0) else {
      preconditionFailure("what nobody signed is taken")
    }
  case 4: _ = jwts.verdict(onSigned: Array(Data(rest).base64EncodedString().utf8)[...], at: 0)
  default:
    guard let certificate = try? NIOSSLCertificate(bytes: rest, format: .der) else { return }
    let names = PeerNames(of: certificate)
    for name in names.uris + names.dnsNames + [names.commonName ?? ""] { _ = Identity(name) }
  }
}

private let jwts: JWTs = {
  let set = """
    {"keys":[{"kty":"EC","crv":"P-256","kid":"k1",
    "x":"_Sz3XJNp36LZS-q3cRf-TufalG36biV1cuksw_8x8eM","y":"vXZpeYazjEyvfGfGQIUpzB264EyNg1Sc0mGBeE4gl0g"}]}
    """
  guard let keys = try? JSONWebKeys(reading: Array(set.utf8)) else {
    preconditionFailure("the key cannot be read")
  }
  return JWTs(keys, JWTs.Terms(issuer: "i", audience: "a"))
}()
