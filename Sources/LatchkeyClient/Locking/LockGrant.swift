/// A lock or presence in the hands of a body that
/// ``LatchkeyClient/withLock(_:owner:value:attributes:labels:lease:wait:isolation:_:)`` runs.
///
/// It says what this process knows. A process that was paused learns of a lost lease when it runs
/// again: check ``isLost`` right before what must not be done twice, and keep that short.
public struct LockGrant: Sendable {
  private let held: HeldLease

  init(_ held: HeldLease) { self.held = held }

  /// What is held.
  public var key: String { held.resource.key }
  /// In whose name it is held.
  public var owner: String { held.resource.owner }
  /// The fencing token: greater than that of every earlier grant of the key, to be shown to whatever the
  /// lock protects. Nil where it was granted by a server that speaks wire v1 only.
  public var token: Int64? { held.grant.token }
  /// The length that was asked for. It counts from when the last accepted request was sent.
  public var lease: Duration { held.length }

  /// How much of the lease is left if no renewal succeeds any more; zero once it is over. Read from a
  /// clock that goes on while the machine sleeps.
  public var remaining: Duration { held.remaining }

  /// Whether the body has to stop: the lease is over (lost, or given back at the end of the body),
  /// or the client is being shut down. Never false again.
  public var isLost: Bool { held.isRecalled || held.deadline == nil }

  /// Why the latest renewal failed, or what the server said where the grant is over; nil where it was
  /// accepted. A ``LatchkeyError/Code/permissionDenied`` here is no mishap: the lease ends if rights
  /// are not given back.
  public var renewalError: LatchkeyError? { held.cause }

  /// Returns when ``isLost`` is true, or the calling task is cancelled.
  public func untilLost() async { await held.untilRemaining(.zero) }
}

extension LockGrant: CustomStringConvertible {
  /// For people, such as in a log.
  public var description: String {
    "\(held.resource.kind.rawValue) \"\(key)\" of \"\(owner)\""
      + (token.map { ", token \($0)" } ?? "") + (isLost ? ", lost" : "")
  }
}
