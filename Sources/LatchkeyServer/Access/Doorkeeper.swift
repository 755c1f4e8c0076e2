import Access
import Files
import Glibc
import HTTP
import Logging
import WireSchema

/// Tells who asks and what they may. Belongs to one event loop.
final class Doorkeeper {
  /// What is kept for identities that were here before; more are looked up anew.
  private static let keptMax = 4_096

  private let control: AccessControl?
  private let quotas: Quotas
  private let now: () -> Int64
  /// Of which rules what follows is.
  private var number = 0
  private var kept: [Identity?: Asker] = [:]
  private var verified = VerifiedJWTs()

  /// - Parameters:
  ///   - control: Nil where everybody may do everything.
  ///   - quotas: Those of all event loops.
  ///   - now: The time in seconds since 1970.
  init(_ control: AccessControl?, quotas: Quotas, now: @escaping () -> Int64) {
    self.control = control
    self.quotas = quotas
    self.now = now
  }

  struct Unverified: Sendable {
    fileprivate let jwt: [UInt8]
    fileprivate let jwts: JWTs
    /// Of the rules that are to verify it.
    fileprivate let number: Int

    var bytes: Int { jwt.count }

    /// On any thread that is not an event loop's.
    func verify() -> JWTs.Verdict { jwts.verdict(on: jwt, at: Int64(time(nil))) }
  }

  /// What a request shows of who asks.
  enum Finding {
    case asker(Asker)
    /// A JWT that was not here before, to be verified on another thread.
    case unverified(Unverified)
  }

  /// Looks at what a request shows; where it shows nothing, at what its connection has shown.
  ///
  /// - Throws: `unauthenticated` where something was shown that proves nothing: it is not taken for nothing.
  func look(at head: HeaderBlock, on connection: Connection) throws(RPCError) -> Finding {
    guard let control else {
      return .asker(Asker(identity: connection.proof.identity, permissions: nil))
    }
    let rules = control.current
    if rules.number != number { (number, kept, verified) = (rules.number, [:], VerifiedJWTs()) }
    let shown = head.withValue(of: "authorization") { $0.map { Array($0) } }
    guard let shown else {
      guard case .nameless(let why) = connection.proof else {
        return .asker(asker(connection.proof.identity, rules))
      }
      throw RPCError(.unauthenticated, why)
    }
    guard let token = Self.bearer(shown) else {
      throw RPCError(
        .unauthenticated, "what stands in authorization is not \"Bearer \" and a token")
    }
    if let jwts = rules.jwts, JWTs.mayBe(token) {
      let jwt = Array(token)
      guard let identity = verified.identity(of: jwt, at: now()) else {
        return .unverified(Unverified(jwt: jwt, jwts: jwts, number: number))
      }
      return .asker(asker(identity, rules))
    }
    return .asker(asker(try identity(by: token, rules.tokens), rules))
  }

  /// Who it is, by what came of verifying it.
  func asker(
    of unverified: Unverified, _ verdict: JWTs.Verdict
  ) throws(RPCError) -> Asker {
    switch verdict {
    case .known(let identity, let until):
      // Other keys may count by now.
      if unverified.number == number {
        verified.note(unverified.jwt, of: identity, until: until)
      }
      return asker(identity, control?.current)
    case .wrong(let why): throw RPCError(.unauthenticated, why)
    }
  }

  private func asker(_ identity: Identity?, _ rules: AccessControl.Current?) -> Asker {
    guard let policy = rules?.policy else { return Asker(identity: identity, permissions: nil) }
    if let known = kept[identity] { return known }
    if kept.count >= Self.keptMax { kept = [:] }
    var asker = Asker(identity: identity, permissions: policy.permissions(of: identity))
    if asker.permissions?.limits != Limits() { asker.quota = quotas.quota(of: identity) }
    kept[identity] = asker
    return asker
  }

  private func identity(
    by token: ArraySlice<UInt8>, _ tokens: Tokens?
  ) throws(RPCError) -> Identity {
    switch tokens?.verdict(on: token, at: now()) {
    case .known(let identity): return identity
    case .expired: throw RPCError(.unauthenticated, "the token is not valid any more")
    case .unknown: throw RPCError(.unauthenticated, "the token is not known here")
    case nil: throw RPCError(.unauthenticated, "no tokens are known here")
    }
  }

  /// The token behind "Bearer" (RFC 6750, section 2.1), whose letters may be of either case.
  private static func bearer(_ value: [UInt8]) -> ArraySlice<UInt8>? {
    let scheme = Array("bearer ".utf8)
    guard value.count > scheme.count,
      zip(value, scheme).allSatisfy({ $0 | 0x20 == $1 || $0 == $1 })
    else { return nil }
    return value[scheme.count...].drop { $0 == UInt8(ascii: " ") }
  }
}

extension Reload {
  /// Of the policy, the tokens, and the keys of JWTs.
  convenience init(ofRules control: AccessControl, logger: Logger, audit: AuditLog?) {
    self.init("policy", logger: logger, audit: audit) {
      let rules = control.current
      return [
        "rules": "\(rules.policy?.rules.count ?? 0)", "tokens": "\(rules.tokens?.count ?? 0)",
        "jwt_keys": "\(rules.jwts?.count ?? 0)",
      ]
    } refresh: { () throws(FileError) in
      try control.refresh()
    }
  }
}
