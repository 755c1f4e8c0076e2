import LockCore

/// What a holder consists of beside its kind and owner, which all shapes keep in the same columns.
package enum HolderPart: CaseIterable, Sendable {
  case content, lease, labels, grantedAt, identity

  /// Whether it is the same in two holders.
  func isSame(_ a: Holder, _ b: Holder) -> Bool {
    switch self {
    case .content: a.content == b.content
    case .lease: a.lease == b.lease
    case .labels: a.labels.isSame(as: b.labels)
    case .grantedAt: a.grantedAt == b.grantedAt
    case .identity: a.identity.isSameText(as: b.identity)
    }
  }

  func copy(from source: Holder, to target: inout Holder) {
    switch self {
    case .content: target.content = source.content
    case .lease: target.lease = source.lease
    case .labels: target.labels = source.labels
    case .grantedAt: target.grantedAt = source.grantedAt
    case .identity: target.identity = source.identity
    }
  }
}
