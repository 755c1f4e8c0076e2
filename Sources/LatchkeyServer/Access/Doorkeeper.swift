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
  /// Of which what follows is.
  private var rules: AccessControl.Current?
  private var kept: [Identity?: Asker] = [:]
  /// What these have; nil where nobody's rights are looked at.
  private var shared: SharedPermissions?
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
    /// Of the keys that are to verify it.
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
    guard let rules = current else {
      // Without rules who has a nameless certificate is nobody; one that has ended lets nobody in.
      if case .nameless = connection.proof { return .asker(Asker(identity: nil, permissions: nil)) }
      return .asker(
        Asker(identity: try connection.proof.identity(at: now), permissions: nil))
    }
    let (shown, isAlone) = Self.authorization(of: head)
    guard isAlone else {
      throw RPCError(.unauthenticated, "there is more than one field authorization")
    }
    guard let shown else {
      return .asker(asker(try connection.proof.identity(at: now), .connection))
    }
    guard let token = Self.bearer(shown) else {
      throw RPCError(
        .unauthenticated, "what stands in authorization is not \"Bearer \" and a token")
    }
    if let jwts = rules.jwts, JWTs.mayBe(token) {
      let jwt = Array(token)
      guard let entry = verified.entry(of: jwt, at: now()) else {
        return .unverified(Unverified(jwt: jwt, jwts: jwts, number: rules.jwtsNumber))
      }
      return .asker(
        asker(entry.identity, .jwt(entry.token, until: entry.until, number: rules.jwtsNumber)))
    }
    let digest = Tokens.Digest(of: token)
    let identity = try identity(by: digest, rules.tokens)
    return .asker(asker(identity, digest.map { .token($0) } ?? .connection))
  }

  /// Who it is, by what came of verifying it.
  func asker(
    of unverified: Unverified, _ verdict: JWTs.Verdict
  ) throws(RPCError) -> Asker {
    switch verdict {
    case .known(let identity, let until):
      // Other keys may count by now.
      if unverified.number == current?.jwtsNumber {
        verified.note(unverified.jwt, of: identity, until: until)
      }
      return asker(identity, .jwt(unverified.jwt, until: until, number: unverified.number))
    case .wrong(let why): throw RPCError(.unauthenticated, why)
    }
  }

  /// Looks once more at who has waited: what it has shown may prove nothing any more, and it may be allowed less.
  ///
  /// - Throws: Where it may not hold `key` any more.
  func lookAgain(
    at asker: Asker, on connection: Connection, hold key: String
  ) throws(RPCError) {
    guard let rules = current else { return }
    let identity: Identity?
    switch asker.evidence {
    case .connection: identity = try connection.proof.identity(at: now)
    case .token(let digest): identity = try self.identity(by: digest, rules.tokens)
    case .jwt(let jwt, let until, let number):
      if until <= now() { throw RPCError(.unauthenticated, "the JWT is not valid any more") }
      identity =
        number == rules.jwtsNumber ? asker.identity : try self.identity(by: jwt, rules.jwts)
    }
    guard identity == asker.identity else {
      throw RPCError(.unauthenticated, "what was shown is of another name by now")
    }
    let present = self.asker(asker.identity, asker.evidence)
    guard present.may(.hold, on: key) else { throw RPCError(present.denied(.hold, on: key)) }
  }

  /// Rare: only where keys were replaced while somebody waited. Then each JWT is verified once, here on the event loop.
  private func identity(by jwt: [UInt8], _ jwts: JWTs?) throws(RPCError) -> Identity {
    if let entry = verified.entry(of: jwt, at: now()) { return entry.identity }
    switch jwts?.verdict(on: jwt, at: now()) {
    case .known(let identity, let until):
      verified.note(jwt, of: identity, until: until)
      return identity
    case .wrong(let why): throw RPCError(.unauthenticated, why)
    case nil: throw RPCError(.unauthenticated, "no JWTs are known here")
    }
  }

  /// The rules as they are now; nil where there are none. What is kept of others is forgotten.
  private var current: AccessControl.Current? {
    guard let control else { return nil }
    if let rules, control.number == rules.number { return rules }
    let new = control.current
    if rules?.jwtsNumber != new.jwtsNumber { verified = VerifiedJWTs() }
    (rules, kept) = (new, [:])
    shared = new.policy.map { SharedPermissions(of: $0) }
    return new
  }

  private func asker(_ identity: Identity?, _ evidence: Asker.Evidence) -> Asker {
    if var known = kept[identity] {
      known.evidence = evidence
      return known
    }
    if shared?.isFull ?? false {
      kept = [:]
      shared?.forget()
    }
    guard let permissions = shared?.permissions(of: identity) else {
      return Asker(identity: identity, permissions: nil, evidence: evidence)
    }
    // Whichever comes first goes.
    if kept.count >= Self.keptMax { kept.remove(at: kept.startIndex) }
    var asker = Asker(identity: identity, permissions: permissions)
    if permissions.limits != Limits() { asker.quota = quotas.quota(of: identity) }
    kept[identity] = asker
    asker.evidence = evidence
    return asker
  }

  private func identity(
    by digest: Tokens.Digest?, _ tokens: Tokens?
  ) throws(RPCError) -> Identity {
    switch tokens?.verdict(on: digest, at: now()) {
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
    func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
    var token = value[scheme.count...].drop(while: isBlank)
    while let last = token.last, isBlank(last) { token.removeLast() }
    return token
  }

  /// The first field of that name, and whether there is no other: whoever stands between may have judged the other.
  private static func authorization(of head: HeaderBlock) -> (value: [UInt8]?, isAlone: Bool) {
    head.withFields { fields in
      var value: [UInt8]?
      for field in fields where field.name.equals("authorization") {
        if value != nil { return (value, false) }
        value = Array(field.value)
      }
      return (value, true)
    }
  }
}

extension Reload {
  /// Of the policy, the tokens, or the keys of JWTs.
  convenience init(
    of part: AccessControl.Part, _ control: AccessControl, logger: Logger, events: EventAccount
  ) {
    self.init(part.rawValue, logger: logger, events: events) {
      let rules = control.current
      return switch part {
      case .policy:
        [
          "rules": "\(rules.policy?.rules.count ?? 0)",
          "limits": "\(rules.policy?.limits.count ?? 0)",
        ]
      case .tokens: ["tokens": "\(rules.tokens?.count ?? 0)"]
      case .jwtKeys: ["keys": "\(rules.jwts?.count ?? 0)"]
      }
    } refresh: { () throws(FileError) in
      try control.refresh(part)
    }
  }
}
