import LockCore
import WireSchema
import Storage

/// What the audit log is told of one call.
final class CallAccount {
  let origin: CallOrigin
  private let log: AuditLog
  /// Nil while that is not known.
  private let asker: Asker?

  init(_ log: AuditLog, of origin: CallOrigin, by asker: Asker? = nil) {
    self.log = log
    self.origin = origin
    self.asker = asker
  }

  func of(_ asker: Asker) -> CallAccount { CallAccount(log, of: origin, by: asker) }

  func refused(_ error: RPCError) { log.refused(error, to: asker, from: origin) }
}

extension CallAccount {
  /// Those of several renewals that were not allowed, in one line.
  func denied(_ outcome: Outcome) {
    guard case .many(let results) = outcome else { return }
    let denied = results.count { result in
      switch result {
      case .success(.refused(.denied, _)), .success(.refused(.ofAnotherIdentity, _)): true
      default: false
      }
    }
    guard denied > 0 else { return }
    refused(
      RPCError(.permissionDenied, "\(Asker.word): \(denied) of \(results.count) renewals"))
  }
}
