import Access
import Files
import HTTP
import Logging
import WireSchema

/// Tells who asks and what they may. Belongs to one event loop.
final class Doorkeeper {
  /// What is kept for identities that were here before; more are looked up anew.
  private static let keptMax = 4_096

  private let control: AccessControl?
  private let now: () -> Int64
  /// Of the rules of that number.
  private var kept: [Identity?: Permissions] = [:]
  private var number = 0

  /// - Parameters:
  ///   - control: Nil where everybody may do everything.
  ///   - now: The time in seconds since 1970.
  init(_ control: AccessControl?, now: @escaping () -> Int64) {
    self.control = control
    self.now = now
  }

  /// Looks at what a request shows; where it shows nothing, at what its connection has shown.
  ///
  /// - Throws: `unauthenticated` where something was shown that proves nothing: it is not taken for nothing.
  func asker(of head: HeaderBlock, on connection: Connection) throws(RPCError) -> Asker {
    guard let control else { return Asker(identity: connection.proof.identity, permissions: nil) }
    let rules = control.current
    let identity = try identity(of: head, on: connection, rules.tokens)
    guard let policy = rules.policy else { return Asker(identity: identity, permissions: nil) }
    return Asker(identity: identity, permissions: permissions(of: identity, policy, rules.number))
  }

  private func identity(
    of head: HeaderBlock, on connection: Connection, _ tokens: Tokens?
  ) throws(RPCError) -> Identity? {
    let shown = head.withValue(of: "authorization") { $0.map { Array($0) } }
    guard let shown else {
      guard case .nameless(let why) = connection.proof else { return connection.proof.identity }
      throw RPCError(.unauthenticated, why)
    }
    guard let token = Self.bearer(shown) else {
      throw RPCError(
        .unauthenticated, "what stands in authorization is not \"Bearer \" and a token")
    }
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

  private func permissions(
    of identity: Identity?, _ policy: Policy, _ number: Int
  ) -> Permissions {
    if number != self.number || kept.count >= Self.keptMax { kept = [:] }
    self.number = number
    if let known = kept[identity] { return known }
    let permissions = policy.permissions(of: identity)
    kept[identity] = permissions
    return permissions
  }
}

extension Reload {
  /// Of the policy and the tokens.
  convenience init(ofRules control: AccessControl, logger: Logger) {
    self.init("policy", logger: logger) {
      let rules = control.current
      return [
        "rules": "\(rules.policy?.rules.count ?? 0)", "tokens": "\(rules.tokens?.count ?? 0)",
      ]
    } refresh: { () throws(FileError) in
      try control.refresh()
    }
  }
}
