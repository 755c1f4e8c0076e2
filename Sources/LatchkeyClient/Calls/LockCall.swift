/// What can be asked of the lock service, in the terms of the newest wire version.
package enum LockCall: Sendable, Equatable {
  /// Claims the resource, or renews the lease of its owner. Whole seconds.
  case claim(Resource, leaseSeconds: Int64)
  case release(key: String, owner: String)
  case fetch(key: String)
  case fetchAll(ResourceKind)
}

/// What comes back.
package enum LockAnswer: Sendable, Equatable {
  case done
  case resources([Resource])
}
