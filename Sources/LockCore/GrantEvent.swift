/// What became of a grant, for whoever keeps an account of it.
package struct GrantEvent: Equatable, Sendable {
  /// Its raw values are what an account calls it.
  package enum What: String, Sendable {
    case granted
    /// By another identity than the one whose it is: other renewals are no events.
    case renewed
    case released
    /// Its lease was over.
    case ended
    /// Somebody wanted to keep what is over, or another's by now.
    case lost
    /// The database had lost it.
    case putBack = "put-back"
  }

  package let what: What
  package let key: String
  /// Whose it is, or was; nil for ``What/lost``, of which only the token is known.
  package private(set) var holder: Holder?
  package let token: Int64
  /// Who did it; nil where nobody asked for it.
  package let caller: Caller?

  package init(_ what: What, _ record: LockRecord, of holder: Holder, by caller: Caller? = nil) {
    self.what = what
    key = record.key
    self.holder = holder
    token = record.token
    self.caller = caller
  }

  /// Of a grant that is lost.
  package init(lost key: String, token: Int64, by caller: Caller) {
    what = .lost
    self.key = key
    self.token = token
    self.caller = caller
    holder = nil
  }

  /// The same without what its holder says, which may be long.
  package var withoutContent: GrantEvent {
    var event = self
    event.holder?.content = .empty
    event.holder?.labels = [:]
    return event
  }

  /// Whether somebody has kept or given back what another identity had taken.
  package var isBreak: Bool {
    guard let caller, let holder, what == .renewed || what == .released else { return false }
    return !holder.identity.isEmpty && !holder.identity.isSameName(as: caller.identity)
  }
}

/// Where a request came from, as an account of events tells it.
package struct CallOrigin: Equatable, Sendable {
  /// The address of the peer.
  package var peer: String
  /// What the client calls the request; empty where it does not.
  package var requestID: String

  package init(peer: String, requestID: String) {
    self.peer = peer
    self.requestID = requestID
  }
}
