public struct LockGrant: Sendable {
  public let key: String
  public let owner: String
  public let lease: Duration
  /// Until the holder-first deadline; zero once it is lost.
  public var remaining: Duration { fatalError() }
  public var isLost: Bool { fatalError() }
  /// Returns when the lease is lost or the calling task is cancelled.
  public func untilLost() async { fatalError() }
}
