import LockCore
import Logging
import Storage
import WireSchema

/// Takes account of what happens: the latest in memory, and all of it in the audit log where there is one.
final class EventAccount: Sendable {
  let recent: RecentEvents
  private let audit: AuditLog?

  init(of serverID: String, _ audit: AuditLog?) {
    recent = RecentEvents(of: serverID)
    self.audit = audit
  }

  /// Why nothing is granted or given back at the moment; nil where it is.
  var refusal: StoreError? { audit?.refusal }

  /// On a thread of the store.
  ///
  /// - Returns: Whether what was done may be told to those who asked for it.
  func note(_ events: [GrantEvent], isCertain: Bool) -> Bool {
    recent.note(events, isCertain: isCertain)
    return audit?.note(events, isCertain: isCertain) ?? true
  }

  /// Of refusals, only those count of who may not do something, or has shown what proves nothing.
  ///
  /// - Parameter key: Empty where it is not known, or not one.
  func refused(_ error: RPCError, key: String, to asker: Asker?, from origin: CallOrigin) {
    guard error.code == .permissionDenied || error.code == .unauthenticated else { return }
    recent.refused(error, key: key, to: asker, from: origin)
    audit?.refused(error, key: key, to: asker, from: origin)
  }

  /// Of the server itself: that it begins or ends, and what it reads anew.
  func changed(_ what: String, _ facts: Logger.Metadata) {
    recent.changed(what, facts)
    audit?.changed(what, facts)
  }
}
