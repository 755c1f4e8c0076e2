/// What a resource is for.
public enum ResourceKind: String, Sendable, CaseIterable {
  /// Programs contend for it; its holder is the one that may act.
  case lock
  /// A program announces that it lives.
  case presence
}

/// A key that an owner holds under a lease.
public struct Resource: Sendable, Equatable {
  /// What is held: 1 to 512 bytes of UTF-8 without NUL.
  public var key: String
  /// What it is for.
  public var kind: ResourceKind
  /// Who holds it: 1 to 512 bytes of UTF-8 without NUL.
  public var owner: String
  /// What the owner wants to be known: at most 65,536 bytes of UTF-8 without NUL.
  public var value: String

  /// The fencing token of the grant. Nil from servers that speak wire v1 only.
  public var token: Int64?
  /// How often the key's record was written. Nil from servers that speak wire v1 only.
  public var revision: Int64?
  /// The length of the lease. Nil from servers that speak wire v1 only.
  public var lease: Duration?

  /// Describes a resource; checks nothing.
  public init(key: String, kind: ResourceKind, owner: String, value: String) {
    self.key = key
    self.kind = kind
    self.owner = owner
    self.value = value
  }
}
