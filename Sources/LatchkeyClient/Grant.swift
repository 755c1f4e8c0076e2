/// What a holder has in its hands.
public struct Grant: Sendable, Equatable {
  /// What is held.
  public var key: String
  /// By whom.
  public var owner: String
  /// The fencing token, greater than that of every earlier grant of the key: to be shown to whatever
  /// the lock protects. A renewal keeps it. Nil from servers that speak wire v1 only.
  public var token: Int64?
  /// How often the key's record was written. Nil from servers that speak wire v1 only.
  public var revision: Int64?
  /// The lease as granted: at least as long as was asked for.
  public var lease: Duration
  /// Whether the owner held it already.
  public var isRenewal: Bool
}

/// A new lease for a grant, one of several.
public struct Renewal: Sendable, Equatable {
  /// What is held.
  public var key: String
  /// The token of the grant.
  public var token: Int64
  /// The length of the new lease; nil leaves it as it was.
  public var lease: Duration?
  /// Replaces the value; nil leaves it as it was.
  public var value: String?
  /// Labels to be stuck on it; one with an empty text is taken off. Others stay.
  public var labels: [String: String]
  /// When the holder was granted the resource, since 1970-01-01T00:00:00Z; nil leaves it as it was.
  public var grantedAt: Duration?

  /// Describes a renewal; checks nothing.
  public init(
    key: String, token: Int64, lease: Duration? = nil, value: String? = nil,
    labels: [String: String] = [:], grantedAt: Duration? = nil
  ) {
    self.key = key
    self.token = token
    self.lease = lease
    self.value = value
    self.labels = labels
    self.grantedAt = grantedAt
  }
}

/// A part of a list.
public struct ResourcePage: Sendable, Equatable {
  /// In the order of their keys (by byte).
  public var resources: [Resource]
  /// Whether there are more after the last one.
  public var hasMore: Bool
}
