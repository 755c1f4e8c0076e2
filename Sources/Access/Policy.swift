import Crypto
package import LockCore

/// Who may do what: what no rule allows is not allowed.
///
/// A file of lines, each of which is empty, a comment that begins with "#", or a rule of three words (two for what is
/// not bound to keys):
///
/// ```
/// # who                                rights           keys
/// spiffe://example.org/ns/*/scheduler  read,hold        jobs/*
/// token:deployer                       read,hold,break  migrations/*
/// user:root                            operate
/// anybody                              read             public/motd
/// ```
///
/// A line that begins with "limit" says how much each of those may use whom it names:
///
/// ```
/// limit token:ci/*  held=100,waiting=20,requests=50
/// ```
///
/// A key ends with "*" where all are meant that begin so; "*" alone is every key. Between quotation marks, JSON's
/// escapes may be used, and a "*" behind them.
package struct Policy: Sendable, Equatable {
  package struct Rule: Sendable, Equatable {
    package let who: IdentityPattern
    package let rights: Set<Right>
    /// Nil where only rights are given that are not bound to keys.
    package let keys: KeyPattern?
    /// Where it stands.
    package let line: Int
    /// As it stands there.
    package let text: String
  }

  package enum KeyPattern: Sendable, Hashable {
    case prefix(String)
    case name(String)

    func matches(_ key: String) -> Bool {
      switch self {
      case .prefix(let prefix): key.utf8.starts(with: prefix.utf8)
      case .name(let name): name.isSameName(as: key)
      }
    }
  }

  /// How much somebody may use.
  package struct Limit: Sendable, Equatable {
    package let who: IdentityPattern
    package let limits: Limits
    /// Where it stands.
    package let line: Int
    /// As it stands there.
    package let text: String
  }

  package let rules: [Rule]
  package let limits: [Limit]
  /// Tells it from others, as text: the same where every line is.
  package let digest: String

  package init(rules: [Rule], limits: [Limit] = []) {
    self.rules = rules
    self.limits = limits
    var hash = SHA256()
    let lines = rules.map { ($0.line, $0.text) } + limits.map { ($0.line, $0.text) }
    for (_, text) in lines.sorted(by: { $0.0 < $1.0 }) {
      hash.update(data: Array("\(text)\n".utf8))
    }
    digest = hash.finalize().prefix(Self.digestBytes).hex
  }

  private static let digestBytes = 16

  /// What `identity` may do.
  package func permissions(of identity: Identity?) -> Permissions {
    permissions(by: lines(about: identity))
  }

  /// Where the rules and limits stand that are about an identity.
  struct Lines: Hashable {
    var rules: [Int] = []
    var limits: [Int] = []
  }

  func lines(about identity: Identity?) -> Lines {
    let name = identity.map { Array($0.name.utf8) }
    return Lines(
      rules: rules.indices.filter { rules[$0].who.matches(name) },
      limits: limits.indices.filter { limits[$0].who.matches(name) })
  }

  /// What those may do whom these lines are about.
  func permissions(by lines: Lines) -> Permissions {
    let own = lines.rules.map { rules[$0] }
    func keys(_ right: Right) -> KeySet {
      var (prefixes, names): ([String], [String]) = ([], [])
      for rule in own where rule.rights.contains(right) {
        switch rule.keys {
        case .prefix(let prefix): prefixes.append(prefix)
        case .name(let name): names.append(name)
        case nil: break
        }
      }
      return KeySet(prefixes: prefixes, names: names)
    }
    return Permissions(
      read: keys(.read), hold: keys(.hold), break: keys(.break),
      mayOperate: own.contains { $0.rights.contains(.operate) },
      // Of each kind the first that is said.
      limits: lines.limits.reduce(into: Limits()) { all, line in
        for kind in Limits.Name.allCases { all[kind] = all[kind] ?? limits[line].limits[kind] }
      })
  }

  /// The limits that are said of `identity`, those first that come first.
  package func limitLines(of identity: Identity?) -> [Limit] {
    limits.filter { $0.who.matches(identity) }
  }

  /// The first rule that gives `right` on `key` to `identity`.
  package func rule(giving right: Right, on key: String, to identity: Identity?) -> Rule? {
    rules.first {
      $0.rights.contains(right) && $0.who.matches(identity)
        && (right == .operate || $0.keys?.matches(key) ?? false)
    }
  }
}

/// What identities may do, made once for all whom the same lines of a policy are about: a name more takes no more memory.
package struct SharedPermissions {
  /// Lines that all that is kept was made of.
  package static let linesMax = 100_000

  private let policy: Policy
  private var made: [Policy.Lines: Permissions] = [:]
  private var lineCount = 0

  package init(of policy: Policy) { self.policy = policy }

  /// Whether it is time to forget what was made.
  package var isFull: Bool { lineCount >= Self.linesMax }

  package mutating func forget() { (made, lineCount) = ([:], 0) }

  package mutating func permissions(of identity: Identity?) -> Permissions {
    let lines = policy.lines(about: identity)
    if let known = made[lines] { return known }
    let new = policy.permissions(by: lines)
    made[lines] = new
    lineCount += lines.rules.count + lines.limits.count + 1
    return new
  }
}

/// What identities may do. A class, as every request has its hands on it.
package final class Permissions: Sendable {
  package let read: KeySet
  package let hold: KeySet
  package let `break`: KeySet
  package let mayOperate: Bool
  package let limits: Limits

  init(read: KeySet, hold: KeySet, break: KeySet, mayOperate: Bool, limits: Limits) {
    (self.read, self.hold, self.break) = (read, hold, `break`)
    (self.mayOperate, self.limits) = (mayOperate, limits)
  }

  package func may(_ right: Right, on key: String) -> Bool {
    switch right {
    case .read: read.contains(key)
    case .hold: hold.contains(key)
    case .break: self.break.contains(key)
    case .operate: mayOperate
    }
  }
}
